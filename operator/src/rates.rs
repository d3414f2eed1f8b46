//! Rates: how often something may be done for each key, so that nobody's storm costs the others.
//!
//! From a key to permission, or how long to wait for it: so many at once, then one in so much time (GCRA, by `governor`). For rounds
//! of a bot, calls of a pod, and questions to Discord. On tokio's clock, so that tests can pause it. Deliberately absent: waiting.

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// After so many questions what is known of keys that are not limited any more is dropped.
const SWEEP: usize = 1_024;

/// One rate for each key.
pub struct Rates<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, TokioClock, NoOpMiddleware<Moment>>,
    asked: AtomicUsize,
}

impl<K: Hash + Eq + Clone> std::fmt::Debug for Rates<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").field("keys", &self.limiter.len()).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Rates<K> {
    /// So many at once, then one in so much time, which must not be zero.
    #[must_use]
    pub fn new(at_once: NonZeroU32, every: Duration) -> Self {
        let quota = Quota::with_period(every).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let quota = quota.allow_burst(at_once);
        Self {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), TokioClock),
            asked: AtomicUsize::new(0),
        }
    }

    /// Takes one for this key.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&self, key: &K) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| until.wait_time_from(TokioClock.now()))
    }
}

/// tokio's monotonic clock.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Instant);

impl Clock for TokioClock {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(Instant::now())
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        Self(self.0 + Duration::from(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_then_one_in_so_much_time_and_each_key_apart() {
        let rates = Rates::new(NonZeroU32::new(2).unwrap(), Duration::from_secs(2));
        assert_eq!([rates.take(&"a"), rates.take(&"a")], [Ok(()), Ok(())]);
        let wait = rates.take(&"a").unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        assert_eq!(rates.take(&"b"), Ok(()));
        tokio::time::sleep(wait).await;
        assert_eq!(rates.take(&"a"), Ok(()));
        assert!(rates.take(&"a").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn of_keys_that_are_not_limited_any_more_nothing_stays() {
        let rates = Rates::new(NonZeroU32::MIN, Duration::from_secs(1));
        for key in 0..SWEEP - 1 {
            assert_eq!(rates.take(&key), Ok(()));
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(rates.take(&0), Ok(()));
        assert_eq!(rates.limiter.len(), 1);
    }
}
