//! A call that waits. Deliberately absent: how many may.

use shard_serve::Share;
use tokio::sync::OwnedSemaphorePermit;

/// A call that waits; dropped with it, also when its caller goes away.
pub struct Held {
    _place: OwnedSemaphorePermit,
    _share: Share<String>,
}

impl Held {
    /// One with its place among all calls, and among those of its pod.
    pub fn new(place: OwnedSemaphorePermit, share: Share<String>) -> Self {
        Self { _place: place, _share: share }
    }
}
