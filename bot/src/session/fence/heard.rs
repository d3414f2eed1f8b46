//! When this pod last heard of anybody who could tell it that it was replaced, kept for its next container.
//!
//! From the newest evidence to a file, by the machine's boot clock, and back to how long ago that is. A container that crashes sooner than a
//! pod is fenced would else begin anew each time. Deliberately absent: what counts as evidence ([`super`]).

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use shard_machine::BootClock;
use tokio::time::Instant;

use crate::edges::kept::Kept;

/// A moment this much newer is worth a write.
const NEWS: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    /// When anybody was heard, in milliseconds since the machine began.
    up_ms: u64,
    /// When somebody was heard who knew this pod.
    #[serde(default)]
    known_up_ms: Option<u64>,
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
        self.when(|document| Some(document.up_ms))
    }

    /// When it heard of somebody who knew this pod; now, where there was none.
    pub(super) fn known_at(&self) -> Instant {
        self.when(|document| document.known_up_ms)
    }

    fn when(&self, noted: impl FnOnce(Document) -> Option<u64>) -> Instant {
        let now = Instant::now();
        // What lies ahead is another machine's, or none.
        let since = self.kept.read().and_then(noted).and_then(|at| millis(self.boot.up()).checked_sub(at));
        now.checked_sub(Duration::from_millis(since.unwrap_or_default())).unwrap_or(now)
    }

    /// Somebody was heard then, and somebody who knew this pod.
    pub(super) fn note(&mut self, heard: Instant, known: Instant) {
        if self.written.is_some_and(|written| heard < written + NEWS) {
            return;
        }
        let up = |at: Instant| millis(self.boot.up().saturating_sub(at.elapsed()));
        self.kept.write(&Document { up_ms: up(heard), known_up_ms: Some(up(known)) });
        self.written = Some(heard);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
        let known = heard - Duration::from_secs(5);
        first.note(heard, known);
        first.note(heard - Duration::from_secs(10), known);
        tokio::time::sleep(Duration::from_secs(15)).await;
        let next = LastHeard::kept(folder.path(), boot);
        assert_eq!((next.at(), next.known_at()), (heard, known));
        let rebooted = BootClock::of(|| Duration::from_secs(3));
        assert_eq!(LastHeard::kept(folder.path(), rebooted).at(), Instant::now(), "not this machine's");
    }
}
