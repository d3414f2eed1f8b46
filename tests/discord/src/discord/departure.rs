//! Departure: ends of connections and of sessions.
//!
//! From: the gateway (the client left, broke a rule, or was cut), entry and control. For: the registry and the ledger.
//! A session outlives its connection unless the client closed with 1000 or 1001, or the simulator ended it.
//! Deliberately absent: the close handshake itself (`gateway.rs`).

use std::time::Duration;

use super::{Discord, State, ms};
use crate::ledger::{Close, Side, ViolationKind};
use crate::session::id::SessionId;
use crate::session::wire::Wire;
use crate::session::{Link, Session};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed with this code; none where the connection just ended.
    Client(Option<u16>),
    /// The simulator cut it.
    Cut,
}

impl Discord {
    /// A connection has ended; `session` is what it had.
    pub fn leave(&self, wire: &Wire, session: Option<SessionId>, end: End) {
        let now = self.now();
        let mut state = self.change();
        if wire.has_lagged() {
            state.record.cut_off += 1;
        }
        if !wire.is_closing() {
            let (by, code) = match end {
                End::Client(code) => (Side::Client, code),
                End::Cut => (Side::Server, None),
            };
            let close = close_of(&mut state, ms(now), by, code, None, session);
            state.record.close(close);
        }
        let ended = !wire.is_closing() && matches!(end, End::Client(Some(1000 | 1001)));
        let Some(id) = session else { return };
        let Some(session) = state.sessions.get_mut(id).filter(|session| session.is_linked_to(wire)) else {
            return;
        };
        let id = session.id;
        state.unlink(id, now);
        if ended {
            state.sessions.remove(id);
        }
    }

    /// Whether the connection still has the session that it was given.
    pub fn holds(&self, wire: &Wire, session: SessionId) -> bool {
        self.read().sessions.get(session).is_some_and(|session| session.is_linked_to(wire))
    }

    /// Closes a connection with a code, and the rule that was broken, if one was.
    pub fn close_for(
        &self,
        wire: &Wire,
        session: Option<SessionId>,
        close: (u16, &'static str),
        broken: Option<(ViolationKind, String)>,
    ) {
        let mut state = self.change();
        if let Some((kind, text)) = broken {
            state.violation(self.now(), kind, text);
        }
        let (code, reason) = close;
        match session {
            // "Your session timed out": it is gone, other than after every other close by a rule.
            Some(id) if code == 4009 => self.end_session(&mut state, id, code, reason),
            session => self.close(&mut state, wire, code, reason, session),
        }
    }

    /// Forgets the sessions whose time without a connection is over, and closes connections that should have left.
    pub fn sweep(&self) {
        self.close_leaving();
        let (now, life) = (self.now(), self.options.session_life);
        if !self.read().sessions.all().any(|session| session.is_over(now, life)) {
            return;
        }
        let mut state = self.change();
        for id in state.sessions.ids_where(|session| session.is_over(now, life)) {
            state.sessions.remove(id);
        }
    }

    /// Ends a session; its connection, if it has one, is closed with the code.
    pub(crate) fn end_session(&self, state: &mut State, id: SessionId, code: u16, reason: &'static str) {
        if let Some(Link { wire, .. }) = state.unlink(id, self.now()) {
            self.close(state, &wire, code, reason, Some(id));
        }
        state.sessions.remove(id);
    }

    /// Ends the sessions for which `is_one` holds, as when their token is not good any more; how many there were.
    pub(crate) fn end_sessions(
        &self,
        state: &mut State,
        is_one: impl Fn(&Session) -> bool,
        code: u16,
        reason: &'static str,
    ) -> usize {
        let ids = state.sessions.ids_where(is_one);
        for id in &ids {
            self.end_session(state, *id, code, reason);
        }
        ids.len()
    }

    /// Closes a connection and writes it down, once.
    pub(crate) fn close(
        &self,
        state: &mut State,
        wire: &Wire,
        code: u16,
        reason: &'static str,
        session: Option<SessionId>,
    ) {
        if wire.close(code, reason) {
            let close = close_of(state, ms(self.now()), Side::Server, Some(code), Some(reason), session);
            state.record.close(close);
        }
    }
}

impl State {
    /// Takes a session from its connection, if it has one; it lives on and can be resumed.
    pub(crate) fn unlink(&mut self, id: SessionId, now: Duration) -> Option<Link> {
        let session = self.sessions.get_mut(id)?;
        let link = session.link.take()?;
        session.left_at = Some(now);
        let place = (session.application, session.total, session.shard);
        self.record.coverage.uncovered(place, ms(now));
        Some(link)
    }
}

fn close_of(
    state: &mut State,
    at_ms: u64,
    by: Side,
    code: Option<u16>,
    reason: Option<&str>,
    session: Option<SessionId>,
) -> Close {
    let place =
        session.and_then(|id| state.sessions.get_mut(id)).map(|session| (session.shard, session.total));
    Close {
        at_ms,
        by,
        code,
        reason: reason.map(str::to_owned),
        session_id: session,
        shard: place.map(|(shard, _)| shard),
        total: place.map(|(_, total)| total),
    }
}
