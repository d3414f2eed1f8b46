//! Back-off of shards that keep failing.
//!
//! From what became of a shard's IDENTIFYs to when it may have the next. The first failure costs nothing beyond the bucket;
//! then 5 s, 10 s, 20 s and so on up to 15 minutes. READY forgets all of it. Deliberately absent: what failing many shards
//! at once means, which the breaker knows.

use super::clock::Millis;
use shard_contract::pace::Pace;
use std::collections::HashMap;

/// The wait after the second failure; it doubles.
const FIRST_MS: u64 = 5_000;
/// The longest wait.
const LONGEST_MS: u64 = 900_000;
/// A shard that has not failed for so long after its wait begins anew.
const FORGOTTEN_MS: u64 = 3_600_000;

/// Shards that failed, by layout and id.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failing: HashMap<(u32, u32), Failing>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    times: u32,
    until: Millis,
}

impl Backoff {
    /// When this shard may identify; the past when it may now.
    #[must_use]
    pub fn until(&self, layout: u32, shard: u32) -> Millis {
        self.failing.get(&(layout, shard)).map_or(Millis(0), |failing| failing.until)
    }

    /// An IDENTIFY did not reach READY.
    pub fn failed(&mut self, now: Millis, layout: u32, shard: u32, pace: Pace) {
        let failing = self.failing.entry((layout, shard)).or_insert(Failing { times: 0, until: now });
        failing.times = failing.times.saturating_add(1);
        if let Some(doublings) = failing.times.checked_sub(2) {
            let wait = FIRST_MS.saturating_mul(2_u64.saturating_pow(doublings)).min(LONGEST_MS);
            failing.until = now.after(pace.real_ms(wait));
        }
    }

    /// READY came.
    pub fn ready(&mut self, layout: u32, shard: u32) {
        self.failing.remove(&(layout, shard));
    }

    /// Lets go of what counts no more.
    pub fn forget(&mut self, now: Millis, pace: Pace) {
        let kept = pace.real_ms(FORGOTTEN_MS);
        self.failing.retain(|_, failing| now.since(failing.until) < kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_five_seconds_to_a_quarter_of_an_hour_and_ready_forgets_them() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..11 {
            backoff.failed(Millis(1_000), 1, 7, Pace::REAL);
            waits.push(backoff.until(1, 7).since(Millis(1_000)) / 1_000);
        }
        assert_eq!(waits, [0, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(backoff.until(2, 7), Millis(0), "the next layout's shard is another one");
        backoff.ready(1, 7);
        backoff.failed(Millis(5_000), 1, 7, Pace::REAL);
        assert_eq!(backoff.until(1, 7), Millis(5_000));
    }
}
