//! The task of one Secret: gathers what its shards want, reads and writes at most one request at a time.
//!
//! From asks to rounds: read what is not known, let each [`Row`] say what it wants, write all of that in one patch, and one
//! by one if that is refused. While something fails or is waited for, rounds come 1 s to 5 s apart; without anything to do
//! it looks at the records once a minute. Deliberately absent: what to write ([`super::row`], [`super::claim`]).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shard_contract::{
    layouts::Layouts,
    record::{Record, State},
    report::WaitsFor,
};
use shard_machine::Random;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    Claimed, Source,
    claim::{self, Me},
    row::{Goal, Hold, Next, Planned, Row},
    store::{Change, Contents, Store, WriteError},
};
use crate::{
    edges::{
        backoff::{Backoff, spread},
        trouble::Trouble,
    },
    seen::{metrics::Counters, status::Status},
    session::progress::Checkpoint,
};

/// Asks that come within this time are served together.
const GATHER: Duration = Duration::from_millis(20);
/// New sessions are noted together with those that come within this time; losing such a note is harmless.
const NOTE_AFTER: Duration = Duration::from_secs(1);
/// So many refusals in a row are met at once; after them it waits as after a failure. One by one, a patch of 64 is refused
/// as often.
const MOST_REFUSALS: u32 = 200;
/// How often records are looked at that nobody asked about.
const CHECK: Duration = Duration::from_secs(60);
/// How often while a guest waits for its record.
const CHECK_FOR_GUESTS: Duration = Duration::from_secs(5);

/// What shards ask for.
#[derive(Debug)]
pub(super) enum Ask {
    /// To run.
    Claim { shard: u32, by_file: bool, reply: oneshot::Sender<Claimed> },
    /// To have a new session noted.
    Ready(u32),
    /// To know whether the record still names this pod.
    Confirm { shard: u32, reply: oneshot::Sender<Option<bool>> },
    /// To give all shards away.
    Park(oneshot::Sender<()>),
}

/// The task.
pub(super) struct Keeper {
    store: Store,
    me: Me,
    session_group: u32,
    layouts: watch::Receiver<Layouts>,
    counters: Counters,
    rows: BTreeMap<u32, Row>,
    contents: Contents,
    parking: Option<Vec<oneshot::Sender<()>>>,
    due: Instant,
    not_before: Instant,
    check_at: Instant,
    backoff: Backoff,
    trouble: Trouble,
    /// Whether the last read failed.
    unread: bool,
    /// Whether a read was denied since one went well.
    denied: bool,
    /// Writes in a row that were refused.
    refusals: u32,
    waiting: Option<WaitsFor>,
    status: Arc<Status>,
    random: Random,
}

impl Keeper {
    pub(super) fn new(store: Store, source: &Source, rows: BTreeMap<u32, Row>) -> Self {
        let now = Instant::now();
        Self {
            store,
            me: source.me.clone(),
            session_group: source.session_group,
            layouts: source.layouts.clone(),
            counters: source.counters.clone(),
            rows,
            contents: Contents::default(),
            parking: None,
            due: now + CHECK,
            not_before: now,
            check_at: now + spread(&source.machine.random, CHECK),
            random: source.machine.random.clone(),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(4)),
            trouble: Trouble::new("keep the records of sessions"),
            unread: false,
            denied: false,
            refusals: 0,
            waiting: None,
            status: Arc::clone(&source.status),
        }
    }

    /// Serves until nobody can ask any more.
    pub(super) async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Ask>) {
        loop {
            tokio::select! {
                biased;
                ask = asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                () = sleep_until(self.due.max(self.not_before)) => self.round().await,
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        let now = Instant::now();
        match ask {
            Ask::Claim { shard, by_file, reply } => {
                self.with(shard, |row| row.claim(reply, by_file));
                self.soon(now + GATHER);
            }
            Ask::Ready(shard) => {
                let at = now + NOTE_AFTER;
                self.with(shard, |row| {
                    if row.hold == Hold::Held {
                        row.note_at.get_or_insert(at);
                    }
                });
                self.soon(at);
            }
            Ask::Confirm { shard, reply } => {
                self.with(shard, |row| row.confirming.push(reply));
                // Others may wait for their records; who was thrown out must not.
                if !self.unread {
                    self.not_before = now;
                }
                self.soon(now + GATHER);
            }
            Ask::Park(reply) => {
                self.parking.get_or_insert_default().push(reply);
                self.not_before = now;
                self.soon(now);
            }
        }
    }

    /// Reads and writes what is to be.
    async fn round(&mut self) {
        let now = Instant::now();
        self.due = self.check_at.max(now + GATHER);
        let parking = self.parking.is_some();
        let check = now >= self.check_at;
        if check || self.rows.values().any(|row| row.must_be_read(parking)) {
            if !self.read().await {
                return;
            }
            let guests = self.rows.values().any(|row| row.hold == Hold::Guest);
            self.check_at =
                Instant::now() + spread(&self.random, if guests { CHECK_FOR_GUESTS } else { CHECK });
            self.due = self.check_at;
        }
        let planned = if parking { self.plan_parking() } else { self.plan().await };
        self.write(planned).await;
        if !self.rows.values().any(|row| row.parks(&self.me))
            && let Some(replies) = &mut self.parking
        {
            for reply in replies.drain(..) {
                _ = reply.send(());
            }
        }
        if let Some(at) = self.rows.values().filter_map(|row| row.note_at).min() {
            self.soon(at.max(Instant::now() + GATHER));
        }
    }

    async fn read(&mut self) -> bool {
        match self.store.read().await {
            Ok(contents) => {
                self.unread = false;
                self.denied = false;
                self.trouble.over();
                for (shard, row) in &mut self.rows {
                    let known =
                        contents.records.get(&(self.session_group, *shard)).cloned().unwrap_or_default();
                    row.read(&self.me, known);
                }
                self.contents = contents;
                true
            }
            Err(error) => {
                self.unread = true;
                self.trouble.failed(&error);
                self.denied |= error.denies_this_pod();
                self.rows.values_mut().for_each(|row| row.not_read(&self.me, !self.denied));
                self.later();
                false
            }
        }
    }

    async fn plan(&mut self) -> Vec<Planned> {
        let mut layouts = self.layouts.borrow().clone();
        let mut planned = self.strays();
        let mut waiting = None;
        for fresh in [false, true] {
            let mut look = false;
            waiting = None;
            for (shard, row) in &mut self.rows {
                match row.next(*shard, &self.me, &layouts, fresh) {
                    Next::Nothing => {}
                    // A row that wants to write is not asked again in this round.
                    Next::Write(write) => {
                        row.known = None;
                        planned.push(write);
                    }
                    Next::Look => look = true,
                    Next::Wait(because) => {
                        waiting = Some(because);
                        self.status.update(*shard, |row| row.waits_for = Some(because));
                    }
                }
            }
            if !look {
                break;
            }
            match self.store.document().await {
                Ok(document) => layouts = document,
                Err(error) => {
                    self.trouble.failed(&error);
                    self.later();
                    break;
                }
            }
        }
        // Only now: it forgets what is known of rows that the second pass still asks.
        self.say_waiting(waiting);
        planned
    }

    fn say_waiting(&mut self, because: Option<WaitsFor>) {
        if let Some(because) = because {
            if self.waiting != Some(because) {
                tracing::info!("a shard {}", because.words());
            }
            // What is waited for is to be read again.
            self.rows.values_mut().filter(|row| row.waits()).for_each(|row| row.known = None);
            self.later();
        }
        self.waiting = because;
    }

    /// Records that name this pod though the shards are not its own: it cannot serve them.
    fn strays(&mut self) -> Vec<Planned> {
        let (me, rows, own_family) = (&self.me.owner, &self.rows, self.session_group);
        let named = self.contents.records.extract_if(.., |(session_group, shard), known| {
            let record = known.record.as_ref();
            let held = |record: &Record| record.state == State::Held && record.owner.as_ref() == Some(me);
            *session_group == own_family && !rows.contains_key(shard) && record.is_some_and(held)
        });
        named
            .filter_map(|((_, shard), known)| {
                let rev = known.record.as_ref()?.rev + 1;
                let new = claim::parked(&self.me, Checkpoint::default(), rev);
                Some(Planned { change: Change { shard, old: known, new }, goal: Goal::Park })
            })
            .collect()
    }

    fn plan_parking(&mut self) -> Vec<Planned> {
        self.rows.iter_mut().filter_map(|(shard, row)| row.park(*shard, &self.me)).collect()
    }

    /// Writes together what can be, and one by one what was refused together.
    async fn write(&mut self, planned: Vec<Planned>) {
        let (existing, missing): (Vec<_>, Vec<_>) =
            planned.into_iter().partition(|planned| planned.change.old.exists());
        for group in [existing, missing] {
            if group.is_empty() {
                continue;
            }
            if self.write_group(&group).await || group.len() == 1 {
                continue;
            }
            for one in &group {
                self.write_group(std::slice::from_ref(one)).await;
            }
        }
    }

    /// `false`: it was refused, so that each should be tried by itself.
    async fn write_group(&mut self, group: &[Planned]) -> bool {
        let changes: Vec<&Change> = group.iter().map(|planned| &planned.change).collect();
        let written = self.store.write(&mut self.contents, &changes).await;
        for planned in group {
            let Some(row) = self.rows.get_mut(&planned.change.shard) else { continue };
            match written {
                Ok(()) => row.written(planned),
                // To be read before anything follows from it.
                Err(_) => row.known = None,
            }
        }
        match written {
            Ok(()) => {
                self.counters.record_write("ok");
                self.trouble.over();
                self.refusals = 0;
                self.backoff.reset();
                true
            }
            Err(error @ WriteError::Refused) => {
                self.counters.record_write("stale");
                self.refusals += 1;
                // Somebody was faster; one that goes on being refused is something else, as a Secret that cannot be changed.
                if self.refusals <= MOST_REFUSALS {
                    self.soon(Instant::now() + spread(&self.random, GATHER * 2));
                } else {
                    self.trouble.failed(&error);
                    self.later();
                }
                false
            }
            Err(error) => {
                self.counters.record_write("failed");
                self.trouble.failed(&error);
                self.later();
                true
            }
        }
    }

    fn with(&mut self, shard: u32, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(&shard) {
            change(row);
        }
    }

    fn soon(&mut self, at: Instant) {
        self.due = self.due.min(at);
    }

    fn later(&mut self) {
        let wait = self.backoff.next(&self.random);
        // A pod that stops has little time.
        let wait = if self.parking.is_some() { wait.min(Duration::from_millis(500)) } else { wait };
        self.not_before = Instant::now() + wait;
        self.due = self.not_before;
    }
}
