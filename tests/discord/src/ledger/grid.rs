//! The grid: the state of every shard of every total in one letter each, small enough to be asked for every second.
//!
//! From: a whole ledger. For: `GET /ledger?grid=true`, which the page asks for, where 10,000 sessions would be megabytes.
//! Deliberately absent: what happened to a single shard; that is asked for by `?total=&shard=`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ledger, ShardCoverage, TotalProgress};
use crate::snowflake::Snowflake;

/// Letters in one answer. A bot may claim a total of four billion.
const MOST_LETTERS: usize = 40_000;
/// Totals in one answer.
const MOST_GRIDS: usize = 100;

/// The shards of one total of one bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grid {
    /// How far it has come.
    #[serde(flatten)]
    pub progress: TotalProgress,
    /// A letter for each shard, in order: `c` connected, `w` without connection, `n` never ready. All grids together have at
    /// most 40,000; what goes beyond is left out at the end.
    pub states: String,
    /// Shards with a connection.
    pub connected: u32,
    /// Shards that were ready and have no connection now.
    pub without_connection: u32,
    /// Shards that were never ready.
    pub never_ready: u32,
    /// Sessions that exist, connected or still to be resumed.
    pub sessions: u32,
    /// The longest pause of any shard that is over.
    pub longest_pause_ms: u64,
}

type Total = (Snowflake, u32);

/// The grids of the totals that were begun last, at most 100, the newest first.
pub(super) fn grids(ledger: &Ledger) -> Vec<Grid> {
    let mut shards: BTreeMap<Total, Vec<&ShardCoverage>> = BTreeMap::new();
    for shard in &ledger.shards {
        shards.entry((shard.application_id, shard.total)).or_default().push(shard);
    }
    let sessions = sessions(ledger);
    let mut totals: Vec<_> = ledger.totals.iter().collect();
    totals.sort_by_key(|total| Reverse(total.first_identify_at_ms));
    let mut room = MOST_LETTERS;
    let one = |progress: &TotalProgress| {
        let key = (progress.application_id, progress.total);
        let shards = shards.get(&key).map_or(&[][..], Vec::as_slice);
        let grid = grid(progress, shards, sessions.get(&key).copied().unwrap_or_default(), room);
        room -= grid.states.len();
        grid
    };
    totals.into_iter().take(MOST_GRIDS).map(one).collect()
}

/// The shards with the longest pauses first, as many as are wanted. A pause that lasts counts while its total has a session;
/// the shards of a total that was given up would otherwise lead for ever.
pub(super) fn longest_pauses(ledger: &Ledger, most: usize) -> Vec<ShardCoverage> {
    let sessions = sessions(ledger);
    let longest = |shard: &ShardCoverage| {
        let is_alive = sessions.contains_key(&(shard.application_id, shard.total));
        let since = shard.without_connection_since_ms.filter(|_| is_alive);
        let lasting = since.map_or(0, |since| ledger.now_ms.saturating_sub(since).max(1));
        shard.longest_pause_ms.max(lasting)
    };
    let mut paused: Vec<_> =
        ledger.shards.iter().filter(|shard| longest(shard) > 0 || shard.pauses > 0).collect();
    paused.sort_by_key(|shard| Reverse(longest(shard)));
    paused.into_iter().take(most).cloned().collect()
}

fn sessions(ledger: &Ledger) -> BTreeMap<Total, u32> {
    let mut sessions = BTreeMap::new();
    for session in &ledger.sessions {
        *sessions.entry((session.application_id, session.total)).or_default() += 1;
    }
    sessions
}

fn grid(progress: &TotalProgress, shards: &[&ShardCoverage], sessions: u32, room: usize) -> Grid {
    let length = usize::try_from(progress.total).unwrap_or(usize::MAX).min(room);
    let mut states = vec![b'n'; length];
    for shard in shards {
        let place = usize::try_from(shard.shard).ok().and_then(|shard| states.get_mut(shard));
        if let Some(place) = place {
            *place = if shard.connections > 0 { b'c' } else { b'w' };
        }
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let connected = number(shards.iter().filter(|shard| shard.connections > 0).count());
    Grid {
        progress: progress.clone(),
        states: states.into_iter().map(char::from).collect(),
        connected,
        without_connection: number(shards.len()).saturating_sub(connected),
        never_ready: progress.total.saturating_sub(number(shards.len())),
        sessions,
        longest_pause_ms: shards.iter().map(|shard| shard.longest_pause_ms).max().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: Snowflake = Snowflake(1);

    fn total(total: u32, first_identify_at_ms: u64) -> TotalProgress {
        TotalProgress {
            application_id: BOT,
            total,
            first_identify_at_ms,
            shards_ready_once: 0,
            last_first_ready_at_ms: None,
            time_to_ready_ms: None,
        }
    }

    fn shard(shard: u32, total: u32, connections: u32, longest_pause_ms: u64) -> ShardCoverage {
        ShardCoverage {
            application_id: BOT,
            shard,
            total,
            connections,
            first_ready_at_ms: 0,
            pauses: u64::from(longest_pause_ms > 0),
            last_pause_ms: longest_pause_ms,
            longest_pause_ms,
            paused_ms: longest_pause_ms,
            without_connection_since_ms: (connections == 0).then_some(100),
        }
    }

    fn ledger(totals: Vec<TotalProgress>, shards: Vec<ShardCoverage>) -> Ledger {
        let empty = crate::discord::Discord::new(crate::options::Options::default()).ledger();
        Ledger { totals, shards, now_ms: 1000, ..empty }
    }

    #[test]
    fn a_shard_is_one_letter_and_the_newest_total_comes_first() {
        let shards = vec![shard(0, 4, 1, 0), shard(2, 4, 0, 30), shard(0, 2, 2, 0)];
        let found = grids(&ledger(vec![total(4, 10), total(2, 20)], shards));
        let found: Vec<_> = found.iter().map(|grid| (grid.progress.total, &*grid.states)).collect();
        assert_eq!(found, [(2, "cn"), (4, "cnwn")]);
    }

    #[test]
    fn a_total_of_four_billion_does_not_make_an_answer_of_four_gigabytes() {
        let found = grids(&ledger(vec![total(u32::MAX, 10), total(8, 20)], vec![shard(1, u32::MAX, 1, 0)]));
        assert_eq!((found[0].states.len(), found[1].states.len()), (8, MOST_LETTERS - 8));
        assert_eq!((found[1].connected, found[1].never_ready), (1, u32::MAX - 1));
    }

    #[test]
    fn pauses_that_last_do_not_count_once_their_total_was_given_up() {
        let shards = vec![shard(0, 4, 0, 0), shard(1, 4, 1, 30), shard(2, 4, 1, 50), shard(3, 4, 1, 0)];
        let longest = longest_pauses(&ledger(vec![total(4, 0)], shards), 10);
        assert_eq!(longest.iter().map(|shard| shard.shard).collect::<Vec<_>>(), [2, 1]);
    }
}
