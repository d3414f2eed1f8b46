//! Events that a crash cut off, which are handled again one at a time.
//!
//! From those that were received to the one that may begin. Of the events that a process had begun when it died one may have killed it.
//! Were all of them begun at once again, it would take the others' next try with it too. Deliberately absent: how often one is begun.

use std::{collections::VecDeque, future, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::shard::inbox::Envelope;

/// One whose handlers go on for longer has not killed the process.
const ALONE_FOR: Duration = Duration::from_secs(30);

/// Those that wait, and the one that was begun.
#[derive(Default)]
pub(super) struct Again {
    waiting: VecDeque<Envelope>,
    begun: Option<(oneshot::Receiver<()>, Instant)>,
}

impl Again {
    /// One more.
    pub(super) fn wait(&mut self, envelope: Envelope) {
        self.waiting.push_back(envelope);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// One is begun: what this gives is dropped when it is done.
    pub(super) fn begun(&mut self) -> oneshot::Sender<()> {
        let (done, begun) = oneshot::channel();
        self.begun = Some((begun, Instant::now() + ALONE_FOR));
        done
    }

    /// The next that may begin. Nothing is lost where nobody waits for it to the end.
    pub(super) async fn next(&mut self) -> Envelope {
        if self.waiting.is_empty() {
            future::pending::<()>().await;
        }
        if let Some((begun, until)) = &mut self.begun {
            // Either way the next one may begin.
            let _ = timeout_at(*until, begun).await;
            self.begun = None;
        }
        match self.waiting.pop_front() {
            Some(envelope) => envelope,
            None => future::pending().await,
        }
    }
}
