//! Which go first among the shards that wait: one a bucket, the most urgent first, each at most once in ten minutes.
//!
//! From who waits since when, the tries so far and what Discord says of buckets and budget to the shards that IDENTIFY now.
//! Pure, with time as an argument. Deliberately absent: when ([`super`]).

use shard_contract::{fallback::budget_allows, identify::Priority, pace::Pace};
use tokio::time::Instant;

use super::{Allowance, tries::Tries};

/// A shard that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) shard: u32,
    pub(crate) priority: Priority,
    pub(crate) since: Instant,
}

/// The shards that IDENTIFY in this allowance, most urgent first.
pub(crate) fn choose(
    waiting: impl Iterator<Item = Waits>,
    tries: &Tries,
    allowance: &Allowance,
    pace: Pace,
    now: Instant,
) -> Vec<u32> {
    let mut waiting: Vec<_> = waiting.filter(|waits| tries.may(waits.shard, pace, now)).collect();
    waiting.sort_unstable_by_key(|waits| (waits.priority, waits.since, waits.shard));
    let mut taken = std::collections::BTreeSet::new();
    waiting.retain(|waits| taken.insert(waits.shard % allowance.buckets));
    waiting.into_iter().map(|waits| waits.shard).take(allowance.most as usize).collect()
}

/// How many IDENTIFYs a budget allows one after the other.
pub(super) const fn allowed(remaining: u32, total: u32) -> u32 {
    // Largest n with `budget_allows(remaining - (n - 1), total)`.
    if !budget_allows(remaining, total) {
        return 0;
    }
    let mut most = 1;
    while most < remaining && budget_allows(remaining - most, total) {
        most += 1;
    }
    most
}

#[cfg(test)]
mod tests {
    use tokio::time::Duration;

    use super::*;

    #[test]
    fn one_a_bucket_the_most_urgent_first_and_none_twice_in_ten_minutes() {
        let now = Instant::now();
        let at =
            |shard, priority, seconds| Waits { shard, priority, since: now + Duration::from_secs(seconds) };
        let waiting = [
            at(0, Priority::Active, 0),
            at(2, Priority::Live, 9),
            at(1, Priority::Standby, 0),
            at(3, Priority::Standby, 1),
        ];
        let allowance = Allowance { until: now, buckets: 2, most: 5 };
        let folder = tempfile::tempdir().unwrap();
        let mut tries = Tries::kept(folder.path(), shard_machine::WallClock::system());
        let chosen = |tries: &Tries, allowance: Allowance, now| {
            choose(waiting.into_iter(), tries, &allowance, Pace::REAL, now)
        };
        assert_eq!(chosen(&tries, allowance, now), [2, 1]);
        assert_eq!(chosen(&tries, Allowance { most: 1, ..allowance }, now), [2]);
        tries.note(2, now);
        tries.note(1, now);
        assert_eq!(chosen(&tries, allowance, now), [0, 3]);
        tries.note(0, now);
        let minutes = |minutes| now + Duration::from_mins(minutes);
        assert_eq!(chosen(&tries, allowance, minutes(9)), [3]);
        assert_eq!(chosen(&tries, allowance, minutes(10)), [2, 1]);
        tries.forget(0);
        assert_eq!(chosen(&tries, allowance, now), [0, 3], "one that did not go out is no try");
    }

    #[test]
    fn the_last_fifth_of_the_budget_is_not_touched() {
        assert_eq!(
            [(1_000, 1_000), (201, 1_000), (203, 1_000), (200, 1_000), (0, 0), (1, 0)]
                .map(|(left, of)| allowed(left, of)),
            [800, 1, 3, 0, 0, 1]
        );
    }
}
