//! The world: guilds, their channels and members, all derived from a seed and never stored but for the guilds' ids.
//!
//! From: number of guilds and seed. For: routing, READY, GUILD_CREATE, REST. Their JSON is in `world/objects.rs`.
//! Guilds are spread so that every total up to 16 gets the same number of guilds per shard, give or take one; other
//! totals as evenly as chance has it. Guilds come and go by control, and so does access to their channels (`world/channels.rs`).
//! Deliberately absent: people in voice, threads, emojis, presences.

pub mod channel_objects;
pub mod channels;
pub mod objects;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::snowflake::{EPOCH_MS, Snowflake};
use channels::{Access, IDS, Kind};

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
/// Totals whose split of the guilds is remembered.
const TOTALS: usize = 8;
/// All permissions of a moderator's bot, and of everybody else, without those to kick members.
const PERMISSIONS: u64 = 2_248_473_465_835_073;
/// VIEW_CHANNEL.
const VIEW_CHANNEL: u64 = 1 << 10;
/// KICK_MEMBERS.
const KICK_MEMBERS: u64 = 1 << 1;

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
    guilds: RwLock<Guilds>,
    permissions: u64,
    /// Which channels the bots may view.
    pub access: Arc<Access>,
}

#[derive(Debug, Default)]
struct Guilds {
    ids: Arc<Vec<Snowflake>>,
    /// Guilds that were ever made.
    made: u64,
    /// Guilds that Discord cannot serve now.
    down: HashSet<Snowflake>,
    /// When the bots joined those that they joined since the world began, in milliseconds since 1970.
    joined: BTreeMap<Snowflake, u64>,
    /// Guilds by shard for totals that were asked for.
    by_shard: BTreeMap<u32, Arc<ByShard>>,
}

type ByShard = HashMap<u32, Vec<Snowflake>>;

impl World {
    /// The same number and seed make the same world. Nothing of it is hidden.
    pub fn new(guilds: u32, seed: u64) -> Self {
        let access = Arc::new(Access::new(seed, 0));
        let world = Self { seed, guilds: RwLock::default(), permissions: PERMISSIONS, access };
        world.join(guilds);
        world
    }

    /// The world with the staff areas of so many guilds of a hundred hidden from the bots.
    pub fn hiding(self, share: u32) -> Self {
        Self { access: Arc::new(Access::new(self.seed, share)), ..self }
    }

    /// The world with bots who may kick members, or not.
    pub fn kicking(self, may_kick: bool) -> Self {
        Self { permissions: PERMISSIONS | if may_kick { KICK_MEMBERS } else { 0 }, ..self }
    }

    /// What the bots and everybody else may do, as the string that Discord uses.
    pub fn permissions(&self) -> String {
        self.permissions.to_string()
    }

    /// Every guild's id, rising.
    pub fn guilds(&self) -> Arc<Vec<Snowflake>> {
        Arc::clone(&self.read().ids)
    }

    /// The guilds whose events go to shard `shard` of `total`.
    pub fn guilds_of(&self, shard: u32, total: u32) -> Vec<Snowflake> {
        let known = self.read().by_shard.get(&total).cloned();
        let by_shard = known.unwrap_or_else(|| self.write().by_shard(total));
        by_shard.get(&shard).cloned().unwrap_or_default()
    }

    /// Whether the guild exists.
    pub fn has_guild(&self, guild: Snowflake) -> bool {
        self.read().ids.binary_search(&guild).is_ok()
    }

    /// Whether the guild exists and Discord can serve it now.
    pub fn is_up(&self, guild: Snowflake) -> bool {
        let guilds = self.read();
        guilds.ids.binary_search(&guild).is_ok() && !guilds.down.contains(&guild)
    }

    /// What the bots may do in a channel, by the same string: without VIEW_CHANNEL where they may not view it.
    pub fn permissions_in(&self, channel: Snowflake) -> String {
        let hides = self.channel(channel).is_some_and(|(guild, _)| self.access.hides(Some(guild), channel));
        (self.permissions & !if hides { VIEW_CHANNEL } else { 0 }).to_string()
    }

    /// One of these guilds that exists and is up, by chance; none if there is no such one.
    pub fn one_up(&self, guilds: &[Snowflake], chance: u64) -> Option<Snowflake> {
        self.one_up_where(guilds, chance, |_| true)
    }

    /// One of them of which something else is true, too.
    pub fn one_up_where(
        &self,
        guilds: &[Snowflake],
        chance: u64,
        is_fine: impl Fn(Snowflake) -> bool,
    ) -> Option<Snowflake> {
        let now = self.read();
        let first = usize::try_from(chance >> 20).unwrap_or_default() % guilds.len().max(1);
        let mut tries = guilds[first.min(guilds.len())..].iter().chain(&guilds[..first.min(guilds.len())]);
        let is_up = |guild: &Snowflake| now.ids.binary_search(guild).is_ok() && !now.down.contains(guild);
        tries.find(|guild| is_up(guild) && is_fine(**guild)).copied()
    }

    /// The guild that a channel is in, and which of its channels it is.
    pub fn channel(&self, channel: Snowflake) -> Option<(Snowflake, Kind)> {
        Kind::read(channel).filter(|(guild, _)| self.has_guild(*guild))
    }

    /// The people in a guild, its owner first.
    pub fn members_of(&self, guild: Snowflake) -> Vec<User> {
        (0..MEMBERS).map(|i| self.member_of(guild, i)).collect()
    }

    /// One of the people in a guild; any number gives one.
    pub fn member_of(&self, guild: Snowflake, number: u64) -> User {
        let first = mix(self.seed ^ guild.0) % PEOPLE;
        self.resident((first + number % MEMBERS * 61) % PEOPLE)
    }

    /// When the bots joined a guild, in milliseconds since 1970: those of the world's beginning when the guild was made.
    pub fn joined_ms(&self, guild: Snowflake) -> u64 {
        self.read().joined.get(&guild).copied().unwrap_or_else(|| guild.time_ms())
    }

    /// Makes so many more guilds, which the bots join at this time, in milliseconds since 1970; their ids.
    pub fn join_at(&self, count: u32, unix_ms: u64) -> Vec<Snowflake> {
        let new = self.join(count);
        self.write().joined.extend(new.iter().map(|guild| (*guild, unix_ms)));
        new
    }

    /// Makes so many more guilds; their ids.
    fn join(&self, count: u32) -> Vec<Snowflake> {
        let mut guilds = self.write();
        let made = guilds.made;
        let new: BTreeSet<_> =
            (made..made + u64::from(count)).map(|index| guild_id(self.seed, index)).collect();
        guilds.made += u64::from(count);
        let ids: BTreeSet<_> = guilds.ids.iter().copied().chain(new.iter().copied()).collect();
        guilds.replace(ids.into_iter().collect());
        new.into_iter().collect()
    }

    /// Removes guilds; those that there were.
    pub fn leave(&self, left: &[Snowflake]) -> Vec<Snowflake> {
        let mut guilds = self.write();
        let left: BTreeSet<_> =
            left.iter().copied().filter(|guild| guilds.ids.binary_search(guild).is_ok()).collect();
        let ids = guilds.ids.iter().copied().filter(|guild| !left.contains(guild)).collect();
        guilds.down.retain(|guild| !left.contains(guild));
        guilds.joined.retain(|guild, _| !left.contains(guild));
        guilds.replace(ids);
        left.into_iter().collect()
    }

    /// Says whether Discord can serve a guild; false where that changes nothing.
    pub fn set_up(&self, guild: Snowflake, is_up: bool) -> bool {
        let mut guilds = self.write();
        if is_up { guilds.down.remove(&guild) } else { guilds.down.insert(guild) }
    }

    fn resident(&self, number: u64) -> User {
        let random = mix(self.seed ^ (number << 20) ^ 0x5EED);
        let since_2015 = OLDEST / 2 + random % 100_000_000_000;
        person(Snowflake::made_at(EPOCH_MS + since_2015, number))
    }

    fn read(&self) -> RwLockReadGuard<'_, Guilds> {
        self.guilds.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Guilds> {
        self.guilds.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guilds {
    fn replace(&mut self, ids: Vec<Snowflake>) {
        self.ids = Arc::new(ids);
        self.by_shard.clear();
    }

    /// Sorted once per total; a fleet of thousands of shards asks for its total again and again.
    fn by_shard(&mut self, total: u32) -> Arc<ByShard> {
        if self.by_shard.len() >= TOTALS {
            self.by_shard.clear();
        }
        let mut by_shard = ByShard::new();
        for guild in self.ids.iter() {
            by_shard.entry(guild.shard(total)).or_default().push(*guild);
        }
        let by_shard = Arc::new(by_shard);
        self.by_shard.insert(total, Arc::clone(&by_shard));
        by_shard
    }
}

/// The text channel that every guild has.
pub fn channel_of(guild: Snowflake) -> Snowflake {
    Kind::General.of(guild)
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
    // The low 12 bits count up within a millisecond; the channels' ids come right after the guild's.
    let low = (random >> 32 & 0x3FF) << 12 | (index / EVEN * IDS);
    Snowflake::made_at(EPOCH_MS + time, low)
}

/// splitmix64: a number in, a number out that looks random and is the same on every machine.
pub fn mix(number: u64) -> u64 {
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
            let counts: Vec<_> = (0..total).map(|shard| world.guilds_of(shard, total).len()).collect();
            assert_eq!(counts.iter().sum::<usize>(), 1000);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{total}: {counts:?}");
        }
    }

    #[test]
    fn guilds_that_come_are_new_ones_and_guilds_that_go_are_gone_from_every_total() {
        let world = World::new(50, 1);
        assert_eq!(world.guilds_of(0, 1).len(), 50);
        let new = world.join(10);
        assert_eq!((new.len(), world.guilds().len(), world.guilds_of(0, 1).len()), (10, 60, 60));
        assert_eq!((world.leave(&[new[3]]), world.leave(&[new[3]])), (vec![new[3]], Vec::new()));
        assert!(!world.has_guild(new[3]) && !world.guilds_of(0, 1).contains(&new[3]));
        assert_eq!(World::new(60, 1).guilds().len(), 60);
        assert!(world.set_up(new[0], false) && !world.set_up(new[0], false) && !world.is_up(new[0]));
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
        assert_eq!(world.channel(channel_of(guild)), Some((guild, Kind::General)));
        assert_eq!(world.channel(guild), None);
        assert_eq!(world.channel(Snowflake(channel_of(guild).0 + IDS)), None, "no such guild");
    }

    #[test]
    fn members_of_a_guild_are_different_people() {
        let world = World::new(20, 1);
        for guild in world.guilds().iter() {
            let ids: HashSet<_> = world.members_of(*guild).into_iter().map(|user| user.id).collect();
            assert_eq!(ids.len(), 4);
        }
    }
}
