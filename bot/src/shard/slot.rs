//! twilight's queue of one shard, which names only the shard's number and gives no word of what came of it.
//!
//! So it only remembers that the shard wants to IDENTIFY; the link asks the gate, and gives the go in the same call that polls
//! twilight. Deliberately absent: any waiting.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use twilight_gateway::queue::Queue;

/// twilight's queue of one shard: it only remembers that the shard wants to IDENTIFY.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Queue for Slot {
    fn enqueue(&self, _: u32) -> oneshot::Receiver<()> {
        let (go, wish) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(go);
        wish
    }
}

impl Slot {
    /// The wish, if there is a new one.
    pub(super) fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
