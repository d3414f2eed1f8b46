//! Buckets: one IDENTIFY per `shard mod max_concurrency` in 5 s, over the whole token.
//!
//! From grants and what became of them to when each bucket is free. A grant takes its bucket until its own end and a window
//! after it; the word that the IDENTIFY went out shortens that. An op 9 on an IDENTIFY spaces its bucket by 0.5 s more for an
//! hour, each at most [`MOST_MARKS`] times: it means that travel times vary by more than is allowed for. For the operator's gate and for a
//! local run, which is its own. Deliberately absent: whether anything else forbids a grant.

use crate::identify::GRANT_VALID_MS;
use crate::pace::Pace;
use std::collections::{BTreeMap, VecDeque};

/// The identify window of Discord (<https://docs.discord.com/developers/events/gateway#rate-limiting>).
const WINDOW_MS: u64 = 5_000;
/// What travel times may vary by; real time at any pace.
pub const TRAVEL_MS: u64 = 120;
/// How much an op 9 spaces its bucket.
const MARK_MS: u64 = 500;
/// How long it does.
const MARKED_MS: u64 = 3_600_000;
/// Six marks are 3 s: more would hide what only a person can mend.
const MOST_MARKS: usize = 6;

/// A moment on the monotonic clock of whoever grants, in milliseconds since its process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// So much later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// How much later it is than another moment; 0 when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// When each bucket is free.
#[derive(Clone, Debug)]
pub struct Buckets {
    count: u32,
    pace: Pace,
    busy: BTreeMap<u32, Busy>,
    marks: BTreeMap<u32, VecDeque<Millis>>,
}

#[derive(Clone, Copy, Debug)]
struct Busy {
    until: Millis,
    grant: u64,
}

impl Buckets {
    /// All of them free.
    #[must_use]
    pub fn new(count: u32, pace: Pace) -> Self {
        Self { count: count.max(1), pace, busy: BTreeMap::new(), marks: BTreeMap::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// When a shard's bucket is free; the past when it is.
    #[must_use]
    pub fn free_at(&self, shard: u32) -> Millis {
        self.busy.get(&(shard % self.count)).map_or(Millis(0), |busy| busy.until)
    }

    /// Takes a shard's bucket for a grant.
    pub fn take(&mut self, now: Millis, shard: u32, grant: u64) {
        let bucket = shard % self.count;
        let until = now.after(self.pace.real_ms(GRANT_VALID_MS) + self.window(now, bucket));
        self.busy.insert(bucket, Busy { until, grant });
    }

    /// The grant's IDENTIFY has gone out.
    pub fn sent(&mut self, now: Millis, shard: u32, grant: u64) {
        let until = now.after(self.window(now, shard % self.count));
        if let Some(busy) = self.of(shard, grant) {
            busy.until = busy.until.min(until);
        }
    }

    /// The grant's IDENTIFY will not go out.
    pub fn give_back(&mut self, now: Millis, shard: u32, grant: u64) {
        if let Some(busy) = self.of(shard, grant) {
            busy.until = now;
        }
    }

    /// The grant's IDENTIFY was answered with op 9.
    pub fn invalid(&mut self, now: Millis, shard: u32, grant: u64) {
        let more = self.pace.real_ms(MARK_MS);
        let marks = self.marks.entry(shard % self.count).or_default();
        marks.push_back(now);
        if marks.len() > MOST_MARKS {
            marks.pop_front();
        } else if let Some(busy) = self.of(shard, grant) {
            busy.until = busy.until.after(more);
        }
    }

    /// With other buckets, what is known of the old ones counts for all.
    pub fn resize(&mut self, count: u32, pace: Pace) {
        self.pace = pace;
        if self.count == count.max(1) {
            return;
        }
        self.count = count.max(1);
        let latest = self.busy.values().map(|busy| busy.until).max();
        let marks = std::mem::take(&mut self.marks).into_values().max_by_key(VecDeque::len);
        self.busy =
            (0..self.count).filter_map(|bucket| Some((bucket, Busy { until: latest?, grant: 0 }))).collect();
        self.marks = (0..self.count).filter_map(|bucket| Some((bucket, marks.clone()?))).collect();
    }

    /// Lets go of what counts no more.
    pub fn forget(&mut self, now: Millis) {
        self.busy.retain(|_, busy| busy.until > now);
        let kept = self.pace.real_ms(MARKED_MS);
        self.marks.retain(|_, marks| marks.back().is_some_and(|at| now.since(*at) < kept));
    }

    fn window(&self, now: Millis, bucket: u32) -> u64 {
        let kept = self.pace.real_ms(MARKED_MS);
        let recent = |marks: &VecDeque<Millis>| marks.iter().filter(|at| now.since(**at) < kept).count();
        let marks = self.marks.get(&bucket).map_or(0, recent);
        self.pace.real_ms(WINDOW_MS) + TRAVEL_MS + marks as u64 * self.pace.real_ms(MARK_MS)
    }

    /// The bucket, while it is this grant that keeps it busy.
    fn of(&mut self, shard: u32, grant: u64) -> Option<&mut Busy> {
        self.busy.get_mut(&(shard % self.count)).filter(|busy| busy.grant == grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_op_9_spaces_its_bucket_by_half_a_second_for_an_hour_and_by_three_at_most() {
        let mut buckets = Buckets::new(2, Pace::REAL);
        for marks in 1..=8_u64 {
            let at = Millis(marks * 20_000);
            buckets.take(at, 1, marks);
            buckets.sent(at, 1, marks);
            buckets.invalid(at.after(300), 1, marks);
            let spaced = marks.min(6) * 500;
            assert_eq!(buckets.free_at(1), at.after(5_120 + spaced), "after {marks}");
        }
        let (soon, later) = (Millis(500_000), Millis(4_000_000));
        buckets.take(soon, 0, 90);
        buckets.sent(soon, 0, 90);
        assert_eq!(buckets.free_at(0), soon.after(5_120), "the other bucket is not spaced");
        buckets.take(later, 1, 91);
        buckets.sent(later, 1, 91);
        assert_eq!(buckets.free_at(1), later.after(5_120), "an hour later it is forgotten");
    }

    #[test]
    fn discords_window_follows_its_pace_and_travel_does_not() {
        let mut buckets = Buckets::new(1, Pace::from(10));
        buckets.take(Millis(0), 0, 1);
        assert_eq!(buckets.free_at(0), Millis(300 + 500 + 120));
    }

    #[test]
    fn with_other_buckets_what_was_busy_or_marked_is_so_for_all() {
        let mut buckets = Buckets::new(2, Pace::REAL);
        buckets.take(Millis(0), 1, 1);
        buckets.invalid(Millis(100), 1, 1);
        let until = buckets.free_at(1);
        buckets.resize(3, Pace::REAL);
        assert_eq!([0, 1, 2].map(|shard| buckets.free_at(shard)), [until; 3]);
        buckets.give_back(Millis(200), 1, 1);
        assert_eq!(buckets.free_at(1), until, "an old grant frees none of them");
        buckets.take(Millis(20_000), 2, 2);
        assert_eq!(buckets.free_at(2), Millis(20_000 + 3_000 + 5_620));
    }
}
