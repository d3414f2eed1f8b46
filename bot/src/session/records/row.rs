//! One shard's place in its Secret: what is known of its record, what the shard waits for, and what to write next.
//!
//! From a record as it was read to a [`Planned`] write or to nothing; and from the end of a write to what the progress file
//! says and what the shard is told. Deliberately absent: requests, and times between them.

use std::{sync::Arc, time::Duration};

use shard_contract::{
    layouts::Layouts,
    record::{Record, State},
    report::WaitsFor,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    Claimed,
    claim::{self, Claim, Me, Then},
    store::{Change, Known},
};
use crate::session::progress::Progress;

/// A pod's token is refused ten seconds after another could have its name. So one that could read for this long while the record named
/// another pod of that name is the only one.
const ALONE_AFTER: Duration = Duration::from_secs(30);

/// What the pod has of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing.
    No,
    /// The record names this pod.
    Held,
    /// A session that no record knows, while another layout has the record.
    Guest,
    /// It gave it away.
    Parked,
}

/// One shard.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) progress: Arc<Progress>,
    pub(super) hold: Hold,
    /// None: to be read.
    pub(super) known: Option<Known>,
    claiming: Option<oneshot::Sender<Claimed>>,
    /// Whether the claim may be answered by the progress file while the API server is away.
    by_file: bool,
    pub(super) confirming: Vec<oneshot::Sender<Option<bool>>>,
    /// When a new session is to be noted in the record.
    pub(super) note_at: Option<Instant>,
    /// Whether the session in the progress file is void if the write that was noted did not take place.
    borrowed: bool,
    /// Since when every read has shown another pod of this one's name as the owner.
    twin_since: Option<Instant>,
    owned: watch::Sender<bool>,
}

/// A write that a row wants.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) change: Change,
    pub(super) goal: Goal,
}

/// What a write is for.
#[derive(Debug)]
pub(super) enum Goal {
    /// To own the shard.
    Claim { live: bool },
    /// To say what is so already.
    Keep,
    /// To give it away.
    Park,
}

/// What a row comes to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time, and is taken apart at once")]
pub(super) enum Next {
    Nothing,
    Write(Planned),
    /// Only a document read just now can tell.
    Look,
    /// Not now, because of this.
    Wait(WaitsFor),
}

impl Row {
    pub(super) fn new(progress: Arc<Progress>) -> (Self, watch::Receiver<bool>) {
        let (owned, owns) = watch::channel(false);
        let row = Self {
            progress,
            hold: Hold::No,
            known: None,
            claiming: None,
            by_file: false,
            confirming: Vec::new(),
            note_at: None,
            borrowed: true,
            twin_since: None,
            owned,
        };
        (row, owns)
    }

    /// The shard wants to run.
    pub(super) fn claim(&mut self, reply: oneshot::Sender<Claimed>, by_file: bool) {
        self.claiming = Some(reply);
        self.by_file = by_file;
        // Whatever was so before: it is told only what was read after it asked.
        self.known = None;
        if self.hold != Hold::Parked {
            self.hold = Hold::No;
        }
    }

    pub(super) fn must_be_read(&self, parking: bool) -> bool {
        let needed = match self.hold {
            Hold::Held | Hold::Guest => true,
            // A claim that the stop cut off may have left a session that the next owner can resume.
            Hold::No if parking => self.left_behind(),
            Hold::No | Hold::Parked => self.claiming.is_some() && !parking,
        };
        !self.confirming.is_empty() || (needed && self.known.is_none())
    }

    /// Whether the file names a session that this pod's earlier process owned.
    fn left_behind(&self) -> bool {
        let file = self.progress.header();
        file.session.is_some() && (file.rev > 0 || file.writing.is_some())
    }

    /// Whether the stop has to give it away still, as far as is known.
    pub(super) fn parks(&self, me: &Me) -> bool {
        match self.hold {
            Hold::Held => true,
            Hold::No => self.left_behind() && self.known.as_ref().is_none_or(|known| self.is_own(me, known)),
            Hold::Guest | Hold::Parked => false,
        }
    }

    /// Whether a record is the one that the file speaks of.
    fn is_own(&self, me: &Me, known: &Known) -> bool {
        let file = self.progress.header();
        known.record.as_ref().is_some_and(|record| {
            let believed = record.rev == file.rev || file.writing.is_some_and(|note| note.rev == record.rev);
            is_mine(me, record) && believed
        })
    }

    /// Whether it waits to run.
    pub(super) const fn waits(&self) -> bool {
        self.claiming.is_some()
    }

    /// Takes what was read.
    pub(super) fn read(&mut self, me: &Me, known: Known) {
        let (record, file) = (known.record.as_ref(), self.progress.header());
        let mine = record.is_some_and(|record| is_mine(me, record));
        if let (Some(writing), Some(record)) = (file.writing, record)
            && record.rev >= writing.rev
            && !mine
        {
            // Somebody else's write came first, so ours never lands.
            if self.borrowed { self.progress.forget() } else { self.progress.not_written() }
        }
        let twin = record.is_some_and(|record| !mine && is_of_my_name(me, record));
        self.twin_since = twin.then(|| self.twin_since.unwrap_or_else(Instant::now));
        let unclaimed = record.is_none_or(|record| record.state == State::Free);
        let confirmed = self.hold == Hold::Guest || mine || (unclaimed && self.hold == Hold::Held);
        for reply in self.confirming.drain(..) {
            _ = reply.send(Some(confirmed));
        }
        self.known = Some(known);
    }

    /// The API server said nothing of the record: who was its owner goes by its file, if that may be.
    pub(super) fn not_read(&mut self, me: &Me, by_file: bool) {
        self.twin_since = None;
        for reply in self.confirming.drain(..) {
            _ = reply.send(None);
        }
        let file = self.progress.header();
        let sure = by_file && self.by_file && file.writing.is_none_or(|writing| !writing.firm);
        let session = file.session.is_some_and(|session| session.intents == me.intents);
        if self.claiming.is_some() && sure && session {
            tracing::info!("the API server does not answer; going on by the progress file");
            self.hold = if file.rev > 0 { Hold::Held } else { Hold::Guest };
            self.grant(file.rev > 0);
        }
    }

    /// What to do, once the record is known.
    pub(super) fn next(&mut self, shard: u32, me: &Me, layouts: &Layouts, fresh: bool) -> Next {
        let Some(known) = self.known.clone() else { return Next::Nothing };
        match self.hold {
            Hold::No | Hold::Parked if self.claiming.is_some() => {}
            Hold::Guest => {}
            Hold::Held => return self.keep(shard, me, known),
            Hold::No | Hold::Parked => return Next::Nothing,
        }
        let file = self.progress.header();
        let alone = self.twin_since.is_some_and(|since| since.elapsed() >= ALONE_AFTER);
        let (new, then) = match claim::decide(me, &file, known.record.as_ref(), layouts, fresh, alone) {
            Claim::Write(new, then) => (new, then),
            Claim::Have => {
                if let Some(record) = &known.record
                    && file.writing.is_some_and(|writing| writing.rev == record.rev)
                {
                    self.progress.written(record.rev);
                }
                self.hold = Hold::Held;
                // Users were served by it: should the RESUME fail, they wait.
                self.grant(file.session.is_some());
                return Next::Nothing;
            }
            Claim::Guest => {
                if file.session.is_some_and(|session| session.intents != me.intents) {
                    self.progress.lose_session();
                }
                self.hold = Hold::Guest;
                self.grant(false);
                return Next::Nothing;
            }
            Claim::Look => return Next::Look,
            Claim::Wait(because) => return Next::Wait(because),
        };
        if self.hold == Hold::Guest && then != Then::File {
            // Not connected yet: it shall begin again, and perhaps RESUME.
            self.lose();
            return Next::Nothing;
        }
        self.borrowed = self.hold != Hold::Guest;
        let live = self.prepare(&new, &then);
        let change = Change { shard, old: known, new };
        Next::Write(Planned { change, goal: Goal::Claim { live } })
    }

    /// Makes the file ready for either outcome of the claim.
    fn prepare(&self, new: &Record, then: &Then) -> bool {
        let served = self.left_behind();
        self.progress.writing(new.rev, true);
        match then {
            Then::File => served,
            Then::TakeOver(checkpoint) => {
                self.progress.take_over(checkpoint);
                true
            }
            Then::Identify { live } => {
                self.progress.lose_session();
                *live
            }
        }
    }

    /// Keeps the record saying what is so.
    fn keep(&mut self, shard: u32, me: &Me, known: Known) -> Next {
        let file = self.progress.header();
        let newest = file.rev.max(file.writing.map_or(0, |writing| writing.rev));
        let rev = match &known.record {
            Some(record) if is_mine(me, record) => {
                if file.rev != record.rev {
                    self.progress.written(record.rev);
                }
                let noted = record.session.as_ref().map(|session| &session.id);
                let same = file.session.as_ref().is_none_or(|session| noted == Some(&session.id));
                if same || self.note_at.is_none_or(|at| at > Instant::now()) {
                    if same {
                        self.note_at = None;
                    }
                    return Next::Nothing;
                }
                newest.max(record.rev) + 1
            }
            Some(record) if record.state != State::Free => {
                tracing::warn!(shard, "the record names another pod: leaving the shard to it");
                self.lose();
                return Next::Nothing;
            }
            _ => {
                tracing::warn!(shard, "the shard's record was removed: writing it again");
                newest + 1
            }
        };
        self.progress.writing(rev, false);
        let new = claim::held(me, file.session, rev);
        Next::Write(Planned { change: Change { shard, old: known, new }, goal: Goal::Keep })
    }

    /// The write that gives the shard away, if this pod has it.
    pub(super) fn park(&mut self, shard: u32, me: &Me) -> Option<Planned> {
        let known = self.known.clone().filter(|_| self.parks(me))?;
        let file = self.progress.header();
        let unclaimed = known.record.as_ref().is_none_or(|record| record.state == State::Free);
        if !unclaimed && !known.record.as_ref().is_some_and(|record| is_mine(me, record)) {
            self.hold = Hold::No;
            return None;
        }
        let rev = known.record.as_ref().map_or(0, |record| record.rev).max(file.rev);
        let rev = rev.max(file.writing.map_or(0, |writing| writing.rev)) + 1;
        let new = claim::parked(me, self.progress.checkpoint(), rev);
        self.progress.writing(rev, true);
        Some(Planned { change: Change { shard, old: known, new }, goal: Goal::Park })
    }

    /// A write was made.
    pub(super) fn written(&mut self, Planned { change, goal }: &Planned) {
        self.known = Some(change.written());
        self.note_at = None;
        if matches!(goal, Goal::Park) {
            self.progress.lose_session();
            self.hold = Hold::Parked;
        }
        self.progress.written(change.new.rev);
        if let Goal::Claim { live } = goal {
            self.borrowed = true;
            self.hold = Hold::Held;
            self.grant(*live);
        }
    }

    /// The shard is another's.
    fn lose(&mut self) {
        self.progress.close();
        self.progress.forget();
        self.hold = Hold::No;
        self.known = None;
        self.note_at = None;
        self.owned.send_replace(false);
    }

    fn grant(&mut self, live: bool) {
        if self.hold == Hold::Held {
            // A session that began while this was written, or before a crash that came before it was noted.
            self.note_at = Some(Instant::now());
        }
        self.owned.send_replace(true);
        if let Some(reply) = self.claiming.take() {
            _ = reply.send(Claimed { live });
        }
    }
}

/// Whether a pod of this one's name holds it.
fn is_of_my_name(me: &Me, record: &Record) -> bool {
    let layout = record.owner.as_ref().map(|owner| owner.layout);
    record.state == State::Held && layout == Some(me.owner.layout)
}

/// Whether this pod holds it.
fn is_mine(me: &Me, record: &Record) -> bool {
    record.state == State::Held && record.owner.as_ref() == Some(&me.owner)
}
