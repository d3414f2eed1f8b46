//! The orderly stop: begin nothing more, close each shard with 4000, let what runs finish until the deadline.
//!
//! SIGTERM (Kubernetes) and Ctrl-C (a person) mean the same; a second one ends the wait. What still runs at the
//! deadline ends with the process and is counted in the log. Deliberately absent: handing the sessions over to the
//! next owner.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use crate::{dispatch::Running, jobs::Jobs};

/// How long an orderly stop may take when nothing else is said; Kubernetes kills after 30 s by default.
pub(crate) const DEFAULT_WITHIN: Duration = Duration::from_secs(20);

/// Both signals.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Waits until handlers and jobs ended, the deadline passes, or a second signal comes. Logs how many there were.
pub(crate) async fn drain(mut running: Running, jobs: &Jobs, deadline: Instant, signals: &mut Signals) {
    let (handlers, begun) = (running.count(), jobs.report());
    let drained = async {
        running.finish().await;
        jobs.drained().await;
    };
    let ended = tokio::select! {
        () = drained => "all done",
        () = tokio::time::sleep_until(deadline) => "deadline",
        _ = signals.next() => "second signal",
    };
    let left = jobs.report();
    tracing::info!(
        handlers,
        jobs = begun.running + begun.queued,
        handlers_left = running.count(),
        jobs_left = left.running + left.queued,
        ended,
        "drained"
    );
}
