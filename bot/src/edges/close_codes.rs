//! Close codes that forbid a new try, and what helps against each.
//!
//! From Discord's table of close codes with "reconnect: false"
//! (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>) to the words for the log and for errors.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_documented_codes_are_final_and_each_has_a_remedy() {
        let last: Vec<u16> = (1000..5000).filter(|code| is_final(*code)).collect();
        assert_eq!(last, [4004, 4010, 4011, 4012, 4013, 4014]);
        assert!(last.iter().all(|code| remedy(*code).contains(": ")));
    }
}
