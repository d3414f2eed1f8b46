//! The world: guilds, their channels and members, all derived from a seed and never stored but for the guilds' ids.
//!
//! From: number of guilds and seed. For: routing, READY, GUILD_CREATE, REST. Their JSON is in `world/objects.rs`.
//! Guilds are spread so that every total up to 16 gets the same number of guilds per shard, give or take one; other
//! totals as evenly as chance has it. Deliberately absent: voice, threads, emojis, presences, guilds that come and go.

pub mod objects;

use crate::snowflake::{EPOCH_MS, Snowflake};

/// Divisible by every number from 1 to 16; ids are one time residue apart, so any such total splits them evenly.
const EVEN: u64 = 720_720;
/// 2016-01-01, about: a year after Discord's first day, as a multiple of [`EVEN`].
const OLDEST: u64 = EVEN * 43_770;
/// About nine years, in steps of [`EVEN`].
const STEPS: u64 = 394_000;
/// Users who exist.
const PEOPLE: u64 = 997;
/// Users in each guild, its owner first.
const MEMBERS: u64 = 4;
/// Text channel's distance from its guild's id, as if made in the same instant.
const CHANNEL: u64 = 1;

/// A user, person or bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Id.
    pub id: Snowflake,
    /// User name.
    pub name: String,
    /// Whether it is a bot's user.
    pub bot: bool,
}

/// All guilds, sorted by id.
#[derive(Debug)]
pub struct World {
    seed: u64,
    guilds: Vec<Snowflake>,
}

impl World {
    /// The same number and seed make the same world.
    pub fn new(guilds: u32, seed: u64) -> Self {
        let mut ids: Vec<_> = (0..u64::from(guilds)).map(|i| guild_id(seed, i)).collect();
        ids.sort_unstable();
        ids.dedup();
        Self { seed, guilds: ids }
    }

    /// Every guild's id, rising.
    pub fn guilds(&self) -> &[Snowflake] {
        &self.guilds
    }

    /// The guilds whose events go to shard `shard` of `total`.
    pub fn guilds_of(&self, shard: u32, total: u32) -> impl Iterator<Item = Snowflake> + '_ {
        self.guilds.iter().copied().filter(move |guild| guild.shard(total) == shard)
    }

    /// Whether the guild exists.
    pub fn has_guild(&self, guild: Snowflake) -> bool {
        self.guilds.binary_search(&guild).is_ok()
    }

    /// The guild that a text channel is in.
    pub fn guild_of(&self, channel: Snowflake) -> Option<Snowflake> {
        let guild = Snowflake(channel.0.checked_sub(CHANNEL)?);
        self.has_guild(guild).then_some(guild)
    }

    /// The people in a guild, its owner first.
    pub fn members_of(&self, guild: Snowflake) -> Vec<User> {
        let first = mix(self.seed ^ guild.0) % PEOPLE;
        (0..MEMBERS).map(|i| self.resident((first + i * 61) % PEOPLE)).collect()
    }

    fn resident(&self, number: u64) -> User {
        let random = mix(self.seed ^ (number << 20) ^ 0x5EED);
        let since_2015 = OLDEST / 2 + random % 100_000_000_000;
        person(Snowflake::made_at(EPOCH_MS + since_2015, number))
    }
}

/// A guild's text channel.
pub fn channel_of(guild: Snowflake) -> Snowflake {
    Snowflake(guild.0 + CHANNEL)
}

/// The person of that id: ids carry all that is known of people, so there is one for every id.
pub fn person(id: Snowflake) -> User {
    User { id, name: format!("user_{:05}", mix(id.0) % 100_000), bot: false }
}

/// Someone who is in no guild: writes direct messages, owns applications.
pub fn somebody() -> User {
    person(Snowflake(80_351_110_224_678_912))
}

fn guild_id(seed: u64, index: u64) -> Snowflake {
    let random = mix(seed.wrapping_mul(0x9E37_79B9).wrapping_add(index));
    let time = OLDEST + (random % STEPS) * EVEN + index % EVEN;
    // The low 12 bits count up within a millisecond; the channel's id comes right after the guild's.
    let low = (random >> 32 & 0x3FF) << 12 | (index / EVEN * 2);
    Snowflake::made_at(EPOCH_MS + time, low)
}

/// splitmix64: a number in, a number out that looks random and is the same on every machine.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_total_up_to_16_splits_the_guilds_evenly_and_completely() {
        let world = World::new(1000, 1);
        assert_eq!(world.guilds().len(), 1000);
        for total in 1..=16 {
            let counts: Vec<_> = (0..total).map(|shard| world.guilds_of(shard, total).count()).collect();
            assert_eq!(counts.iter().sum::<usize>(), 1000);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{total}: {counts:?}");
        }
    }

    #[test]
    fn the_seed_decides_the_world() {
        assert_eq!(World::new(50, 7).guilds(), World::new(50, 7).guilds());
        assert_ne!(World::new(50, 7).guilds(), World::new(50, 8).guilds());
    }

    #[test]
    fn guilds_were_made_in_years_when_discord_existed() {
        let world = World::new(500, 3);
        let years = 1_451_000_000_000..1_740_000_000_000;
        assert!(world.guilds().iter().all(|guild| years.contains(&guild.time_ms())));
    }

    #[test]
    fn a_channel_leads_back_to_its_guild_and_nothing_else_does() {
        let world = World::new(20, 1);
        let guild = world.guilds()[3];
        assert_eq!(world.guild_of(channel_of(guild)), Some(guild));
        assert_eq!(world.guild_of(guild), None);
    }

    #[test]
    fn members_of_a_guild_are_different_people() {
        let world = World::new(20, 1);
        for guild in world.guilds() {
            let ids: HashSet<_> = world.members_of(*guild).into_iter().map(|user| user.id).collect();
            assert_eq!(ids.len(), 4);
        }
    }
}
