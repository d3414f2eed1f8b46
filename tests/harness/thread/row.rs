//! A row of runs by seed in one thread each, as many side by side as there are cores; it ends at the first that is not good.
//!
//! From one seed to a report, run for run the same schedules as those of processes. A schedule that fails is made smaller first: faults
//! are dropped one by one as long as it still fails. Deliberately absent: what a run is (`storm.rs`).

use super::storm::{self, Ended};
use crate::fleet::row::Ends;
use crate::fleet::schedule::{Schedule, seed_of};
use crate::fleet::verdict::Report;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What came of a row.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The sums, and the run that is not good.
    pub report: Report,
    /// Discord's time, over all runs.
    pub lasted: Duration,
    /// Real time.
    pub took: Duration,
}

impl Summary {
    /// Runs in a minute of real time.
    #[must_use]
    pub fn per_minute(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let runs = self.report.runs as f64;
        60.0 * runs / self.took.as_secs_f64().max(0.001)
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let seconds = self.took.as_secs_f64().max(0.001);
        let per_minute = self.per_minute();
        let times = self.lasted.as_secs_f64() / seconds;
        format!("{}; {per_minute:.0} runs a minute, {times:.0} times as fast as Discord", self.report.line())
    }
}

/// Runs all of it; `tell` gets a line for each run at its end.
#[must_use]
pub fn run(seed: u64, ends: Ends, threads: usize, tell: &(dyn Fn(&str) + Sync)) -> Summary {
    let (begun, next, stops) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    let sums = Mutex::new((Report { time_factor: 1, ..Report::new(seed) }, Duration::ZERO));
    let goes_on = |run| {
        ends.runs.is_none_or(|runs| run < runs)
            && ends.after.is_none_or(|after| begun.elapsed() < after)
            && !stops.load(Ordering::Relaxed)
    };
    let work = || {
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if !goes_on(run) {
                return;
            }
            let schedule = Schedule::of(seed_of(seed, run));
            let Ended { mut run, lasted, .. } = storm::run(&schedule);
            if run.failure.is_some() {
                stops.store(true, Ordering::Relaxed);
                tell(&format!("{}\n  it is made smaller", run.line()));
                let (smaller, failure) = smallest(&schedule, |schedule| storm::run(schedule).run.failure);
                // What the command shows, which may be another failure than the first one.
                run.failure = failure.or(run.failure);
                run.again = again(&smaller);
            }
            tell(&run.line());
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.0.add(run);
            sums.1 += lasted;
        }
    };
    std::thread::scope(|scope| {
        (0..threads.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    let (mut report, lasted) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.seconds = begun.elapsed().as_secs();
    Summary { report, lasted, took: begun.elapsed() }
}

/// Drops faults one by one as long as it still fails; how it failed last, if that was with fewer.
fn smallest<F>(schedule: &Schedule, fails: impl Fn(&Schedule) -> Option<F>) -> (Schedule, Option<F>) {
    let (mut kept, mut failure) = (schedule.clone(), None);
    let mut place = 0;
    while place < kept.faults.len() {
        let mut without = kept.clone();
        without.faults.remove(place);
        match fails(&without) {
            Some(now) => (kept, failure) = (without, Some(now)),
            None => place += 1,
        }
    }
    (kept, failure)
}

/// The command that has a schedule again, which has some of its seed's faults or all.
pub(super) fn again(kept: &Schedule) -> String {
    let whole = Schedule::of(kept.seed);
    let places: BTreeSet<_> =
        kept.faults.iter().filter_map(|fault| whole.faults.iter().position(|one| one == fault)).collect();
    let places: Vec<_> = places.iter().map(ToString::to_string).collect();
    format!("cargo soak --seed {} --trace --faults {}", kept.seed, places.join(",")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_fails_keeps_the_faults_that_it_needs_and_no_other() {
        let mut schedules = (0..).map(|run| Schedule::of(seed_of(1, run)));
        let schedule = schedules.find(|schedule| schedule.faults.len() > 3).unwrap();
        let [first, last] = [&schedule.faults[0], &schedule.faults[schedule.faults.len() - 1]];
        let needs = |of: &Schedule| {
            (of.faults.contains(first) && of.faults.contains(last)).then_some(of.faults.len())
        };
        let (smaller, failure) = smallest(&schedule, needs);
        assert_eq!((smaller.faults.clone(), failure), (vec![first.clone(), last.clone()], Some(2)));
        let places = format!("--faults 0,{}", schedule.faults.len() - 1);
        assert!(again(&smaller).contains(&places), "{}", again(&smaller));
        let (none, _) = smallest(&schedule, |_| Some(()));
        assert!(none.faults.is_empty() && again(&none).ends_with("--faults"));
        assert_eq!(schedule.only(&[0]).faults, std::slice::from_ref(first));
    }
}
