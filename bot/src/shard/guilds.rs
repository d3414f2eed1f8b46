//! Counts one shard's guilds: READY's list, then what joins, leaves, goes down and comes back.
//!
//! From events to two numbers for the report, of which the count goes with the session from pod to pod. Guilds in READY come as
//! unavailable and are sent one by one after it; a guild that is deleted with `unavailable: true` is down, without it the bot was
//! removed (<https://docs.discord.com/developers/events/gateway-events#guild-delete>). Of a session that was begun elsewhere the ids are
//! not known: a guild whose id is new joined if it did lately, and else was there and came back. What comes again after a RESUME
//! was counted before. Deliberately absent: anything about a guild but its id.

use std::{collections::HashMap, time::Duration};

use shard_contract::record::Session;
use twilight_gateway::Event;
use twilight_model::{
    gateway::payload::incoming::GuildCreate,
    guild::Guild,
    id::{Id, marker::GuildMarker},
};

/// A session that was begun elsewhere is resumed within minutes, so a guild that joined before is one that it had.
const LATELY: Duration = Duration::from_mins(10);

/// The shard's guilds.
#[derive(Debug, Default)]
pub(super) struct Guilds {
    /// The session that they are counted in.
    session: String,
    /// Those whose ids are known, and whether they are available.
    known: HashMap<Id<GuildMarker>, bool>,
    /// How many more there are.
    others: u32,
    unavailable: u32,
    /// The sequence up to which they are counted.
    at: u64,
}

impl Guilds {
    /// All of them, the unavailable ones included.
    pub(super) fn all(&self) -> u32 {
        u32::try_from(self.known.len()).unwrap_or(u32::MAX).saturating_add(self.others)
    }

    /// The sequence up to which they are counted.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Whether a guild that came joins them; else it was there, and is sent by way of READY or comes back. `now`: milliseconds since 1970.
    pub(super) fn is_joined_by(&self, guild: &Guild, now: i64) -> bool {
        !self.known.contains_key(&guild.id) && (self.others == 0 || joined_lately(guild, now))
    }

    /// This session is resumed, which may have been begun elsewhere.
    pub(super) fn resumed(&mut self, session: &Session) {
        if self.session != session.id {
            let (session, others, at) = (session.id.clone(), session.guilds, session.guilds_at);
            *self = Self { session, others, at, ..Self::default() };
        }
    }

    /// Those that Discord has not sent yet, or that are down.
    pub(super) const fn unavailable(&self) -> u32 {
        self.unavailable
    }

    /// Takes in what an event says about guilds; most say nothing. `now`: milliseconds since 1970.
    pub(super) fn note(&mut self, event: &Event, sequence: u64, now: i64) {
        let before = self.all();
        let is_counted = sequence <= self.at;
        match event {
            Event::Ready(ready) => {
                let known = ready.guilds.iter().map(|guild| (guild.id, false)).collect();
                *self = Self { session: ready.session_id.clone(), known, at: sequence, ..Self::default() };
                self.unavailable = self.all();
            }
            Event::GuildCreate(created) => match created.as_ref() {
                GuildCreate::Available(guild) => {
                    self.is_there(guild.id, true, !is_counted && joined_lately(guild, now));
                }
                GuildCreate::Unavailable(guild) => self.is_there(guild.id, false, false),
            },
            Event::GuildDelete(deleted) if deleted.unavailable == Some(true) => {
                self.is_there(deleted.id, false, false);
            }
            Event::GuildDelete(deleted) => self.left(deleted.id, is_counted),
            Event::UnavailableGuild(guild) => self.is_there(guild.id, false, false),
            _ => {}
        }
        if self.all() != before {
            self.at = self.at.max(sequence);
        }
    }

    fn is_there(&mut self, guild: Id<GuildMarker>, is_available: bool, is_new: bool) {
        match self.known.insert(guild, is_available) {
            Some(was_available) => self.unavailable -= u32::from(!was_available),
            // One of those whose ids were not known; more than there were: the count was too small.
            None if !is_new => self.others = self.others.saturating_sub(1),
            None => {}
        }
        self.unavailable += u32::from(!is_available);
    }

    fn left(&mut self, guild: Id<GuildMarker>, is_counted: bool) {
        match self.known.remove(&guild) {
            Some(was_available) => self.unavailable -= u32::from(!was_available),
            None if !is_counted => self.others = self.others.saturating_sub(1),
            None => {}
        }
    }
}

fn joined_lately(guild: &Guild, now: i64) -> bool {
    let since = guild.joined_at.map(|joined| now.saturating_sub(joined.as_micros() / 1_000));
    since.is_none_or(|since| i128::from(since) < i128::from(LATELY.as_secs()) * 1_000)
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
        for (sequence, (event, expected)) in (1..).zip(steps) {
            guilds.note(&event, sequence, NOW);
            assert_eq!((guilds.all(), guilds.unavailable()), expected, "{event:?}");
        }
        assert_eq!((guilds.session.as_str(), guilds.at), ("a", 6), "the last that changed the count");
    }

    #[test]
    fn an_available_guild_is_not_counted_as_unavailable() {
        let mut guilds = Guilds::default();
        guilds.is_there(Id::new(5), false, true);
        guilds.is_there(Id::new(5), true, true);
        assert_eq!((guilds.all(), guilds.unavailable()), (1, 0));
        guilds.left(Id::new(5), false);
        assert_eq!((guilds.all(), guilds.unavailable()), (0, 0));
    }

    /// 2026-11-29T12:00:00Z.
    const NOW: i64 = 1_795_953_600_000;

    fn joined(id: u64, at: &str) -> Event {
        let guild = r#"{"id":"ID","joined_at":"AT","unavailable":false,"large":false,"member_count":1,"members":[],"channels":[],
            "threads":[],"presences":[],"voice_states":[],"stage_instances":[],"guild_scheduled_events":[],"soundboard_sounds":[],
            "name":"g","owner_id":"1","afk_timeout":300,"verification_level":1,"default_message_notifications":1,
            "explicit_content_filter":0,"mfa_level":0,"nsfw_level":0,"features":[],"emojis":[],"stickers":[],"roles":[],
            "system_channel_flags":0,"premium_tier":0,"preferred_locale":"en-US","premium_progress_bar_enabled":false,
            "afk_channel_id":null,"application_id":null,"banner":null,"description":null,"discovery_splash":null,"icon":null,
            "public_updates_channel_id":null,"rules_channel_id":null,"safety_alerts_channel_id":null,"splash":null,
            "system_channel_id":null,"vanity_url_code":null,"widget_enabled":false}"#;
        event("GUILD_CREATE", &guild.replace("ID", &id.to_string()).replace("AT", at))
    }

    #[test]
    fn a_guild_joins_that_was_not_there_and_of_a_session_begun_elsewhere_only_one_that_joined_lately() {
        let is_joined = |guilds: &Guilds, id: u64, at: &str| {
            let Event::GuildCreate(created) = joined(id, at) else { panic!("no guild") };
            let GuildCreate::Available(guild) = created.as_ref() else { panic!("it is down") };
            guilds.is_joined_by(guild, NOW)
        };
        let (lately, long_ago) = ("2026-11-29T11:58:00+00:00", "2024-01-01T00:00:00+00:00");
        let mut guilds = Guilds { known: HashMap::from([(Id::new(1), false)]), ..Guilds::default() };
        assert_eq!([1, 2].map(|id| is_joined(&guilds, id, long_ago)), [false, true]);
        guilds.resumed(&Session { id: "s".into(), guilds: 2, ..Session::default() });
        assert_eq!([long_ago, lately].map(|at| is_joined(&guilds, 1, at)), [false, true]);
    }

    #[test]
    fn of_a_session_begun_elsewhere_what_joined_lately_is_more_and_what_comes_back_or_again_is_not() {
        let session = Session { id: "s".into(), guilds: 2_200, guilds_at: 50, ..Session::default() };
        let mut guilds = Guilds::default();
        guilds.resumed(&session);
        let (lately, long_ago) = ("2026-11-29T11:58:00+00:00", "2024-01-01T00:00:00+00:00");
        let gone = |id: u64, is_down: bool| {
            let unavailable = if is_down { r#","unavailable":true"# } else { "" };
            event("GUILD_DELETE", &format!(r#"{{"id":"{id}"{unavailable}}}"#))
        };
        for (sequence, event, all) in [
            (49, joined(1, lately), 2_200),
            (50, gone(2, false), 2_200),
            (51, joined(3, lately), 2_201),
            (52, joined(4, long_ago), 2_201),
            (53, gone(5, true), 2_201),
            (54, joined(5, long_ago), 2_201),
            (55, gone(6, false), 2_200),
            (56, gone(3, false), 2_199),
        ] {
            guilds.note(&event, sequence, NOW);
            assert_eq!(guilds.all(), all, "{sequence} {event:?}");
        }
        assert_eq!((guilds.unavailable(), guilds.at()), (0, 56));
        guilds.resumed(&session);
        assert_eq!(guilds.all(), 2_199, "its own session goes on as it counted it");
        guilds.resumed(&Session { id: "t".into(), guilds: 7, ..Session::default() });
        assert_eq!(guilds.all(), 7);
    }
}
