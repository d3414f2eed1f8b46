//! How many CPU jobs run, wait, and ended how.
//!
//! Written by the pool ([`crate::work::jobs`]), read by the report, the metrics and the orderly stop. Deliberately absent: the jobs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use shard_contract::report::JobsReport;
use tokio::sync::watch;

/// The counts since the process started.
#[derive(Debug)]
pub(crate) struct JobCounts {
    queued: AtomicU32,
    running: AtomicU32,
    refused: AtomicU64,
    panicked: AtomicU64,
    done: AtomicU64,
    changed: watch::Sender<()>,
}

impl JobCounts {
    /// Of a pool that has had none.
    pub(crate) fn new() -> Self {
        Self {
            queued: AtomicU32::new(0),
            running: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            done: AtomicU64::new(0),
            changed: watch::Sender::new(()),
        }
    }

    /// One waits, if no more than so many would; else it is refused, and this is how many wait.
    pub(crate) fn queue(&self, most: u32) -> Result<(), u32> {
        let room = |queued| (queued < most).then_some(queued + 1);
        self.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).map(drop).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// One that waited is not begun.
    pub(crate) fn left(&self) {
        self.queued.fetch_sub(1, Ordering::AcqRel);
        self.changed.send_replace(());
    }

    /// One that waited runs.
    pub(crate) fn begun(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
        self.left();
    }

    /// One that ran ended; `well`: without a panic.
    pub(crate) fn ended(&self, well: bool) {
        let counter = if well { &self.done } else { &self.panicked };
        counter.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_sub(1, Ordering::AcqRel);
        self.changed.send_replace(());
    }

    /// The counts for a report.
    pub(crate) fn report(&self) -> JobsReport {
        // In this order: one that begins between the two is seen twice, and never nowhere.
        let queued = self.queued.load(Ordering::Acquire);
        let running = self.running.load(Ordering::Acquire);
        JobsReport { running, queued, refused: self.refused.load(Ordering::Relaxed) }
    }

    /// Jobs that panicked.
    pub(crate) fn panicked(&self) -> u64 {
        self.panicked.load(Ordering::Relaxed)
    }

    /// Jobs that ended well.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until the counts are as wanted.
    pub(crate) async fn until(&self, is_so: impl Fn(JobsReport) -> bool) {
        let mut changed = self.changed.subscribe();
        while !is_so(self.report()) && changed.changed().await.is_ok() {}
    }
}
