//! Tells the operator how the pod's shards are: on change, and every 15 s.
//!
//! From [`crate::seen::status`] and [`crate::seen::job_counts`] to `POST /v1/report`. Changes within a moment go into one report, so
//! that a start with a thousand guilds is a handful of reports. A report that fails is not repeated, since the next
//! one says it all; failures are logged once per change. Its answers are also how the pod knows that the gate is there
//! ([`crate::identify::fallback`], [`crate::session::fence`]), and so it comes more often where Discord's time is fast. Deliberately absent:
//! anything the operator would have to remember.

use std::{sync::Arc, time::Duration};

use shard_contract::report::{REPORT_EVERY_MS, REPORT_PATH, Report};
use shard_machine::Random;

use crate::{
    edges::{backoff::Backoff, operator::Operator, trouble::Trouble},
    seen::{job_counts::JobCounts, status::Status},
};

/// How long a change waits for others.
const GATHER: Duration = Duration::from_millis(200);
/// How long one report may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// However fast Discord's time is, reports come no faster.
const AT_LEAST: Duration = Duration::from_millis(100);

/// What reports are made of.
pub(crate) struct Reporter {
    pub(crate) operator: Operator,
    pub(crate) layout: u32,
    pub(crate) status: Arc<Status>,
    pub(crate) jobs: Arc<JobCounts>,
    /// What the pod's shards identify with.
    pub(crate) intents: u64,
    pub(crate) random: Random,
}

impl Reporter {
    /// Reports for as long as the pod runs.
    pub(crate) async fn run(self) {
        let mut changes = self.status.changes();
        let mut trouble = Trouble::new("report to the operator");
        let mut backoff = self.backoff();
        loop {
            changes.mark_unchanged();
            match self.operator.post(REPORT_PATH, &self.report(), TIMEOUT).await {
                Ok(_) => {
                    trouble.over();
                    backoff = self.backoff();
                    if tokio::time::timeout(self.every(), changes.changed()).await.is_ok() {
                        tokio::time::sleep(GATHER).await;
                    }
                }
                Err(error) => {
                    trouble.failed(&error);
                    tokio::time::sleep(backoff.next(&self.random)).await;
                }
            }
        }
    }

    fn every(&self) -> Duration {
        self.operator.pace().real(Duration::from_millis(REPORT_EVERY_MS)).max(AT_LEAST)
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(Duration::from_millis(500).min(self.every()), self.every())
    }

    fn report(&self) -> Report {
        Report {
            layout: self.layout,
            shards: self.status.report(),
            jobs: self.jobs.report(),
            intents: self.intents,
            on_fallback_schedule: self.status.on_fallback_schedule(),
            isolated: self.status.fenced(),
        }
    }
}

#[cfg(test)]
mod tests;
