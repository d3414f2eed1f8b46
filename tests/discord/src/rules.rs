//! Discord's counting rules as plain values: what is allowed now, and if not, from when on.
//!
//! From: Discord's time (`clock.rs`), handed in by the caller. For: the gateway (identify, budget, sends) and
//! REST (rate limits). Deliberately absent: clocks, sockets, tokens, and what happens to those who break a rule.
//! Numbers: Discord, `developers/events/gateway.mdx` "Rate Limiting" and `developers/topics/rate-limits.mdx`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// One IDENTIFY per bucket in this time.
pub const IDENTIFY_SPAN: Duration = Duration::from_secs(5);
/// The daily budget's day.
pub const BUDGET_SPAN: Duration = Duration::from_secs(24 * 60 * 60);
/// A connection may send this many events ...
pub const SENDS: usize = 120;
/// ... in this time, heartbeats included.
pub const SEND_SPAN: Duration = Duration::from_secs(60);

/// A fixed window: `limit` uses, then none until it ends. It begins with the first use.
#[derive(Clone, Debug)]
pub struct Window {
    limit: u32,
    span: Duration,
    used: u32,
    ends: Duration,
}

/// What a window says after a use was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Whether the use is allowed.
    pub allowed: bool,
    /// Uses of one window.
    pub limit: u32,
    /// Uses left in this one.
    pub remaining: u32,
    /// Time until all uses are there again.
    pub reset_after: Duration,
}

impl Window {
    /// A full window.
    pub fn new(limit: u32, span: Duration) -> Self {
        Self { limit, span, used: 0, ends: Duration::ZERO }
    }

    /// Asks for one use at `now`.
    pub fn take(&mut self, now: Duration) -> Use {
        if self.is_over(now) {
            self.used = 0;
            self.ends = now + self.span;
        }
        let allowed = self.used < self.limit;
        self.used += u32::from(allowed);
        Use {
            allowed,
            limit: self.limit,
            remaining: self.limit - self.used,
            reset_after: self.ends.saturating_sub(now),
        }
    }

    /// Whether nothing of it needs to be remembered.
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.ends
    }
}

/// The daily budget of IDENTIFYs. Its day begins at the simulator's start and comes again by itself.
#[derive(Clone, Debug)]
pub struct Budget {
    total: u32,
    used: u32,
    span: Duration,
    ends: Duration,
}

impl Budget {
    /// `remaining` above `total` counts as `total`.
    pub fn new(total: u32, remaining: u32, span: Duration) -> Self {
        Self { total, used: total.saturating_sub(remaining), span, ends: span }
    }

    /// Takes one IDENTIFY; false when there was none left, which at Discord costs the token.
    pub fn spend(&mut self, now: Duration) -> bool {
        self.turn(now);
        let left = self.used < self.total;
        self.used += u32::from(left);
        left
    }

    /// Gives back an IDENTIFY that does not count after all.
    pub fn refund(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    /// The day's size.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// What is left of the day's IDENTIFYs.
    pub fn remaining(&mut self, now: Duration) -> u32 {
        self.turn(now);
        self.total.saturating_sub(self.used)
    }

    /// Time until the next day.
    pub fn resets_in(&mut self, now: Duration) -> Duration {
        self.turn(now);
        self.ends.saturating_sub(now)
    }

    /// Changes the day's size; what was used stays used.
    pub fn set_total(&mut self, total: u32) {
        self.total = total;
        self.used = self.used.min(total);
    }

    /// Changes what is left; more than the day's size counts as all of it.
    pub fn set_remaining(&mut self, remaining: u32) {
        self.used = self.total.saturating_sub(remaining);
    }

    fn turn(&mut self, now: Duration) {
        if now < self.ends {
            return;
        }
        // However many days were skipped, by a call of control or by nobody asking: in one step.
        let span = self.span.max(Duration::from_millis(1));
        let into_the_day = now.saturating_sub(self.ends).as_nanos() % span.as_nanos();
        let left = span.saturating_sub(Duration::from_nanos(u64::try_from(into_the_day).unwrap_or_default()));
        self.ends = now.saturating_add(left);
        self.used = 0;
    }
}

/// One IDENTIFY per bucket and span. A refused one does not push the span (Discord does not say whether it does).
#[derive(Clone, Debug)]
pub struct IdentifyLimit {
    span: Duration,
    last: HashMap<u32, Duration>,
}

impl IdentifyLimit {
    /// `span`: [`IDENTIFY_SPAN`], but in tests of it.
    pub fn new(span: Duration) -> Self {
        Self { span, last: HashMap::new() }
    }

    /// Admits an IDENTIFY in `bucket`, or says by how much it came too early.
    pub fn admit(&mut self, bucket: u32, now: Duration) -> Result<(), Duration> {
        if let Some(last) = self.last.get(&bucket) {
            let next = *last + self.span;
            if now < next {
                return Err(next.saturating_sub(now));
            }
        }
        self.last.insert(bucket, now);
        Ok(())
    }
}

/// Sends of one connection in a sliding span.
#[derive(Clone, Debug)]
pub struct SendLimit {
    span: Duration,
    sent: VecDeque<Duration>,
}

impl SendLimit {
    /// `span`: [`SEND_SPAN`], but in tests of it.
    pub fn new(span: Duration) -> Self {
        Self { span, sent: VecDeque::new() }
    }

    /// Counts one send; false when it is one more than [`SENDS`].
    pub fn send(&mut self, now: Duration) -> bool {
        while self.sent.front().is_some_and(|at| *at + self.span <= now) {
            self.sent.pop_front();
        }
        if self.sent.len() >= SENDS {
            return false;
        }
        self.sent.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_admits_one_identify_per_span_and_buckets_do_not_disturb_each_other() {
        let mut limit = IdentifyLimit::new(ms(5000));
        let table = [
            (0, 0, Ok(())),
            (0, 4999, Err(ms(1))),
            (1, 4999, Ok(())),
            (0, 5000, Ok(())),
            (0, 5001, Err(ms(4999))),
        ];
        for (bucket, at, expected) in table {
            assert_eq!(limit.admit(bucket, ms(at)), expected, "bucket {bucket} at {at}");
        }
    }

    #[test]
    fn the_budget_counts_down_is_passed_by_the_one_after_the_last_and_comes_again() {
        let mut budget = Budget::new(3, 2, ms(1000));
        assert!(budget.spend(ms(0)) && budget.spend(ms(1)));
        assert_eq!(budget.remaining(ms(2)), 0);
        assert!(!budget.spend(ms(2)));
        assert_eq!(budget.resets_in(ms(400)), ms(600));
        assert!(budget.spend(ms(1000)));
        assert_eq!(budget.remaining(ms(2500)), 3);
    }

    #[test]
    fn a_smaller_budget_never_leaves_more_than_it_has() {
        let mut budget = Budget::new(1000, 1000, BUDGET_SPAN);
        budget.set_total(5);
        assert_eq!(budget.remaining(ms(0)), 5);
        budget.set_remaining(9);
        assert_eq!(budget.remaining(ms(0)), 5);
    }

    #[test]
    fn a_window_allows_its_limit_and_says_when_it_ends() {
        let mut window = Window::new(2, ms(100));
        assert_eq!(window.take(ms(50)), Use { allowed: true, limit: 2, remaining: 1, reset_after: ms(100) });
        assert!(window.take(ms(60)).allowed);
        assert_eq!(window.take(ms(70)), Use { allowed: false, limit: 2, remaining: 0, reset_after: ms(80) });
        assert!(window.take(ms(150)).allowed);
    }

    #[test]
    fn the_121st_send_within_the_span_is_refused_and_the_span_slides() {
        let mut limit = SendLimit::new(ms(60_000));
        assert!((0..120).all(|i| limit.send(ms(i))));
        assert!(!limit.send(ms(59_999)));
        assert!(limit.send(ms(60_000)));
        assert!(!limit.send(ms(60_000)));
    }
}
