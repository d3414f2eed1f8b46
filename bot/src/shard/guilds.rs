//! Counts one shard's guilds: READY's list, then what joins, leaves, goes down and comes back.
//!
//! From events to two numbers for the report. Guilds in READY come as unavailable and are sent one by one after it; a
//! guild that is deleted with `unavailable: true` is down, without it the bot was removed
//! (<https://docs.discord.com/developers/events/gateway-events#guild-delete>). Deliberately absent: anything about a
//! guild but its id.

use std::collections::HashMap;

use twilight_gateway::Event;
use twilight_model::{
    gateway::payload::incoming::GuildCreate,
    id::{Id, marker::GuildMarker},
};

/// The shard's guilds.
#[derive(Debug, Default)]
pub(super) struct Guilds {
    available: HashMap<Id<GuildMarker>, bool>,
    unavailable: u32,
    /// How many there were when a session was resumed that this process has not begun; it learns their ids one by one.
    before: u32,
}

impl Guilds {
    /// All of them, the unavailable ones included.
    pub(super) fn all(&self) -> u32 {
        u32::try_from(self.available.len()).unwrap_or(u32::MAX).max(self.before)
    }

    /// A session is resumed that was begun elsewhere.
    pub(super) fn resumed(&mut self, guilds: u32) {
        if self.available.is_empty() {
            self.before = guilds;
        }
    }

    /// Those that Discord has not sent yet, or that are down.
    pub(super) const fn unavailable(&self) -> u32 {
        self.unavailable
    }

    /// Takes in what an event says about guilds; most say nothing.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Ready(ready) => {
                self.before = 0;
                self.available = ready.guilds.iter().map(|guild| (guild.id, false)).collect();
                self.unavailable = self.all();
            }
            Event::GuildCreate(created) => match created.as_ref() {
                GuildCreate::Available(guild) => self.set(guild.id, Some(true)),
                GuildCreate::Unavailable(guild) => self.set(guild.id, Some(false)),
            },
            Event::GuildDelete(deleted) => {
                self.set(deleted.id, (deleted.unavailable == Some(true)).then_some(false));
            }
            Event::UnavailableGuild(guild) => self.set(guild.id, Some(false)),
            _ => {}
        }
    }

    fn set(&mut self, guild: Id<GuildMarker>, available: Option<bool>) {
        let before = match available {
            Some(available) => self.available.insert(guild, available),
            None => self.available.remove(&guild),
        };
        self.unavailable += u32::from(available == Some(false));
        self.unavailable -= u32::from(before == Some(false));
    }
}

#[cfg(test)]
mod tests {
    use twilight_gateway::EventTypeFlags;
    use twilight_model::gateway::event::GatewayEvent;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        let json = format!(r#"{{"op":0,"s":1,"t":"{name}","d":{data}}}"#);
        match twilight_gateway::parse(json, EventTypeFlags::all()).unwrap() {
            Some(GatewayEvent::Dispatch(_, event)) => event.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn guilds_are_counted_through_ready_joining_going_down_and_leaving() {
        let ready = r#"{"v":10,"session_id":"a","resume_gateway_url":"wss://x","application":{"id":"1","flags":0},
            "user":{"id":"1","username":"b","discriminator":"0","avatar":null,"bot":true,"mfa_enabled":false,"verified":true},
            "guilds":[{"id":"10","unavailable":true},{"id":"11","unavailable":true}]}"#;
        let steps = [
            (event("READY", ready), (2, 2)),
            (event("GUILD_CREATE", r#"{"id":"10","unavailable":true}"#), (2, 2)),
            (event("GUILD_CREATE", r#"{"id":"12","unavailable":true}"#), (3, 3)),
            (event("GUILD_DELETE", r#"{"id":"12"}"#), (2, 2)),
            (event("GUILD_DELETE", r#"{"id":"11","unavailable":true}"#), (2, 2)),
            (event("GUILD_DELETE", r#"{"id":"11"}"#), (1, 1)),
            (event("GUILD_DELETE", r#"{"id":"99"}"#), (1, 1)),
        ];
        let mut guilds = Guilds::default();
        for (event, expected) in steps {
            guilds.note(&event);
            assert_eq!((guilds.all(), guilds.unavailable()), expected, "{event:?}");
        }
    }

    #[test]
    fn an_available_guild_is_not_counted_as_unavailable() {
        let mut guilds = Guilds::default();
        guilds.set(Id::new(5), Some(false));
        guilds.set(Id::new(5), Some(true));
        assert_eq!((guilds.all(), guilds.unavailable()), (1, 0));
        guilds.set(Id::new(5), None);
        assert_eq!((guilds.all(), guilds.unavailable()), (0, 0));
    }
}
