//! A row of runs, several at a time, from one seed.
//!
//! For `cargo soak` and the test of hundreds of runs. Each run's seed follows from the row's and its number alone, so how many
//! run side by side changes nothing of what they are. A fleet that starts computes far more than one that runs, so only
//! [`STARTING`] start at a time: else frames wait for the judge, who would book them later than they were sent.
//! Deliberately absent: stopping at the first failure.

use super::ground::Ground;
use super::schedule::{Schedule, seed_of};
use super::storm;
use super::verdict::Report;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many fleets come online at a time.
const STARTING: usize = 2;

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What all runs are made from.
    pub seed: u64,
    /// When no more runs are begun.
    pub ends: Ends,
    /// Runs at a time.
    pub parallel: u32,
}

/// When no more runs are begun: whatever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// After so many.
    pub runs: Option<u64>,
    /// After so long.
    pub after: Option<Duration>,
}

impl Row {
    /// Runs all of it; `tell` gets a line for each run at its begin and its end.
    pub async fn run(&self, ground: &Arc<Ground>, tell: &(dyn Fn(&str) + Sync)) -> Report {
        let started = Instant::now();
        let mut report = Report::new(self.seed);
        let mut running = JoinSet::new();
        let starting = Arc::new(Semaphore::new(STARTING));
        let mut next = 0;
        loop {
            while running.len() < self.parallel as usize && self.goes_on(next, started.elapsed()) {
                let schedule = Schedule::of(seed_of(self.seed, next)).of_processes();
                tell(&format!("run {next}, seed {}: {schedule}", schedule.seed));
                let (ground, starting) = (Arc::clone(ground), Arc::clone(&starting));
                running.spawn(async move { storm::run(&ground, &schedule, &starting).await });
                next += 1;
            }
            let Some(ended) = running.join_next().await else { break };
            match ended {
                Ok(run) => {
                    tell(&run.line());
                    report.add(run);
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        report.seconds = started.elapsed().as_secs();
        report
    }

    fn goes_on(&self, next: u64, elapsed: Duration) -> bool {
        self.ends.runs.is_none_or(|runs| next < runs) && self.ends.after.is_none_or(|after| elapsed < after)
    }
}
