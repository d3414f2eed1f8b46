//! Answers to what a session asks of its guilds: their soundboard's sounds (op 31), and what goes on in their channels (op 43).
//!
//! From: the gateway. For: the session that asked; a guild that is not its own is not answered. Libraries wait for these answers.
//! Source: Discord, `developers/events/gateway-events.mdx` "Soundboard Sounds", "Channel Info". Deliberately absent: sounds, and
//! voice channels with a status or anybody in them; the lists are always empty.

use serde_json::{Value, json};

use super::Discord;
use crate::members::Members;
use crate::session::id::SessionId;
use crate::session::log::{Data, Event};
use crate::snowflake::Snowflake;

impl Discord {
    /// Answers an op 31, one event for each guild.
    pub(crate) fn send_sounds(&self, session: SessionId, guilds: &[Snowflake]) {
        for guild in guilds {
            let sounds = json!({ "guild_id": guild, "soundboard_sounds": [] });
            self.answer_about(session, *guild, "SOUNDBOARD_SOUNDS", sounds);
        }
    }

    /// Answers an op 43.
    pub(crate) fn send_channel_info(&self, session: SessionId, guild: Snowflake) {
        self.answer_about(session, guild, "CHANNEL_INFO", json!({ "guild_id": guild, "channels": [] }));
    }

    fn answer_about(&self, session: SessionId, guild: Snowflake, name: &'static str, data: Value) {
        let mut state = self.change();
        let is_its_own =
            state.sessions.get(session).is_some_and(|session| guild.shard(session.total) == session.shard);
        if is_its_own && self.world.has_guild(guild) {
            let data = Data::Members(Members::from(data).shared());
            state.send(self.now(), session, Some(guild), Event { name, data, number: None });
        }
    }
}
