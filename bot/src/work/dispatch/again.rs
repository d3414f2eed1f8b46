//! Events that a crash cut off, which are handled again one at a time.
//!
//! Of the events that a process had begun when it died one may have killed it; were others begun beside it again, it would take their
//! next try with it too. So nothing is begun for a while after one of them was. What follows waits in its place: order stays, and what is
//! begun above an event that is not stays within what a record can say. The waits are few and bounded in all, since a pod that handles
//! nothing throws events away in the end. Deliberately absent: how often one is begun.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// What goes on for longer is not taken to kill the process.
const ALONE_FOR: Duration = Duration::from_secs(3);
/// After a crash so long in all; then the rest is begun side by side.
const ALL_ALONE_FOR: Duration = Duration::from_secs(12);
/// When this has passed since the first, the next belongs to another crash.
const OF_ONE_CRASH: Duration = Duration::from_mins(1);

/// The one that was begun alone.
#[derive(Default)]
pub(super) struct Again {
    alone: Option<(oneshot::Receiver<()>, Instant)>,
    first: Option<Instant>,
}

impl Again {
    /// One is begun: what this gives is dropped when it is done.
    pub(super) fn begun(&mut self) -> oneshot::Sender<()> {
        let (done, until_done) = oneshot::channel();
        let now = Instant::now();
        let first = self.first.filter(|first| now < *first + OF_ONE_CRASH).unwrap_or(now);
        self.first = Some(first);
        let until = (now + ALONE_FOR).min(first + ALL_ALONE_FOR);
        self.alone = (now < until).then_some((until_done, until));
        done
    }

    /// Whether one was begun beside which nothing else is.
    pub(super) const fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// Ends when the next may begin. Nothing is lost where nobody waits for it to the end.
    pub(super) async fn over(&mut self) {
        if let Some((done, until)) = &mut self.alone {
            // Either way the next one may begin.
            let _ = timeout_at(*until, done).await;
            self.alone = None;
        }
    }
}
