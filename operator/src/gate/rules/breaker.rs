//! The breaker: stops a fleet that burns IDENTIFYs without reaching READY, as a crash-looping image does.
//!
//! It trips when `max(10, 2 % of the daily total)` IDENTIFYs in 30 minutes failed without one READY between them. Ten, since
//! one shard alone, backing off, fails fewer times in that time, and a node's loss in the midst of a start burns few; 2 %,
//! since a large fleet has many under way at once and a larger budget: burning goes on at one part in fifty of the day's
//! budget at most. Open, it lets one probe through at a time, after waits of 30 s that double up to 15 minutes; a READY
//! closes it. Deliberately absent: why they fail, which pods report.

use super::clock::Millis;
use crate::backoff::Backoff;
use shard_contract::pace::Pace;
use std::collections::VecDeque;
use std::time::Duration;

/// Fewer failures never trip it.
const LEAST: usize = 10;
/// Failures count for so long.
const WITHIN_MS: u64 = 1_800_000;
/// The waits before probes.
const WAITS: Backoff = Backoff::new(Duration::from_millis(FIRST_MS), Duration::from_millis(LONGEST_MS));
const FIRST_MS: u64 = 30_000;
const LONGEST_MS: u64 = 900_000;

/// Closed, or open since it tripped.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: VecDeque<Millis>,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Failures in a row.
    failures: u32,
    /// Probes in vain.
    probes: u32,
    next: Millis,
    /// The grant whose outcome is waited for.
    probe: Option<u64>,
}

impl Breaker {
    /// Why it lets nothing through, and until when; none while it does.
    #[must_use]
    pub fn denies(&self, now: Millis) -> Option<(Millis, String)> {
        let open = self.open?;
        let failures = open.failures;
        if open.probe.is_some() {
            // Its outcome, or its time-out, comes as an event.
            let because =
                format!("{failures} IDENTIFYs in a row did not reach READY; one is under way to try");
            return Some((now.after(1_000), because));
        }
        let seconds = open.next.since(now).div_ceil(1_000);
        (open.next > now).then(|| {
            let because = format!(
                "{failures} IDENTIFYs in a row did not reach READY, so one at a time is tried, the next in {seconds} s"
            );
            (open.next, because)
        })
    }

    /// Failures in a row and the seconds until the next probe, while it is open.
    #[must_use]
    pub fn tripped(&self, now: Millis) -> Option<(u32, u64)> {
        self.open.map(|open| (open.failures, open.next.since(now).div_ceil(1_000)))
    }

    /// A grant was given.
    pub fn granted(&mut self, grant: u64) {
        if let Some(open) = &mut self.open {
            open.probe = Some(grant);
        }
    }

    /// A grant was not used: it tried nothing.
    pub fn unused(&mut self, now: Millis, grant: u64) {
        if let Some(open) = self.open.as_mut().filter(|open| open.probe == Some(grant)) {
            open.probe = None;
            open.next = now;
        }
    }

    /// An IDENTIFY did not reach READY.
    pub fn failed(&mut self, now: Millis, grant: u64, daily_total: u32, pace: Pace) {
        if let Some(open) = &mut self.open {
            open.failures = open.failures.saturating_add(1);
            // One that was under way when it tripped proves nothing new.
            if open.probe == Some(grant) {
                open.probe = None;
                open.probes = open.probes.saturating_add(1);
                open.next = next_probe(now, open.probes, pace);
            }
            return;
        }
        self.failures.push_back(now);
        let within = pace.real_ms(WITHIN_MS);
        while self.failures.front().is_some_and(|at| now.since(*at) > within) {
            self.failures.pop_front();
        }
        if self.failures.len() >= LEAST.max(daily_total as usize / 50) {
            let failures = self.failures.len().try_into().unwrap_or(u32::MAX);
            self.open = Some(Open { failures, probes: 0, next: next_probe(now, 0, pace), probe: None });
            self.failures.clear();
        }
    }

    /// READY came.
    pub fn ready(&mut self) {
        *self = Self::default();
    }
}

fn next_probe(now: Millis, probes: u32, pace: Pace) -> Millis {
    let wait_ms = WAITS.wait(probes).as_millis().try_into().unwrap_or(u64::MAX);
    now.after(pace.real_ms(wait_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tripped() -> Breaker {
        let mut breaker = Breaker::default();
        for grant in 1..=10 {
            assert_eq!(breaker.tripped(Millis(0)), None);
            breaker.failed(Millis(1_000), grant, 500, Pace::REAL);
        }
        breaker
    }

    #[test]
    fn ten_failures_without_a_ready_trip_it_and_more_for_a_larger_budget() {
        assert_eq!(tripped().tripped(Millis(1_000)), Some((10, 30)));
        let mut large = Breaker::default();
        for grant in 1..=39 {
            large.failed(Millis(1_000), grant, 2_000, Pace::REAL);
        }
        assert_eq!(large.tripped(Millis(1_000)), None);
        large.failed(Millis(1_000), 40, 2_000, Pace::REAL);
        assert_eq!(large.tripped(Millis(1_000)), Some((40, 30)));
    }

    #[test]
    fn a_ready_between_them_or_half_an_hour_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for grant in 1..=9 {
            breaker.failed(Millis(1_000), grant, 500, Pace::REAL);
        }
        breaker.failed(Millis(1_802_000), 10, 500, Pace::REAL);
        assert_eq!(breaker.tripped(Millis(1_802_000)), None);
        breaker.ready();
        for grant in 11..=19 {
            breaker.failed(Millis(1_803_000), grant, 500, Pace::REAL);
        }
        assert_eq!(breaker.tripped(Millis(1_803_000)), None);
    }

    #[test]
    fn open_it_lets_one_probe_through_at_a_time_until_one_is_ready() {
        let mut breaker = tripped();
        let mut now = Millis(1_000);
        for (grant, wait) in (100..).zip([30, 60, 120, 240, 480, 900, 900_u64]) {
            let (at, because) = breaker.denies(now).unwrap();
            assert!(because.contains(&format!("the next in {wait} s")), "{because}");
            assert_eq!(at, now.after(wait * 1_000));
            now = at;
            assert_eq!(breaker.denies(now), None);
            breaker.granted(grant);
            assert!(breaker.denies(now.after(5_000)).is_some(), "one at a time");
            breaker.failed(now, grant, 500, Pace::REAL);
        }
        now = now.after(900_000);
        breaker.granted(200);
        breaker.unused(now, 200);
        assert_eq!(breaker.denies(now), None, "one that tried nothing is replaced at once");
        breaker.ready();
        assert_eq!((breaker.denies(now), breaker.tripped(now)), (None, None));
    }
}
