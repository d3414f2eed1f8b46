//! The orderly stop: begin nothing more, close each shard with 4000, give the sessions away, let what runs finish.
//!
//! SIGTERM (Kubernetes) and Ctrl-C (a person) mean the same; a second one ends the wait. The records are parked at once, so
//! that the next owner need not wait for handlers and jobs, which go on until the deadline. What still runs then ends with
//! the process, is counted in the log and is not repeated. Deliberately absent: what a parked record says.

use std::time::Duration;

use shard_machine::Signals;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    session::records::Records,
    work::{dispatch::Running, jobs::Jobs},
};

/// How long an orderly stop may take when nothing else is said; Kubernetes kills after 30 s by default.
pub(crate) const DEFAULT_WITHIN: Duration = Duration::from_secs(20);

/// How long shards may take to close before their connections are dropped, which keeps the sessions as well.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Parking is given up so long before the deadline, so that the process still ends by itself.
const BEFORE_DEADLINE: Duration = Duration::from_millis(500);

/// Waits until the shards are closed, and drops those that take too long.
pub(crate) async fn close(shards: &mut JoinSet<()>, deadline: Instant) {
    let closing = async { while shards.join_next().await.is_some() {} };
    if timeout_at(deadline.min(Instant::now() + CLOSE_WITHIN), closing).await.is_err() {
        tracing::info!(left = shards.len(), "shards did not close in time, dropping their connections");
        shards.shutdown().await;
    }
    tracing::info!("shards closed");
}

/// Gives the sessions away, until shortly before the deadline.
pub(crate) async fn park(records: Option<&Records>, deadline: Instant) {
    let Some(records) = records else { return };
    let begun = Instant::now();
    if timeout_at(deadline - BEFORE_DEADLINE, records.park()).await.is_ok() {
        tracing::info!(after = ?begun.elapsed(), "sessions are parked for the next owner");
    } else {
        tracing::error!("the API server did not take the sessions; the next owner must IDENTIFY");
    }
}

/// Waits until handlers and jobs ended, the deadline passes, or a second signal comes. Logs how many there were.
pub(crate) async fn drain(mut running: Running, jobs: &Jobs, deadline: Instant, signals: &mut Signals) {
    let (handlers, begun) = (running.count(), jobs.counts().report());
    let drained = async {
        running.finish().await;
        jobs.drained().await;
    };
    let ended = tokio::select! {
        biased;
        () = drained => "all done",
        () = tokio::time::sleep_until(deadline) => "deadline",
        _ = signals.next() => "second signal",
    };
    let left = jobs.counts().report();
    tracing::info!(
        handlers,
        jobs = begun.running + begun.queued,
        handlers_left = running.count(),
        jobs_left = left.running + left.queued,
        ended,
        "drained"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::contained;

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_does_not_close_is_dropped_with_all_that_it_runs() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let mut shards = JoinSet::new();
        shards.spawn(async {
            let stuck = contained(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            drop(stuck.await);
        });
        close(&mut shards, Instant::now() + Duration::from_mins(1)).await;
        assert!(shards.is_empty());
        let end = timeout_at(Instant::now() + Duration::from_secs(1), dropped).await;
        assert!(end.expect("what it ran goes on").is_err(), "nothing is sent, only dropped");
    }
}
