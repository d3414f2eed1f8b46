//! Changes from outside: settings, and connections dropped on purpose.
//!
//! From: control. For: faults and answers of Discord that a fleet has to live with.
//! Deliberately absent: the shapes of requests (`settings.rs`, `control.rs`).

use std::sync::Arc;
use std::time::Duration;

use super::{Discord, State};
use crate::options::Token;
use crate::session::Session;
use crate::session::id::SessionId;
use crate::session::wire::{self, Order, Wire};
use crate::settings::{Settings, SettingsChange};
use crate::snowflake::Snowflake;

/// How long a client has for its reconnect after op 7, in Discord's time ("some seconds").
const GRACE: Duration = Duration::from_secs(3);

/// A connection that was told to reconnect: when it is closed, its session, itself.
pub(crate) type Leaving = (Duration, SessionId, Arc<Wire>);

/// How a connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    /// TCP ends without a word; the session lives on.
    Tcp,
    /// Op 7, and some seconds later close 4000; the session lives on.
    Reconnect,
    /// Op 9 with true; the session lives on, without the connection, which stays open.
    InvalidResumable,
    /// Op 9 with false; the session is gone, the connection stays open.
    Invalid,
    /// A close with this code; after some, the session is gone.
    Close(u16),
}

/// Which connections something is done to; only those that have a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    All,
    Shard { id: u32, total: u32 },
    Session(SessionId),
}

impl Discord {
    /// The settings in force, with what is left of the first bot's day.
    pub fn settings(&self) -> Settings {
        self.settings_of(&mut self.change())
    }

    /// Changes settings, or says what is wrong with the change.
    pub fn change_settings(&self, change: &SettingsChange) -> Result<Settings, String> {
        let mut state = self.change();
        let settings = change.applied_to(&self.settings_of(&mut state))?;
        if let Some(id) = change.application_id.filter(|id| !state.applications.contains_key(id)) {
            return Err(format!("applicationId: {id} is no bot; use one whose token was given at the start"));
        }
        let meant = |id: &Snowflake| change.application_id.is_none_or(|one| one == *id);
        for (_, application) in state.applications.iter_mut().filter(|(id, _)| meant(id)) {
            if change.total.is_some() {
                application.budget.set_total(settings.total);
            }
            if change.remaining.is_some() {
                application.budget.set_remaining(settings.remaining);
            }
        }
        if change.recommended_shards.is_some() {
            state.recommends_by_guilds = false;
        }
        if settings.refuse_token && !state.settings.refuse_token {
            self.end_sessions(&mut state, |_| true, 4004, "Authentication failed.");
        }
        if (settings.skew_ms, settings.same_order) != (state.settings.skew_ms, state.settings.same_order) {
            state.arrive(Duration::MAX);
        }
        state.settings = settings;
        Ok(self.settings_of(&mut state))
    }

    /// Drops connections; how many there were.
    pub(crate) fn drop_connections(&self, chosen: Chosen, how: Drop) -> usize {
        let mut state = self.change();
        let ids = state.sessions.ids_where(|session| session.link.is_some() && chosen.has(session));
        for id in ids.iter().copied() {
            let Some(wire) =
                state.sessions.get_mut(id).and_then(|session| Some(session.link.as_ref()?.wire.clone()))
            else {
                continue;
            };
            match how {
                Drop::Tcp => wire.cut_off(),
                Drop::Close(code) => self.close_with(&mut state, &wire, id, code),
                Drop::Reconnect => {
                    wire.order(Order::Frame(wire::RECONNECT.to_owned()));
                    let due = self.now() + self.clock.real(GRACE);
                    state.leaving.push((due, id, wire));
                }
                // The connection stays open: the client may RESUME or IDENTIFY over it, or over another.
                Drop::InvalidResumable | Drop::Invalid => {
                    let resumable = how == Drop::InvalidResumable;
                    let word = if resumable { wire::INVALID_RESUMABLE } else { wire::INVALID_SESSION };
                    wire.order(Order::Frame(word.to_owned()));
                    state.unlink(id, self.now());
                    if !resumable {
                        state.sessions.remove(id);
                    }
                }
            }
        }
        ids.len()
    }

    /// Closes the connections that were told to reconnect and are still there when their time is over.
    pub(crate) fn close_leaving(&self) {
        let now = self.now();
        if self.read().leaving.iter().all(|(due, ..)| *due > now) {
            return;
        }
        let mut state = self.change();
        let (due, later) = std::mem::take(&mut state.leaving).into_iter().partition(|(due, ..)| *due <= now);
        state.leaving = later;
        let due: Vec<Leaving> = due;
        for (_, id, wire) in due {
            let is_there = state.sessions.get(id).is_some_and(|session| session.is_linked_to(&wire));
            if is_there {
                self.close(&mut state, &wire, 4000, "Reconnect.", Some(id));
            }
        }
    }

    fn close_with(&self, state: &mut State, wire: &Wire, id: SessionId, code: u16) {
        let reason = "Closed by control.";
        if matches!(code, 4004 | 4007 | 4009..) {
            self.end_session(state, id, code, reason);
        } else {
            self.close(state, wire, code, reason, Some(id));
        }
    }

    /// Takes or refuses a token; how many sessions of its bot were ended.
    pub(crate) fn set_token(&self, token: Token, is_good: bool) -> usize {
        let mut state = self.change();
        let application = token.application();
        let was_good = state.tokens.insert(token, is_good).unwrap_or_default();
        if is_good || !was_good {
            return 0;
        }
        let is_its = |session: &Session| session.application == application;
        self.end_sessions(&mut state, is_its, 4004, "Authentication failed.")
    }

    fn settings_of(&self, state: &mut State) -> Settings {
        let now = self.clock.rules();
        let mut settings = state.settings.clone();
        let first = self.options.tokens.first().map(Token::application);
        if let Some(application) = first.and_then(|id| state.applications.get_mut(&id)) {
            settings.total = application.budget.total();
            settings.remaining = application.budget.remaining(now);
        }
        settings
    }
}

impl Chosen {
    /// Whether this session's connection is meant.
    pub(crate) fn has(self, session: &Session) -> bool {
        match self {
            Self::All => true,
            Self::Shard { id, total } => (session.shard, session.total) == (id, total),
            Self::Session(id) => session.id == id,
        }
    }
}
