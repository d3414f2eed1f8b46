//! Tells the operator how the pod's shards are: on change, and every 15 s.
//!
//! From [`crate::status`] and [`crate::jobs`] to `POST /v1/report`. Changes within a moment go into one report, so
//! that a start with a thousand guilds is a handful of reports. A report that fails is not repeated, since the next
//! one says it all; failures are logged once per change. Deliberately absent: anything the operator would have to
//! remember.

use std::{sync::Arc, time::Duration};

use shard_contract::report::{REPORT_EVERY_MS, REPORT_PATH, Report};

use crate::{backoff::Backoff, jobs::Jobs, operator::Operator, status::Status, trouble::Trouble};

/// How long a change waits for others.
const GATHER: Duration = Duration::from_millis(200);
/// How long one report may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What reports are made of.
pub(crate) struct Reporter {
    pub(crate) operator: Operator,
    pub(crate) layout: u32,
    pub(crate) status: Arc<Status>,
    pub(crate) jobs: Jobs,
}

impl Reporter {
    /// Reports for as long as the pod runs.
    pub(crate) async fn run(self) {
        let mut changes = self.status.changes();
        let mut trouble = Trouble::new("report to the operator");
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_millis(REPORT_EVERY_MS));
        loop {
            changes.mark_unchanged();
            match self.operator.post(REPORT_PATH, &self.report(), TIMEOUT).await {
                Ok(_) => {
                    trouble.over();
                    backoff.reset();
                    // Ends at the next change or when 15 s are over.
                    _ = tokio::time::timeout(Duration::from_millis(REPORT_EVERY_MS), changes.changed()).await;
                    tokio::time::sleep(GATHER).await;
                }
                Err(error) => {
                    trouble.failed(&error);
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    fn report(&self) -> Report {
        Report {
            layout: self.layout,
            shards: self.status.report(),
            jobs: self.jobs.report(),
            ..Report::default()
        }
    }
}
