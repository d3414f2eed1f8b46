//! Coverage: how long each shard was without any connection, and when it was ready first.
//!
//! From: sessions getting and losing connections. For: the ledger's pause per shard and time to ready. A shard is covered
//! while at least one session of its `[shard, total]` has a connection. Deliberately absent: sessions; any of them counts.

use std::collections::BTreeMap;

use crate::ledger::{ShardCoverage, TotalProgress};
use crate::snowflake::Snowflake;

/// Shards that are followed.
const MOST: usize = 100_000;

/// A shard of a bot: `(bot, total, shard)`.
pub type Place = (Snowflake, u32, u32);

/// What is known of every shard.
#[derive(Debug, Default)]
pub struct Coverage {
    shards: BTreeMap<Place, Shard>,
    /// First IDENTIFY of each bot and total.
    begun: BTreeMap<(Snowflake, u32), u64>,
}

#[derive(Debug, Default)]
struct Shard {
    links: u32,
    ready_at_ms: Option<u64>,
    uncovered_since: Option<u64>,
    pauses: u64,
    longest_ms: u64,
    last_ms: u64,
    all_ms: u64,
}

impl Coverage {
    /// An IDENTIFY came.
    pub fn identified(&mut self, (application, total, _): Place, at_ms: u64) {
        if self.begun.len() < MOST {
            self.begun.entry((application, total)).or_insert(at_ms);
        }
    }

    /// A session of the shard has a connection now and had none before.
    pub fn covered(&mut self, place: Place, at_ms: u64) {
        if self.shards.len() >= MOST && !self.shards.contains_key(&place) {
            return;
        }
        let shard = self.shards.entry(place).or_default();
        shard.links += 1;
        shard.ready_at_ms.get_or_insert(at_ms);
        if let Some(since) = shard.uncovered_since.take() {
            shard.last_ms = at_ms.saturating_sub(since);
            shard.longest_ms = shard.longest_ms.max(shard.last_ms);
            shard.all_ms += shard.last_ms;
            shard.pauses += 1;
        }
    }

    /// A session of the shard lost its connection.
    pub fn uncovered(&mut self, place: Place, at_ms: u64) {
        let Some(shard) = self.shards.get_mut(&place) else { return };
        shard.links = shard.links.saturating_sub(1);
        if shard.links == 0 {
            shard.uncovered_since.get_or_insert(at_ms);
        }
    }

    /// Every shard that was ever ready.
    pub fn shards(&self) -> Vec<ShardCoverage> {
        let shards = self.shards.iter().map(|((application_id, total, id), shard)| ShardCoverage {
            application_id: *application_id,
            shard: *id,
            total: *total,
            connections: shard.links,
            first_ready_at_ms: shard.ready_at_ms.unwrap_or_default(),
            pauses: shard.pauses,
            last_pause_ms: shard.last_ms,
            longest_pause_ms: shard.longest_ms,
            paused_ms: shard.all_ms,
            without_connection_since_ms: shard.uncovered_since,
        });
        shards.collect()
    }

    /// Every total that was ever begun.
    pub fn totals(&self) -> Vec<TotalProgress> {
        let totals = self.begun.iter().map(|((application, total), begun)| {
            let shards = self.shards.range((*application, *total, 0)..=(*application, *total, u32::MAX));
            let ready: Vec<_> = shards.filter_map(|(_, shard)| shard.ready_at_ms).collect();
            let last = ready.iter().max().copied();
            let is_whole = u32::try_from(ready.len()).is_ok_and(|ready| ready == *total);
            TotalProgress {
                application_id: *application,
                total: *total,
                first_identify_at_ms: *begun,
                shards_ready_once: u32::try_from(ready.len()).unwrap_or(u32::MAX),
                last_first_ready_at_ms: last,
                time_to_ready_ms: last.filter(|_| is_whole).map(|last| last.saturating_sub(*begun)),
            }
        });
        totals.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: Snowflake = Snowflake(1);

    #[test]
    fn a_pause_is_the_time_in_which_no_session_of_the_shard_was_connected() {
        let mut coverage = Coverage::default();
        let place = (BOT, 2, 1);
        coverage.covered(place, 100);
        coverage.covered(place, 150);
        coverage.uncovered(place, 200);
        assert_eq!(coverage.shards()[0].without_connection_since_ms, None);
        coverage.uncovered(place, 300);
        coverage.covered(place, 350);
        coverage.uncovered(place, 400);
        coverage.covered(place, 420);
        let shard = &coverage.shards()[0];
        assert_eq!(
            (shard.pauses, shard.last_pause_ms, shard.longest_pause_ms, shard.paused_ms),
            (2, 20, 50, 70)
        );
        assert_eq!((shard.connections, shard.first_ready_at_ms), (1, 100));
    }

    #[test]
    fn a_total_is_ready_when_every_shard_of_it_was() {
        let mut coverage = Coverage::default();
        for (shard, at) in [(0, 10), (1, 5000)] {
            assert!(coverage.totals().iter().all(|total| total.time_to_ready_ms.is_none()));
            coverage.identified((BOT, 2, shard), at);
            coverage.covered((BOT, 2, shard), at + 5);
        }
        coverage.covered((BOT, 3, 0), 7000);
        let total = &coverage.totals()[0];
        assert_eq!((total.total, total.shards_ready_once, total.time_to_ready_ms), (2, 2, Some(4995)));
    }
}
