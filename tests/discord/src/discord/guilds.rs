//! Guilds coming, going, failing and coming back, as the sessions see it.
//!
//! From: control. For: GUILD_CREATE and GUILD_DELETE to the sessions of each guild's shard, and the recommendation, which
//! follows the number of guilds unless somebody has set it. Source: Discord, `developers/events/gateway-events.mdx`
//! "Guild Create", "Guild Delete". Deliberately absent: the limit of 2,500 guilds, which counts at IDENTIFY only.

use std::num::NonZeroU32;

use serde_json::json;

use super::delivery::Occasion;
use super::{Discord, State};
use crate::intents;
use crate::session::log::{Data, Event};
use crate::snowflake::Snowflake;

/// Guilds for which one more shard is recommended.
const GUILDS_PER_RECOMMENDED_SHARD: u32 = 1000;

/// What `GET /gateway/bot` recommends for so many guilds, where nothing else was said.
pub(crate) fn recommended(guilds: usize) -> u32 {
    let guilds = u32::try_from(guilds).unwrap_or(u32::MAX);
    NonZeroU32::new(guilds.div_ceil(GUILDS_PER_RECOMMENDED_SHARD)).map_or(1, NonZeroU32::get)
}

impl Discord {
    /// Makes guilds that the bots are in; their ids.
    pub(crate) fn guilds_join(&self, count: u32) -> Vec<Snowflake> {
        let mut state = self.change();
        let new = self.world.join_at(count, self.clock.unix_ms());
        for guild in &new {
            self.create(&mut state, *guild);
        }
        self.recommend(&mut state);
        new
    }

    /// Removes the bots from guilds; those that they were in.
    pub(crate) fn guilds_leave(&self, guilds: &[Snowflake]) -> Vec<Snowflake> {
        let mut state = self.change();
        let left = self.world.leave(guilds);
        for guild in &left {
            self.delete(&mut state, *guild, false);
        }
        self.recommend(&mut state);
        left
    }

    /// Says of guilds whether they can be served; those for which that is new.
    pub(crate) fn guilds_up(&self, guilds: &[Snowflake], are_up: bool) -> Vec<Snowflake> {
        let mut state = self.change();
        let changed: Vec<_> =
            guilds.iter().copied().filter(|guild| self.world.set_up(*guild, are_up)).collect();
        for guild in &changed {
            if are_up { self.create(&mut state, *guild) } else { self.delete(&mut state, *guild, true) }
        }
        changed
    }

    fn create(&self, state: &mut State, guild: Snowflake) {
        for id in state.sessions.reached_by(Some(guild)) {
            let wants = state.sessions.get(id).is_some_and(|session| session.intents & intents::GUILDS != 0);
            if wants {
                let event = Event { name: "GUILD_CREATE", data: Data::Guild(guild), number: None };
                state.send(self.now(), id, Some(guild), event);
            }
        }
    }

    fn delete(&self, state: &mut State, guild: Snowflake, unavailable: bool) {
        let mut data = json!({ "id": guild });
        if unavailable {
            data["unavailable"] = json!(true);
        }
        state.publish(
            &Occasion {
                name: "GUILD_DELETE",
                at: self.now(),
                guild: Some(guild),
                channel: None,
                application: None,
                intent: intents::GUILDS,
                number: None,
            },
            data.into(),
        );
    }

    fn recommend(&self, state: &mut State) {
        if state.recommends_by_guilds {
            state.settings.recommended_shards = recommended(self.world.guilds().len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::recommended;

    #[test]
    fn one_shard_is_recommended_for_every_thousand_guilds_begun() {
        for (guilds, shards) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (100_000, 100)] {
            assert_eq!(recommended(guilds), shards, "{guilds}");
        }
    }
}
