//! Back-off: how long to wait before trying again what failed.
//!
//! Doubles from a first wait to a longest one, each wait spread by a quarter, so that pods that failed together do not
//! come back together. For every edge that tries again: gate, reports, the API server, the token file.

use std::time::Duration;

/// Waits that double.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        spread(wait)
    }

    /// After a success the next failure begins anew.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// The wait, a quarter longer or shorter by chance.
pub(crate) fn spread(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_success() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        for expected in [1, 2, 4, 5, 5] {
            let wait = backoff.next();
            let expected = seconds(expected);
            assert!(
                wait >= expected.mul_f64(0.75) && wait <= expected.mul_f64(1.25),
                "{wait:?} {expected:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= seconds(1).mul_f64(1.25));
    }
}
