//! Snowflakes: Discord's ids, which carry the time at which the thing was made.
//!
//! From: the world (ids of guilds made long ago) and the chat (ids made now). For: everything that routes by guild.
//! Source of the layout and of the routing formula: Discord, `developers/reference.mdx` "Snowflakes" and
//! `developers/events/gateway.mdx` "Sharding". Deliberately absent: worker and process numbers with a meaning.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// First millisecond of 2015 in Unix time: the zero of a snowflake's clock.
pub const EPOCH_MS: u64 = 1_420_070_400_000;

/// The most shards of a total.
const MOST_SHARDS: u32 = 100_000;

/// An id of Discord's. In JSON it is a string of digits; a bare number is read too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snowflake(pub u64);

impl Snowflake {
    /// The id made at `ms` of Unix time with the given low 22 bits.
    pub fn made_at(ms: u64, low: u64) -> Self {
        Self((ms.saturating_sub(EPOCH_MS) << 22) | (low & 0x3F_FFFF))
    }

    /// Unix time in milliseconds at which the thing was made.
    pub fn time_ms(self) -> u64 {
        (self.0 >> 22) + EPOCH_MS
    }

    /// `(id >> 22) % total`: the shard that gets this guild's events. `total` 0 counts as 1.
    pub fn shard(self, total: u32) -> u32 {
        let shard = (self.0 >> 22) % u64::from(total.max(1));
        u32::try_from(shard).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Snowflake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Digits)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = Snowflake;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a snowflake: a string of digits")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Snowflake, E> {
        Ok(Snowflake(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Snowflake, E> {
        value.parse().map(Snowflake).map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

/// One shard of a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardOf {
    /// 0 to `total - 1`.
    pub id: u32,
    /// 1 to 100,000.
    pub total: u32,
}

impl ShardOf {
    /// Itself, where such a shard can be; else field, found, remedy.
    pub fn checked(self) -> Result<Self, String> {
        if !(1..=MOST_SHARDS).contains(&self.total) {
            return Err(format!("shard.total: found {}; use 1 to {MOST_SHARDS}", self.total));
        }
        if self.id >= self.total {
            return Err(format!("shard.id: found {}; use 0 to {}", self.id, self.total - 1));
        }
        Ok(self)
    }
}

/// Makes ids that only rise, also within one millisecond.
#[derive(Debug, Default)]
pub struct Mint {
    last: u64,
}

impl Mint {
    /// The next id, made at `ms` of Unix time, or just after the last one where the clock has not moved.
    pub fn next(&mut self, ms: u64) -> Snowflake {
        self.last = Snowflake::made_at(ms, 0).0.max(self.last + 1);
        Snowflake(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_discords_page_has_its_documented_time() {
        assert_eq!(Snowflake(175_928_847_299_117_063).time_ms(), 1_462_015_105_796);
    }

    #[test]
    fn ids_of_one_millisecond_differ_and_rise() {
        let mut mint = Mint::default();
        let ids: Vec<_> = (0..1000).map(|_| mint.next(1_700_000_000_000)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[999].time_ms(), 1_700_000_000_000);
    }

    #[test]
    fn json_holds_a_string_and_a_number_is_read_too() {
        assert_eq!(serde_json::to_string(&Snowflake(7)).unwrap(), "\"7\"");
        assert_eq!(serde_json::from_str::<Snowflake>("7").unwrap(), Snowflake(7));
        assert!(serde_json::from_str::<Snowflake>("\"7x\"").is_err());
    }
}
