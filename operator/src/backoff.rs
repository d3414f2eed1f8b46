//! Back-off: how long to wait after so many failures in a row.
//!
//! From a first and a longest wait and a number to the wait, which doubles. For every edge that tries again and for the gate's rules, so
//! it is pure, and a number rather than an iterator: a rule is cloned and compared. Deliberately absent: chance, and when
//! failures are forgotten, which each caller knows.

use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// How soon somebody is looked for who is waited for.
pub const SOONEST: Duration = Duration::from_secs(5);
/// And at the latest, however long it has been.
pub const LATEST: Duration = Duration::from_secs(60);

/// By then every wait is the longest one.
const MOST_DOUBLINGS: u32 = 32;

/// How soon to look again for what a person has to bring, which has been missing for so long: a quarter of that.
#[must_use]
pub fn rising(missing_for: Duration) -> Duration {
    (missing_for / 4).clamp(SOONEST, LATEST)
}

/// Waits that double from `first` to `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff(ExponentialBuilder);

impl Backoff {
    /// From `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        let waits = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest);
        Self(waits.without_max_times())
    }

    /// The wait after so many doublings; 0: the first.
    #[must_use]
    pub fn wait(&self, doublings: u32) -> Duration {
        // A seed, since what is not drawn from needs no chance.
        let mut waits = self.0.with_jitter_seed(0).build();
        let at = usize::try_from(doublings.min(MOST_DOUBLINGS)).unwrap_or(usize::MAX);
        waits.nth(at).unwrap_or(Duration::MAX)
    }

    /// The wait after so many failures in a row; after none, none.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        failures.checked_sub(1).map_or(Duration::ZERO, |doublings| self.wait(doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missing_is_looked_for_ever_later() {
        assert_eq!(
            [0, 20, 100, 9_000].map(|gone| rising(Duration::from_secs(gone)).as_secs()),
            [5, 5, 25, 60]
        );
    }

    #[test]
    fn waits_double_to_the_longest_and_stay_there_however_many_there_were() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let waits = [0, 1, 2, 3, 4, 5, 63, u32::MAX].map(|failures| backoff.after(failures).as_millis());
        assert_eq!(waits, [0, 500, 1_000, 2_000, 3_000, 3_000, 3_000, 3_000]);
        assert_eq!(backoff.wait(0), Duration::from_millis(500));
    }
}
