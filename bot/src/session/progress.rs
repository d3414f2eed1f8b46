//! How far one shard's events were handled, kept where the process can be killed without losing it.
//!
//! From the shard's task (a session, what is received), dispatch (what is begun, what ended) and the records (which `rev`)
//! to a file in the pod's memory and back. Flow: [`Progress::receive`] -> [`Ticket`] -> [`Ticket::begin`] right before the
//! handler -> dropped when all its handlers ended. Guarantees: what was begun and not done when the process died comes
//! again and says so; after [`Progress::close`] nothing that was received before begins, so what [`Progress::checkpoint`]
//! says stays true. A file that cannot be written is taken away. Costs a microsecond or two for each write. Deliberately
//! absent: who owns the shard ([`crate::session::records`]).

mod file;
mod window;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use shard_contract::{
    names::record_key,
    record::{MOST_SKIPPED, Session},
};

pub(crate) use self::file::{Header, Writing};
use self::{
    file::ProgressFile,
    window::{Received, Window, Write},
};
use crate::edges::trouble::chain;

/// One shard's progress.
#[derive(Debug)]
pub(crate) struct Progress {
    shard: u32,
    path: Option<PathBuf>,
    state: Mutex<State>,
    overrun: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    header: Header,
    window: Window,
    file: Option<ProgressFile>,
    /// Counts sessions, so that what ends late is not noted in another one's window.
    session: u64,
    /// Counts closings, so that what was received before one is not begun.
    closings: u64,
}

/// What a record says of a session whose owner goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) session: Option<Session>,
    /// All up to it was begun.
    pub(crate) after: u64,
    /// What above it was begun.
    pub(crate) skip: Vec<u64>,
    /// What above it was begun by processes that are gone, and not since: each as often as it was begun.
    pub(crate) redelivered: Vec<u64>,
}

impl Progress {
    /// Kept in memory alone, as in a local run.
    pub(crate) fn unkept(shard: u32) -> Arc<Self> {
        Arc::new(Self { shard, path: None, state: Mutex::default(), overrun: AtomicU64::new(0) })
    }

    /// Kept in a file of this folder, and read from it if this pod's earlier process left one.
    pub(crate) fn kept(folder: &Path, session_group: u32, shard: u32, pod_uid: &str) -> Arc<Self> {
        let path = folder.join(record_key(session_group, shard));
        let mut state = State::default();
        match ProgressFile::read(&path) {
            Ok(Some((file, header, window))) if header.pod_uid == pod_uid => {
                state = State { header, window, file: Some(file), ..state };
            }
            Ok(Some(_)) => tracing::warn!(shard, "the progress file is another pod's, not believing it"),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(shard, error = %chain(&error), "not believing the progress file");
            }
        }
        pod_uid.clone_into(&mut state.header.pod_uid);
        Arc::new(Self { shard, path: Some(path), state: Mutex::new(state), overrun: AtomicU64::new(0) })
    }

    /// What is known beside the marks.
    pub(crate) fn header(&self) -> Header {
        self.state().header.clone()
    }

    /// Where to resume, if there is a session. What was received before and not begun will come again.
    pub(crate) fn resume(&self) -> Option<(Session, u64)> {
        let mut state = self.state();
        state.closings += 1;
        state.window.replay();
        let session = state.header.session.clone()?;
        Some((session, state.window.resume_at()))
    }

    /// A session of this process begins.
    pub(crate) fn begin_session(&self, session: Session) {
        self.renew(Some(session), Window::default());
    }

    /// Another owner's session is taken over where it left off.
    pub(crate) fn take_over(&self, Checkpoint { session, after, skip, redelivered }: &Checkpoint) {
        self.renew(session.clone(), Window::new(*after, skip, redelivered));
    }

    /// There is no session any more that could be resumed.
    pub(crate) fn lose_session(&self) {
        self.renew(None, Window::default());
    }

    /// So many guilds has the session, counted up to this sequence.
    pub(crate) fn count_guilds(&self, guilds: u32, at: u64) {
        let counted = |session: &Session| (session.guilds, session.guilds_at) == (guilds, at);
        if self.state().header.session.as_ref().is_some_and(|session| !counted(session)) {
            self.change(|header| {
                if let Some(session) = &mut header.session {
                    (session.guilds, session.guilds_at) = (guilds, at);
                }
            });
        }
    }

    /// A session that this pod does not own after all: nothing is to be resumed, and no write is on its way.
    pub(crate) fn forget(&self) {
        self.change(|header| {
            header.session = None;
            header.writing = None;
        });
    }

    /// The write that was noted did not take place and cannot any more.
    pub(crate) fn not_written(&self) {
        self.change(|header| header.writing = None);
    }

    /// The record is about to be written.
    pub(crate) fn writing(&self, rev: u64, firm: bool) {
        self.change(|header| header.writing = Some(Writing { rev, firm }));
    }

    /// The record is known to have this `rev`, and nothing that was sent before can land any more.
    pub(crate) fn written(&self, rev: u64) {
        self.change(|header| {
            header.rev = rev;
            header.writing = None;
        });
    }

    /// Takes an event that was received; none: it is not to be handled.
    pub(crate) fn receive(self: &Arc<Self>, sequence: u64) -> Option<Ticket> {
        let mut state = self.state();
        let (received, overrun) = self.mark(&mut state, |window, write| window.receive(sequence, write));
        if overrun > 0 && self.overrun.fetch_add(overrun, Ordering::Relaxed) == 0 {
            tracing::error!(
                shard = self.shard,
                "a handler does not end; after a crash its event will not be handled again"
            );
        }
        let begun_before = match received {
            Received::Skip => return None,
            Received::Redelivered(times) => times,
            Received::Fresh => 0,
        };
        let (session, closings) = (state.session, state.closings);
        drop(state);
        Some(Ticket { progress: Arc::clone(self), sequence, begun_before, session, closings, begun: false })
    }

    /// How many events were received since the last one below which all is done.
    pub(crate) fn unfinished(&self) -> u64 {
        self.state().window.unfinished()
    }

    /// Events up to this one came that nobody reads.
    pub(crate) fn pass_up_to(&self, sequence: u64) {
        let mut state = self.state();
        if sequence > state.window.received() {
            self.mark(&mut state, |window, write| {
                window.receive(sequence, write);
                window.pass(sequence, write);
            });
        }
    }

    /// From now on nothing is begun that was received before.
    pub(crate) fn close(&self) {
        self.state().closings += 1;
    }

    /// What the next owner needs to know. True for good only after [`Self::close`].
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let state = self.state();
        let (mut skip, mut redelivered) = (state.window.skip(), state.window.redelivered());
        // Dispatch begins in order, so this is not reached; if it were, the rest would be handled twice, unmarked.
        skip.truncate(MOST_SKIPPED);
        redelivered.truncate(MOST_SKIPPED);
        Checkpoint {
            session: state.header.session.clone(),
            after: state.window.resume_at(),
            skip,
            redelivered,
        }
    }

    fn renew(&self, session: Option<Session>, window: Window) {
        let mut state = self.state();
        state.header.session = session;
        state.window = window;
        state.session += 1;
        let Some(path) = &self.path else { return };
        let made = ProgressFile::create(path, &state.header, &state.window);
        self.keep(&mut state, made);
    }

    fn change(&self, change: impl FnOnce(&mut Header)) {
        let mut state = self.state();
        change(&mut state.header);
        let State { header, window, file, .. } = &mut *state;
        let made = match (file.take(), &self.path) {
            (Some(mut file), _) => file.say(header).map(|()| file),
            (None, Some(path)) => ProgressFile::create(path, header, window),
            (None, None) => return,
        };
        self.keep(&mut state, made);
    }

    fn keep(&self, state: &mut State, made: io::Result<ProgressFile>) {
        match made {
            Ok(file) => state.file = Some(file),
            Err(error) => self.give_up(state, &error),
        }
    }

    /// A file that misses something would let events be handled twice, unmarked. So there is none.
    fn give_up(&self, state: &mut State, error: &io::Error) {
        tracing::error!(shard = self.shard, %error, "cannot keep the progress file; a crash will cost the session");
        if let Some(file) = state.file.take() {
            file.remove();
        } else if let Some(path) = &self.path {
            drop(std::fs::remove_file(path));
        }
    }

    fn mark<T>(&self, state: &mut State, change: impl FnOnce(&mut Window, &mut dyn FnMut(Write)) -> T) -> T {
        let State { window, file, .. } = state;
        let mut failed = None;
        let changed = change(window, &mut |write| {
            if let Some(file) = file
                && let Err(error) = file.write(write)
            {
                failed = Some(error);
            }
        });
        if let Some(error) = failed {
            self.give_up(state, &error);
        }
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event that is to be handled. Dropped before it was begun, it comes again to whoever resumes the session next.
#[derive(Debug)]
pub(crate) struct Ticket {
    progress: Arc<Progress>,
    sequence: u64,
    begun_before: u8,
    session: u64,
    closings: u64,
    begun: bool,
}

impl Ticket {
    /// Its number in the shard's session.
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How often it was begun by processes that are gone.
    pub(crate) const fn begun_before(&self) -> u8 {
        self.begun_before
    }

    /// To be called right before its handlers; `false`: it must not be begun any more.
    pub(crate) fn begin(&mut self) -> bool {
        let mut state = self.progress.state();
        if state.closings != self.closings {
            return false;
        }
        if state.session == self.session {
            self.progress.mark(&mut state, |window, write| window.begin(self.sequence, write));
        }
        self.begun = true;
        true
    }

    /// Nobody handles it; `false`: somebody else decides about it by now.
    pub(crate) fn pass(self) -> bool {
        let mut state = self.progress.state();
        let is_ours = state.session == self.session && state.closings == self.closings;
        if is_ours {
            self.progress.mark(&mut state, |window, write| window.pass(self.sequence, write));
        }
        is_ours
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.begun {
            return;
        }
        let mut state = self.progress.state();
        if state.session == self.session {
            self.progress.mark(&mut state, |window, write| window.done(self.sequence, write));
        }
    }
}

#[cfg(test)]
mod tests;
