//! When each shard tried last to IDENTIFY by the fallback schedule, so that none tries twice in ten minutes.
//!
//! The tries outlive the container, in `fallback.json`: a process that crashes and restarts again and again without an operator
//! spends one IDENTIFY a shard in ten minutes like any other, and not one a restart. A try is kept before it is allowed. The
//! file has the wall clock's times, since nothing else outlives the process; one that lies ahead counts as just now. Deliberately
//! absent: whose slot it is ([`super::choice`]).

use std::{collections::BTreeMap, path::Path};

use shard_contract::{fallback::RETRY_MS, pace::Pace};
use shard_machine::WallClock;
use tokio::time::{Duration, Instant};

use crate::edges::kept::Kept;

/// Where tries are kept.
const FILE: &str = "fallback.json";

/// Milliseconds since 1970 of each shard's last try.
type Times = BTreeMap<u32, u64>;

/// When each shard tried last.
#[derive(Debug)]
pub(crate) struct Tries {
    last: BTreeMap<u32, Instant>,
    kept: Kept<Times>,
    wall: WallClock,
}

impl Tries {
    /// The tries of this pod's earlier process, which are in this folder.
    pub(crate) fn kept(folder: &Path, wall: WallClock) -> Self {
        let kept = Kept::<Times>::new(folder, FILE);
        let (now, clock) = (Instant::now(), clock_ms(&wall));
        let instant = |ms: u64| now.checked_sub(Duration::from_millis(clock.saturating_sub(ms)));
        let times = kept.read().unwrap_or_default();
        let last = times.into_iter().filter_map(|(shard, ms)| Some((shard, instant(ms)?))).collect();
        Self { last, kept, wall }
    }

    /// The shard tries now, with the moment of the try.
    pub(crate) fn note(&mut self, shard: u32, now: Instant) {
        self.last.insert(shard, now);
        self.keep();
    }

    /// The shard did not try after all.
    pub(crate) fn forget(&mut self, shard: u32) {
        self.last.remove(&shard);
        self.keep();
    }

    /// When the shard may try again; none: now.
    pub(crate) fn again_at(&self, shard: u32, pace: Pace) -> Option<Instant> {
        self.last.get(&shard).map(|last| *last + pace.real(Duration::from_millis(RETRY_MS)))
    }

    /// Whether the shard may try now.
    pub(super) fn may(&self, shard: u32, pace: Pace, now: Instant) -> bool {
        self.again_at(shard, pace).is_none_or(|at| at <= now)
    }

    fn keep(&self) {
        let (now, clock) = (Instant::now(), clock_ms(&self.wall));
        let ms = |last: &Instant| clock.saturating_sub(millis(now.saturating_duration_since(*last)));
        self.kept.write(&self.last.iter().map(|(shard, last)| (*shard, ms(last))).collect());
    }
}

fn clock_ms(wall: &WallClock) -> u64 {
    u64::try_from(wall.now().as_millisecond()).unwrap_or(0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_mins(10);

    #[test]
    fn a_restarted_process_knows_when_the_one_before_tried() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut tries = Tries::kept(folder.path(), WallClock::system());
        tries.note(3, now.checked_sub(Duration::from_mins(4)).unwrap());
        tries.note(4, now);
        tries.note(5, now);
        tries.forget(5);
        let tries = Tries::kept(folder.path(), WallClock::system());
        assert!(!tries.may(3, Pace::REAL, now + Duration::from_mins(5)));
        assert!(tries.may(3, Pace::REAL, now + Duration::from_mins(7)));
        assert!(!tries.may(4, Pace::REAL, now + Duration::from_mins(9)));
        assert!(tries.may(5, Pace::REAL, now) && tries.may(6, Pace::REAL, now));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_for_longer_than_ten_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let tomorrow = clock_ms(&WallClock::system()) + 86_400_000;
        Kept::new(folder.path(), FILE).write(&Times::from([(0, tomorrow)]));
        let tries = Tries::kept(folder.path(), WallClock::system());
        let now = Instant::now();
        assert!(!tries.may(0, Pace::REAL, now));
        assert!(tries.may(0, Pace::REAL, now + TEN_MINUTES));
    }
}
