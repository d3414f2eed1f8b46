//! Back-off of shards that keep failing, or keep needing another IDENTIFY.
//!
//! From what became of a shard's IDENTIFYs to when it may have the next. The first failure costs nothing beyond the bucket;
//! then 5 s, 10 s, 20 s and so on up to 15 minutes. READY forgets all of it. But a READY of less than ten minutes is no success
//! when it comes again and again, as of a pod that runs out of memory while its guilds come in: three such in a row cost
//! nothing, since Discord itself may invalidate sessions; then a minute, two, four, and so on up to an hour, and the shard has no
//! part in the reserve ([`Backoff::burns`]). Deliberately absent: what failing many shards at once means, which the breaker
//! knows.

use super::clock::Millis;
use crate::backoff::Backoff as Waits;
use shard_contract::pace::Pace;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// The waits from the second failure on.
const WAITS: Waits = Waits::new(Duration::from_millis(FIRST_MS), Duration::from_millis(LONGEST_MS));
const FIRST_MS: u64 = 5_000;
const LONGEST_MS: u64 = 900_000;
/// A shard that has not failed for so long after its wait begins anew.
const FORGOTTEN_MS: u64 = 3_600_000;

/// A session that ended earlier was a short one.
const LASTING_MS: u64 = 600_000;
/// So many short sessions in a row are nobody's fault.
const SHORT_FREE: u32 = 3;
/// The waits from the next one on.
const SHORT_WAITS: Waits =
    Waits::new(Duration::from_millis(FIRST_SHORT_MS), Duration::from_millis(LONGEST_SHORT_MS));
const FIRST_SHORT_MS: u64 = 60_000;
const LONGEST_SHORT_MS: u64 = 3_600_000;

/// Shards that failed, or came online lately, by layout and id.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failing: HashMap<(u32, u32), Failing>,
    online: HashMap<(u32, u32), Online>,
}

#[derive(Clone, Copy, Debug)]
struct Online {
    /// Short sessions in a row before this one.
    short: u32,
    /// When its next IDENTIFY may be; when READY came, at the least.
    until: Millis,
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
        let failing = self.failing.get(&(layout, shard)).map_or(Millis(0), |failing| failing.until);
        let online = self.online.get(&(layout, shard)).map_or(Millis(0), |online| online.until);
        failing.max(online)
    }

    /// Whether it needs IDENTIFYs again and again, so that what is kept for others is not its own.
    #[must_use]
    pub fn burns(&self, layout: u32, shard: u32) -> bool {
        self.online.get(&(layout, shard)).is_some_and(|online| online.short >= SHORT_FREE)
    }

    /// An IDENTIFY did not reach READY.
    pub fn failed(&mut self, now: Millis, layout: u32, shard: u32, pace: Pace) {
        let failing = self.failing.entry((layout, shard)).or_insert(Failing { times: 0, until: now });
        failing.times = failing.times.saturating_add(1);
        if let Some(doublings) = failing.times.checked_sub(2) {
            failing.until = now.after(pace.real_ms(millis(WAITS.wait(doublings))));
        }
    }

    /// READY came.
    pub fn ready(&mut self, now: Millis, layout: u32, shard: u32, pace: Pace) {
        self.failing.remove(&(layout, shard));
        let lasting = pace.real_ms(LASTING_MS);
        let before = self.online.get(&(layout, shard)).filter(|before| now.since(before.until) < lasting);
        let short = before.map_or(0, |before| before.short.saturating_add(1));
        let wait = short.checked_sub(SHORT_FREE).map_or(0, |doublings| millis(SHORT_WAITS.wait(doublings)));
        self.online.insert((layout, shard), Online { short, until: now.after(pace.real_ms(wait)) });
    }

    /// How many shards of these layouts would wait if they asked now, and the longest of those waits in milliseconds.
    #[must_use]
    pub fn waits(&self, now: Millis, counts: impl Fn(u32) -> bool) -> (u32, u64) {
        let all: BTreeSet<_> = self.failing.keys().chain(self.online.keys()).collect();
        let waits = all.into_iter().filter(|(layout, _)| counts(*layout)).filter_map(|&(layout, shard)| {
            let until = self.until(layout, shard);
            (until > now).then(|| until.since(now))
        });
        waits.fold((0, 0), |(count, longest), wait| (count + 1, longest.max(wait)))
    }

    /// Lets go of what counts no more.
    pub fn forget(&mut self, now: Millis, pace: Pace) {
        let kept = pace.real_ms(FORGOTTEN_MS);
        self.failing.retain(|_, failing| now.since(failing.until) < kept);
        let lasting = pace.real_ms(LASTING_MS);
        self.online.retain(|_, online| now.since(online.until) < lasting);
    }
}

fn millis(wait: Duration) -> u64 {
    wait.as_millis().try_into().unwrap_or(u64::MAX)
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
        assert_eq!(backoff.waits(Millis(1_000), |_| true), (1, 900_000));
        assert_eq!(backoff.waits(Millis(1_000), |layout| layout != 1), (0, 0), "another layout's");
        assert_eq!(backoff.waits(Millis(901_000), |_| true), (0, 0), "it is over");
        assert_eq!(backoff.until(2, 7), Millis(0), "the next layout's shard is another one");
        backoff.ready(Millis(4_000), 1, 7, Pace::REAL);
        backoff.failed(Millis(5_000), 1, 7, Pace::REAL);
        assert_eq!(backoff.until(1, 7), Millis(5_000));
    }

    #[test]
    fn sessions_that_end_soon_again_and_again_wait_ever_longer_until_one_lasts() {
        let mut backoff = Backoff::default();
        let (mut now, mut waits) = (Millis(1_000), Vec::new());
        for _ in 0..11 {
            backoff.ready(now, 1, 7, Pace::REAL);
            waits.push(backoff.until(1, 7).since(now) / 60_000);
            // It asks five minutes after it may: a container that crashes is started again that late.
            now = backoff.until(1, 7).after(300_000);
            backoff.forget(now, Pace::REAL);
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(backoff.burns(1, 7) && !backoff.burns(1, 8) && !backoff.burns(2, 7));
        now = backoff.until(1, 7).after(LASTING_MS);
        backoff.ready(now, 1, 7, Pace::REAL);
        assert_eq!((backoff.until(1, 7), backoff.burns(1, 7)), (now, false));
    }
}
