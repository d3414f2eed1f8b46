//! The simulator's two clocks: real time since its start, and Discord's time, which may pass faster and be moved.
//!
//! From: tokio's clock, the time factor, `POST /control/time`. For: rules, which keep Discord's own numbers (5 s, 60 s, a
//! day) and ask [`Clock::rules`]; the ledger and what happens on the wire ask [`Clock::now`]. Neither ever goes back.
//! Deliberately absent: heartbeats and the life of sessions, which have options of their own in real time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Real time and Discord's time, both since the start.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_at: Timestamp,
    course: Mutex<Course>,
}

/// How Discord's time has passed since the last change of its course.
#[derive(Clone, Copy, Debug)]
struct Course {
    factor: f64,
    real: Duration,
    rules: Duration,
}

impl Clock {
    /// Starts now. A factor that is not above 0 counts as 1.
    pub fn new(factor: f64) -> Self {
        Self::at(Timestamp::now(), factor)
    }

    /// Starts now, which it takes for that moment.
    pub fn at(started_at: Timestamp, factor: f64) -> Self {
        Self {
            started: Instant::now(),
            started_at,
            course: Mutex::new(Course { factor: sane(factor), real: Duration::ZERO, rules: Duration::ZERO }),
        }
    }

    /// Real time since the start.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When it started.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The present, by the monotonic clock.
    pub fn wall(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.now()).unwrap_or(SignedDuration::MAX);
        self.started_at.checked_add(since).unwrap_or(Timestamp::MAX)
    }

    /// The present in Unix milliseconds, by the monotonic clock.
    pub fn unix_ms(&self) -> u64 {
        let started = u64::try_from(self.started_at.as_millisecond()).unwrap_or_default();
        started + u64::try_from(self.now().as_millis()).unwrap_or_default()
    }

    /// The present by Discord's time, in Unix milliseconds: what the `Date` of its answers says.
    pub fn rules_unix_ms(&self) -> i64 {
        let since = i64::try_from(self.rules().as_millis()).unwrap_or(i64::MAX);
        self.started_at.as_millisecond().saturating_add(since)
    }

    /// Discord's time since the start.
    pub fn rules(&self) -> Duration {
        let course = self.course();
        course.rules_at(self.now())
    }

    /// Discord's time so long ago in real time, or at the last change of its course, if that was later.
    pub fn rules_before(&self, lag: Duration) -> Duration {
        let course = self.course();
        course.rules_at(self.now().saturating_sub(lag))
    }

    /// How long a span of Discord's time lasts in real time.
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.factor())
    }

    /// How many times faster than real time Discord's time passes.
    pub fn factor(&self) -> f64 {
        self.course().factor
    }

    /// From now on Discord's time passes that many times as fast as real time.
    pub fn set_factor(&self, factor: f64) {
        let mut course = self.course();
        let now = self.now();
        *course = Course { factor: sane(factor), real: now, rules: course.rules_at(now) };
    }

    /// Moves Discord's time forward.
    pub fn advance(&self, span: Duration) {
        let mut course = self.course();
        course.rules = course.rules.saturating_add(span);
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course {
    fn rules_at(&self, now: Duration) -> Duration {
        self.rules.saturating_add(now.saturating_sub(self.real).mul_f64(self.factor))
    }
}

fn sane(factor: f64) -> f64 {
    if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_factor_of_ten_makes_five_seconds_half_a_second() {
        let clock = Clock::new(10.0);
        tokio::time::advance(ms(500)).await;
        assert_eq!((clock.now(), clock.rules()), (ms(500), ms(5000)));
        assert_eq!(clock.real(ms(5000)), ms(500));
        assert_eq!(clock.rules_before(ms(20)), ms(4800));
        assert_eq!(Clock::new(f64::NAN).factor().to_string(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_factor_changes_what_comes_not_what_was() {
        let clock = Clock::new(1.0);
        tokio::time::advance(ms(100)).await;
        clock.set_factor(10.0);
        assert_eq!(clock.rules(), ms(100));
        tokio::time::advance(ms(100)).await;
        clock.set_factor(1.0);
        clock.advance(ms(5000));
        tokio::time::advance(ms(100)).await;
        assert_eq!(clock.rules(), ms(100 + 1000 + 5000 + 100));
    }
}
