//! Back-off: how long to wait before trying again what failed.
//!
//! Doubles from a first wait to a longest one, each wait spread by a quarter, so that pods that failed together do not
//! come back together. For every edge that tries again: gate, reports, the API server, the token file.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use shard_machine::Random;

/// Waits that double.
#[derive(Debug)]
pub(crate) struct Backoff {
    waits: ExponentialBuilder,
    left: ExponentialBackoff,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let waits = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest);
        let waits = waits.without_max_times();
        Self { waits, left: waits.build() }
    }

    /// The next wait.
    pub(crate) fn next(&mut self, random: &Random) -> Duration {
        spread(random, self.exact())
    }

    /// The next wait, not spread.
    pub(crate) fn exact(&mut self) -> Duration {
        // Never ends.
        self.left.next().unwrap_or(Duration::MAX)
    }

    /// After a success the next failure begins anew.
    pub(crate) fn reset(&mut self) {
        self.left = self.waits.build();
    }
}

/// The wait, a quarter longer or shorter by chance. `backon`'s own jitter only lengthens a wait, up to twice.
pub(crate) fn spread(random: &Random, wait: Duration) -> Duration {
    random.spread(wait, 0.75, 1.25)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_success() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        for expected in [1, 2, 4, 5, 5] {
            let wait = backoff.next(&Random::seeded(1));
            let expected = seconds(expected);
            assert!(
                wait >= expected.mul_f64(0.75) && wait <= expected.mul_f64(1.25),
                "{wait:?} {expected:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next(&Random::seeded(1)) <= seconds(1).mul_f64(1.25));
    }
}
