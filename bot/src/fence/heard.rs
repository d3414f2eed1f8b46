//! When this pod last heard of anybody who could tell it that it was replaced, kept for its next container.
//!
//! From the newest evidence to a file, by the machine's boot clock, and back to how long ago that is. A container that crashes sooner than a
//! pod is fenced would else begin anew each time. Deliberately absent: what counts as evidence ([`super`]).

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use shard_machine::BootClock;
use tokio::time::Instant;

use crate::kept::Kept;

/// A moment this much newer is worth a write.
const NEWS: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    /// Milliseconds since the machine began.
    up_ms: u64,
}

/// The file.
#[derive(Debug)]
pub(crate) struct LastHeard {
    kept: Kept<Document>,
    boot: BootClock,
    written: Option<Instant>,
}

impl LastHeard {
    pub(crate) fn kept(folder: &Path, boot: BootClock) -> Self {
        Self { kept: Kept::new(folder, "last-heard.json"), boot, written: None }
    }

    /// When this pod's last container heard of somebody; now, where there was none.
    pub(crate) fn at(&self) -> Instant {
        let now = Instant::now();
        let up_ms = u64::try_from(self.boot.up().as_millis()).unwrap_or(u64::MAX);
        // What lies ahead is another machine's, or none.
        let since = self.kept.read().and_then(|document| up_ms.checked_sub(document.up_ms));
        now.checked_sub(Duration::from_millis(since.unwrap_or_default())).unwrap_or(now)
    }

    /// Somebody was heard then.
    pub(super) fn note(&mut self, at: Instant) {
        if self.written.is_some_and(|written| at < written + NEWS) {
            return;
        }
        let up = self.boot.up().saturating_sub(at.elapsed());
        self.kept.write(&Document { up_ms: u64::try_from(up.as_millis()).unwrap_or(u64::MAX) });
        self.written = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_container_knows_how_long_ago_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let boot = BootClock::of(move || Duration::from_secs(1_000) + begun.elapsed());
        let mut first = LastHeard::kept(folder.path(), boot.clone());
        assert_eq!(first.at(), Instant::now(), "there was none before it");
        tokio::time::sleep(Duration::from_secs(50)).await;
        let heard = Instant::now() - Duration::from_secs(20);
        first.note(heard);
        first.note(heard - Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(LastHeard::kept(folder.path(), boot).at(), heard);
        let rebooted = BootClock::of(|| Duration::from_secs(3));
        assert_eq!(LastHeard::kept(folder.path(), rebooted).at(), Instant::now(), "not this machine's");
    }
}
