//! How things pass between two hosts now, and whoever waits for that in the order in which they began to.
//!
//! From whoever cuts, joins or slows hosts to all that wait. A `tokio::sync::watch` wakes those that wait in an order drawn by
//! lot, and a story of the same seed is to be the same story. Deliberately absent: what passes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How things pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// Whether they do.
    pub(super) is_joined: bool,
    /// How much later each piece arrives.
    pub(super) delay: Duration,
}

/// At once.
pub(super) const JOINED: Passage = Passage { is_joined: true, delay: Duration::ZERO };

/// How things pass now; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Passages(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    now: Mutex<Passage>,
    changed: Notify,
}

impl Passages {
    /// They pass so.
    pub(super) fn new(now: Passage) -> Self {
        Self(Arc::new(Shared { now: Mutex::new(now), changed: Notify::new() }))
    }

    /// From now on they pass so.
    pub(super) fn set(&self, now: Passage) {
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.0.changed.notify_waiters();
    }

    /// Comes when things pass.
    pub(super) async fn joined(&self) -> Passage {
        loop {
            let changed = self.0.changed.notified();
            let now = *self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
            if now.is_joined {
                return now;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use futures::stream::FuturesUnordered;

    #[tokio::test]
    async fn who_waited_first_goes_on_first() {
        let passages = Passages::new(Passage { is_joined: false, ..JOINED });
        let went_on = Arc::new(Mutex::new(Vec::new()));
        let waiting: FuturesUnordered<_> = (0..50)
            .map(|number| {
                let (passages, went_on) = (passages.clone(), Arc::clone(&went_on));
                tokio::spawn(async move {
                    passages.joined().await;
                    went_on.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(went_on.lock().unwrap().is_empty());
        passages.set(JOINED);
        waiting.count().await;
        assert_eq!(*went_on.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }
}
