//! Intents: which events a session asked for, and which bits exist.
//!
//! From: the IDENTIFY's number. For: entry (4013, 4014) and delivery (who gets what). Deliberately absent: intents of
//! events that the simulator never makes; they are valid bits and nothing more.
//! Source: Discord, `developers/events/gateway.mdx` "List of Intents" and "Privileged Intents".

/// Guilds, channels, roles.
pub const GUILDS: u32 = 1 << 0;
/// Members joining, leaving, changing; privileged.
pub const GUILD_MEMBERS: u32 = 1 << 1;
/// Bans, the audit log, requests to join.
pub const GUILD_MODERATION: u32 = 1 << 2;
/// Presences; privileged.
pub const GUILD_PRESENCES: u32 = 1 << 8;
/// Messages in guilds.
pub const GUILD_MESSAGES: u32 = 1 << 9;
/// Reactions in guilds.
pub const GUILD_MESSAGE_REACTIONS: u32 = 1 << 10;
/// Typing in guilds.
pub const GUILD_MESSAGE_TYPING: u32 = 1 << 11;
/// Direct messages.
pub const DIRECT_MESSAGES: u32 = 1 << 12;
/// Reactions in direct messages.
pub const DIRECT_MESSAGE_REACTIONS: u32 = 1 << 13;
/// Typing in direct messages.
pub const DIRECT_MESSAGE_TYPING: u32 = 1 << 14;
/// Content of messages that do not concern the bot; privileged.
pub const MESSAGE_CONTENT: u32 = 1 << 15;

/// Every bit that exists: 0 to 16, 20, 21, 24, 25.
pub const KNOWN: u32 = 0x1_FFFF | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25;
/// The bits that an application must be allowed to use.
pub const PRIVILEGED: u32 = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT;

/// The bits of an IDENTIFY, or nothing where a bit does not exist (4013).
pub fn known(bits: u64) -> Option<u32> {
    u32::try_from(bits).ok().filter(|bits| bits & !KNOWN == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bits_of_the_list_are_known() {
        for (bits, expected) in
            [(0, true), (53_608_447, true), (1 << 17, false), (1 << 22, false), (1 << 32, false)]
        {
            assert_eq!(known(bits).is_some(), expected, "{bits}");
        }
    }
}
