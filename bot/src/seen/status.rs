//! What is known of this pod: one row a shard, written by the shards' tasks, and whether it is on the fallback schedule or fenced.
//!
//! From what each connection does to the report, `/readyz`, `/metrics` and `ctx.shards()`. A reader that wants to act
//! on a change waits for [`Status::changes`]; counters and latency change too often to count as one. Deliberately
//! absent: any decision; sessions and sequences, which stay with the shard's task.

use std::{
    ops::Range,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shard_contract::report::{ShardReport, ShardState, WaitsFor};
use tokio::{sync::watch, time::Instant};

use crate::edges::operator::Answers;

/// How long a shard that was online may be away before the pod is not ready (`docs/protocols.md` section 5).
const AWAY_UNNOTICED: Duration = Duration::from_mins(1);
/// A shard that was online for less was back for a moment only.
const STAYED: Duration = Duration::from_secs(30);

/// What is known of one shard.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// Its id.
    pub id: u32,
    /// What its connection does.
    pub state: ShardState,
    /// Guilds in READY's list or joined since, the unavailable ones included.
    pub guilds: u32,
    /// Those of them that Discord has not sent yet, or that are down.
    pub unavailable_guilds: u32,
    /// Mean time between heartbeat and its ACK; none before the first.
    pub latency: Option<Duration>,
    /// IDENTIFYs sent since the process started.
    pub identifies: u64,
    /// RESUMEs that succeeded since the process started.
    pub resumes: u64,
    /// Events received since the process started.
    pub events: u64,
    /// Events received and thrown away because the pod could not keep up; see [`crate::shard`].
    pub dropped: u64,
    /// Events handled again after a crash since the process started, marked so.
    pub redelivered: u64,
    /// Events that were begun and are not done, and those received and not begun.
    pub unfinished: u64,
    /// When the last event came; none before the first.
    last_event: Option<Instant>,
    /// The close code that ended it for good, if one did.
    pub fatal_close: Option<u16>,
    /// What of its record it waits for, if it does.
    pub waits_for: Option<WaitsFor>,
    /// Since when it has not been online, but for moments, if it ever was.
    away_since: Option<Instant>,
    /// Since when it has been online, if it is.
    online_since: Option<Instant>,
    /// Whether it was ever online in this process.
    pub(crate) was_online: bool,
}

impl ShardStatus {
    const fn new(id: u32) -> Self {
        Self {
            id,
            state: ShardState::Waiting,
            guilds: 0,
            unavailable_guilds: 0,
            latency: None,
            identifies: 0,
            resumes: 0,
            events: 0,
            dropped: 0,
            redelivered: 0,
            unfinished: 0,
            last_event: None,
            fatal_close: None,
            waits_for: None,
            away_since: None,
            online_since: None,
            was_online: false,
        }
    }

    /// Takes a new state and remembers since when the shard has been away. One that was back for a moment only has been away
    /// all the time: users cannot count on it.
    pub(crate) fn enter(&mut self, state: ShardState) {
        let now = Instant::now();
        if state == ShardState::Online {
            self.was_online = true;
            self.online_since.get_or_insert(now);
        } else if let Some(since) = self.online_since.take() {
            let stayed = now.saturating_duration_since(since) >= STAYED;
            self.away_since = self.away_since.filter(|_| !stayed).or(Some(now));
        }
        self.state = state;
    }

    /// Whether users can count on it: online, or was until less than 60 s ago and may come back.
    fn is_ready(&self) -> bool {
        match self.state {
            ShardState::Online => true,
            ShardState::Refused => false,
            _ => self.away_since.is_some_and(|since| since.elapsed() < AWAY_UNNOTICED),
        }
    }

    /// What makes a change worth a report.
    fn key(&self) -> (ShardState, u32, u32, u64, u64, Option<u16>, Option<WaitsFor>) {
        let Self { state, guilds, unavailable_guilds, identifies, resumes, fatal_close, waits_for, .. } =
            *self;
        (state, guilds, unavailable_guilds, identifies, resumes, fatal_close, waits_for)
    }

    fn report(&self) -> ShardReport {
        ShardReport {
            id: self.id,
            state: self.state,
            guilds: self.guilds,
            unavailable_guilds: self.unavailable_guilds,
            latency_ms: self.latency.map(millis),
            identifies: self.identifies,
            resumes: self.resumes,
            events: self.events,
            redelivered: self.redelivered,
            idle_ms: self.last_event.map(|last| millis(last.elapsed())),
            fatal_close: self.fatal_close,
            waits_for: self.waits_for,
        }
    }
}

/// All shards of this pod.
#[derive(Debug)]
pub(crate) struct Status {
    first: u32,
    total: u32,
    shards: Vec<Mutex<ShardStatus>>,
    on_fallback_schedule: AtomicBool,
    fenced: AtomicBool,
    gone: Mutex<Vec<String>>,
    gate: OnceLock<watch::Receiver<Answers>>,
    changed: watch::Sender<()>,
}

impl Status {
    pub(crate) fn new(shards: Range<u32>, total: u32) -> Self {
        let first = shards.start;
        let shards = shards.map(|id| Mutex::new(ShardStatus::new(id))).collect();
        Self {
            first,
            total,
            shards,
            on_fallback_schedule: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            gone: Mutex::default(),
            gate: OnceLock::new(),
            changed: watch::Sender::new(()),
        }
    }

    /// The number Discord routes by.
    pub(crate) const fn total(&self) -> u32 {
        self.total
    }

    /// Changes one shard's row and says so if it is worth a report. A shard that is not of this pod is ignored.
    pub(crate) fn update(&self, id: u32, change: impl FnOnce(&mut ShardStatus)) {
        let Some(row) = id.checked_sub(self.first).and_then(|row| self.shards.get(row as usize)) else {
            return;
        };
        let mut row = lock(row);
        let (before, events) = (row.key(), row.events);
        change(&mut row);
        if row.events > events {
            row.last_event = Some(Instant::now());
        }
        let news = row.key() != before;
        drop(row);
        if news {
            self.changed.send_replace(());
        }
    }

    /// Whether the pod identifies by the fallback schedule.
    pub(crate) fn on_fallback_schedule(&self) -> bool {
        self.on_fallback_schedule.load(Ordering::Relaxed)
    }

    pub(crate) fn set_on_fallback_schedule(&self, on_fallback_schedule: bool) {
        if self.on_fallback_schedule.swap(on_fallback_schedule, Ordering::Relaxed) != on_fallback_schedule {
            self.changed.send_replace(());
        }
    }

    /// Whether the pod found itself cut off and has let its shards go.
    pub(crate) fn fenced(&self) -> bool {
        self.fenced.load(Ordering::Relaxed)
    }

    /// Pods that are taken for gone, by UID, as far as this one knows.
    pub(crate) fn gone(&self) -> Vec<String> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_gone(&self, gone: &[String]) {
        gone.clone_into(&mut self.gone.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn set_fenced(&self, fenced: bool) {
        if self.fenced.swap(fenced, Ordering::Relaxed) != fenced {
            self.changed.send_replace(());
        }
    }

    /// From now on it is known when the gate answered last.
    pub(crate) fn follow_gate(&self, answers: watch::Receiver<Answers>) {
        _ = self.gate.set(answers);
    }

    /// How long ago a leader of the gate answered last; none in a local run.
    pub(crate) fn gate_answer_age(&self) -> Option<Duration> {
        self.gate.get().map(|answers| answers.borrow().led.elapsed())
    }

    /// One row as it is now.
    pub(crate) fn of(&self, id: u32) -> Option<ShardStatus> {
        let row = id.checked_sub(self.first)?;
        self.shards.get(row as usize).map(|row| lock(row).clone())
    }

    /// All rows as they are now, by rising id.
    pub(crate) fn all(&self) -> Vec<ShardStatus> {
        self.shards.iter().map(|row| lock(row).clone()).collect()
    }

    /// Wakes its holder after each change that is worth a report.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The shards' part of a report.
    pub(crate) fn report(&self) -> Vec<ShardReport> {
        self.shards.iter().map(|row| lock(row).report()).collect()
    }

    /// Shards that users cannot count on now; none: the pod is ready.
    pub(crate) fn not_ready(&self) -> Vec<ShardStatus> {
        self.all().into_iter().filter(|shard| !shard.is_ready()).collect()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A row stays usable when a task panicked while holding it: each change leaves it consistent.
fn lock(row: &Mutex<ShardStatus>) -> MutexGuard<'_, ShardStatus> {
    row.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_ready(status: &Status) -> Vec<u32> {
        status.not_ready().into_iter().map(|shard| shard.id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ready_means_online_or_away_for_less_than_a_minute() {
        let status = Status::new(3..5, 8);
        assert_eq!(not_ready(&status), [3, 4]);
        status.update(3, |shard| shard.enter(ShardState::Online));
        status.update(4, |shard| shard.enter(ShardState::Identifying));
        assert_eq!(not_ready(&status), [4]);
        status.update(4, |shard| shard.enter(ShardState::Online));
        assert!(not_ready(&status).is_empty());

        status.update(4, |shard| shard.enter(ShardState::Resuming));
        tokio::time::advance(Duration::from_secs(40)).await;
        status.update(4, |shard| shard.enter(ShardState::Waiting));
        assert!(not_ready(&status).is_empty());
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(not_ready(&status), [4]);

        status.update(4, |shard| shard.enter(ShardState::Online));
        assert!(not_ready(&status).is_empty());
        tokio::time::advance(Duration::from_secs(2)).await;
        status.update(4, |shard| shard.enter(ShardState::Resuming));
        assert_eq!(not_ready(&status), [4], "back for a moment only");
        status.update(4, |shard| shard.enter(ShardState::Online));
        tokio::time::advance(STAYED).await;
        status.update(4, |shard| shard.enter(ShardState::Resuming));
        assert!(not_ready(&status).is_empty(), "back, and then away anew");

        status.update(3, |shard| shard.enter(ShardState::Refused));
        assert_eq!(not_ready(&status), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_says_how_long_a_shard_has_been_idle_and_what_came_again() {
        let status = Status::new(0..1, 1);
        assert_eq!(status.report()[0].idle_ms, None);
        status.update(0, |shard| {
            shard.events += 1;
            shard.redelivered += 1;
        });
        tokio::time::advance(Duration::from_millis(350)).await;
        status.update(0, |shard| shard.guilds = 3);
        let report = &status.report()[0];
        assert_eq!((report.idle_ms, report.redelivered), (Some(350), 1));
    }

    #[test]
    fn turns_and_fencing_are_news_once() {
        let status = Status::new(0..1, 1);
        let mut changes = status.changes();
        changes.mark_unchanged();
        status.set_fenced(true);
        assert!(status.fenced() && changes.has_changed().unwrap());
        changes.mark_unchanged();
        status.set_fenced(true);
        status.set_on_fallback_schedule(false);
        assert!(!changes.has_changed().unwrap());
    }

    #[test]
    fn counters_are_no_news_and_states_are() {
        let status = Status::new(0..1, 1);
        let mut changes = status.changes();
        changes.mark_unchanged();
        status.update(0, |shard| shard.events += 1);
        status.update(7, |shard| shard.guilds = 1);
        assert!(!changes.has_changed().unwrap());
        status.update(0, |shard| shard.guilds = 1);
        assert!(changes.has_changed().unwrap());
    }
}
