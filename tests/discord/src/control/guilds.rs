//! Guilds that come, go and cannot be served for a while.
//!
//! From: `/control/guilds...`. For: tests of caches, of recommendations and of what a fleet does when its bot grows.
//! Every bot is in every guild. Deliberately absent: a bot that is in some guilds only.

use serde::{Deserialize, Serialize};

use super::{ControlError, bad};
use crate::discord::Discord;
use crate::snowflake::Snowflake;

/// The most guilds of a world.
pub const MOST_GUILDS: usize = 500_000;

/// The bots join new guilds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinGuilds {
    /// So many, 1 to 100,000.
    pub count: u32,
}

/// The bots are removed from guilds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaveGuilds {
    /// These.
    pub guild_ids: Vec<Snowflake>,
}

/// Guilds cannot be served, or can be again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuildOutage {
    /// These.
    pub guild_ids: Vec<Snowflake>,
    /// Whether they are unavailable from now on.
    pub unavailable: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedGuilds {
    /// The guilds that changed, at most the first 1,000.
    pub guild_ids: Vec<Snowflake>,
    /// Guilds in the world now.
    pub guilds: usize,
    /// What `GET /gateway/bot` recommends now.
    pub recommended_shards: u32,
}

impl Discord {
    /// The bots join new guilds: GUILD_CREATE.
    pub fn join_guilds(&self, request: JoinGuilds) -> Result<ChangedGuilds, ControlError> {
        let room = MOST_GUILDS.saturating_sub(self.world.guilds().len());
        let is_fine = (1..=100_000).contains(&request.count) && request.count as usize <= room;
        if !is_fine {
            return Err(bad(format!("count: found {}; use 1 to {}", request.count, room.min(100_000))));
        }
        Ok(self.changed(self.guilds_join(request.count)))
    }

    /// The bots are removed from guilds: GUILD_DELETE.
    pub fn leave_guilds(&self, request: &LeaveGuilds) -> Result<ChangedGuilds, ControlError> {
        self.check_guilds(&request.guild_ids)?;
        Ok(self.changed(self.guilds_leave(&request.guild_ids)))
    }

    /// Guilds become unavailable or available: GUILD_DELETE with `unavailable`, or GUILD_CREATE.
    pub fn guild_outage(&self, request: &GuildOutage) -> Result<ChangedGuilds, ControlError> {
        self.check_guilds(&request.guild_ids)?;
        Ok(self.changed(self.guilds_up(&request.guild_ids, !request.unavailable)))
    }

    fn check_guilds(&self, guilds: &[Snowflake]) -> Result<(), ControlError> {
        if guilds.is_empty() {
            return Err(bad("guildIds: found none; name at least one, see GET /control/guilds"));
        }
        match guilds.iter().find(|guild| !self.world.has_guild(**guild)) {
            Some(unknown) => Err(bad(format!("guildIds: {unknown} does not exist; see GET /control/guilds"))),
            None => Ok(()),
        }
    }

    fn changed(&self, mut guild_ids: Vec<Snowflake>) -> ChangedGuilds {
        guild_ids.truncate(1000);
        ChangedGuilds {
            guild_ids,
            guilds: self.world.guilds().len(),
            recommended_shards: self.settings().recommended_shards,
        }
    }
}
