//! A refusal of one shard that would be every shard's.
//!
//! From a close code that concerns all shards of the pod, and the token that it was sent for, to whether another shard need not try. Deliberately absent: the
//! codes and what helps against each ([`crate::edges::close_codes`]).

use std::sync::{Mutex, PoisonError};

use crate::edges::{
    close_codes::{AUTHENTICATION_FAILED, concerns_all},
    token::Token,
};

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
    fn a_token_that_was_taken_again_may_be_tried_and_its_intents_may_not() {
        let (refused, token) = (RefusedForAll::default(), Token::new("t"));
        for (code, expected) in [(4004, None), (4014, Some(4014))] {
            refused.note(&token, 1, code);
            assert_eq!((refused.with(&token, 1), refused.with(&token, 2)), (Some(code), expected));
        }
    }
}
