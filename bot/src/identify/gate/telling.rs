//! Tells the gate what became of its grants, in the order in which it happened.
//!
//! From the words of [`super::Grant`] to `POST /v1/identified`. Each word is tried again until it is of no use any more:
//! `sent` and `unused` until the grant counts as used anyway, what came of the IDENTIFY for longer, since back-off and breaker go
//! by it. The second word about a grant waits for the first. Deliberately absent: keeping words beyond that.

use std::{collections::HashMap, time::Duration};

use shard_contract::{
    identify::{GRANT_VALID_MS, IDENTIFIED_PATH, Identified, Outcome, Priority},
    pace::Pace,
};
use shard_machine::{Machine, Random};
use tokio::task::JoinHandle;

use crate::{
    edges::{backoff::Backoff, operator::Operator},
    seen::metrics::Counters,
};

/// One try may take so long.
const TRY_WITHIN: Duration = Duration::from_secs(3);
/// What came of an IDENTIFY is told for so long.
const OUTCOME_WITHIN: Duration = Duration::from_secs(30);

/// What is told, and was.
pub(super) struct Telling {
    operator: Operator,
    counters: Counters,
    machine: Machine,
    /// Grants that have not ended: why they were asked for, and the first word's telling.
    open: HashMap<u64, (Priority, Option<JoinHandle<()>>)>,
}

impl Telling {
    pub(super) fn new(operator: Operator, counters: Counters, machine: Machine) -> Self {
        Self { operator, counters, machine, open: HashMap::new() }
    }

    /// A grant was given.
    pub(super) fn given(&mut self, grant: u64, priority: Priority) {
        self.open.insert(grant, (priority, None));
    }

    /// Tells one word, in a task of its own.
    pub(super) fn tell(&mut self, told: Identified) {
        let (priority, first) = self.open.remove(&told.grant).unzip();
        let Identified { grant, outcome } = told;
        let telling = self.machine.tasks.spawn(tell(
            self.operator.clone(),
            self.machine.random.clone(),
            told,
            first.flatten(),
        ));
        if let (Outcome::Sent, Some(priority)) = (outcome, priority) {
            self.counters.identified(priority);
            self.open.insert(grant, (priority, Some(telling)));
        }
    }
}

async fn tell(operator: Operator, random: Random, told: Identified, after: Option<JoinHandle<()>>) {
    if let Some(after) = after {
        _ = after.await;
    }
    let telling = async {
        let mut backoff = Backoff::new(Duration::from_millis(100), TRY_WITHIN);
        loop {
            match operator.post(IDENTIFIED_PATH, &told, TRY_WITHIN).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(grant = told.grant, %error, "could not tell the gate"),
            }
            tokio::time::sleep(backoff.next(&random)).await;
        }
    };
    if tokio::time::timeout(within(told.outcome, operator.pace()), telling).await.is_err() {
        tracing::warn!(
            grant = told.grant,
            outcome = ?told.outcome,
            "could not tell the gate what became of a grant"
        );
    }
}

/// A word that comes later than this is of no use.
fn within(outcome: Outcome, pace: Pace) -> Duration {
    match outcome {
        // By then the grant counts as used; a little more does no harm where Discord's time is fast.
        Outcome::Sent | Outcome::Unused => {
            pace.real(Duration::from_millis(GRANT_VALID_MS)).max(Duration::from_secs(1))
        }
        Outcome::Ready | Outcome::Invalid | Outcome::Failed => OUTCOME_WITHIN,
    }
}
