//! Close codes that forbid a new try, and what helps against each.
//!
//! From Discord's table of close codes with "reconnect: false"
//! (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>) to the words for the log and for
//! errors.

use std::sync::{Mutex, PoisonError};

use crate::token::Token;

/// The token was refused.
pub(crate) const AUTHENTICATION_FAILED: u16 = 4004;

/// Whether Discord forbids a new try after this code.
pub(crate) const fn is_final(code: u16) -> bool {
    matches!(code, AUTHENTICATION_FAILED | 4010..=4014)
}

/// Whether the code is about what all shards of the pod have in common: token, API version, intents.
pub(crate) const fn concerns_all(code: u16) -> bool {
    matches!(code, AUTHENTICATION_FAILED | 4012..=4014)
}

/// What a person can do about it.
pub(crate) const fn remedy(code: u16) -> &'static str {
    match code {
        AUTHENTICATION_FAILED => {
            "authentication failed: Discord is asked again within 15 minutes and the shard goes on by itself when it takes the token; if the token was reset, put the current one into the Secret (a local run: DISCORD_TOKEN)"
        }
        4010 => {
            "invalid shard: large bots need a total that is a multiple of the number Discord assigned (spec.shardMultiple)"
        }
        4011 => {
            "sharding required: more than 2500 guilds fall on one shard; raise spec.shards (a local run: SHARD_TOTAL)"
        }
        4012 => {
            "invalid API version: this build of the bot is too old for Discord; build it anew with newer libraries"
        }
        4013 => "invalid intents: a bit is set that Discord does not know; check Bot::intents",
        4014 => {
            "disallowed intents: switch the privileged intents on in Discord's developer portal, under Bot, or leave them out of Bot::intents"
        }
        _ => "see Discord's table of close codes",
    }
}

/// The refusal of one shard that would be every shard's: nobody spends another IDENTIFY on it.
#[derive(Debug, Default)]
pub(super) struct RefusedForAll(Mutex<Option<Refusal>>);

/// What was refused: a token, at a time that is told by how often one was taken again before, with a close code.
#[derive(Debug)]
struct Refusal {
    token: Token,
    epoch: u64,
    code: u16,
}

impl RefusedForAll {
    /// The close code with which this token was refused already, if it was and Discord has not taken it again since.
    pub(super) fn with(&self, token: &Token, epoch: u64) -> Option<u16> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |refusal: &&Refusal| {
            refusal.token == *token && (refusal.code != AUTHENTICATION_FAILED || refusal.epoch >= epoch)
        };
        refused.as_ref().filter(stands).map(|refusal| refusal.code)
    }

    /// Discord closed a connection that used this token with a code that forbids a new try.
    pub(super) fn note(&self, token: &Token, epoch: u64, code: u16) {
        if concerns_all(code) {
            let refusal = Refusal { token: token.clone(), epoch, code };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_documented_codes_are_final_and_each_has_a_remedy() {
        let last: Vec<u16> = (1000..5000).filter(|code| is_final(*code)).collect();
        assert_eq!(last, [4004, 4010, 4011, 4012, 4013, 4014]);
        assert!(last.iter().all(|code| remedy(*code).contains(": ")));
    }

    #[test]
    fn a_token_that_was_taken_again_may_be_tried_and_its_intents_may_not() {
        let (refused, token) = (RefusedForAll::default(), Token::new("t"));
        for (code, expected) in [(4004, None), (4014, Some(4014))] {
            refused.note(&token, 1, code);
            assert_eq!((refused.with(&token, 1), refused.with(&token, 2)), (Some(code), expected));
        }
    }
}
