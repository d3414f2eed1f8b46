//! Changes from outside: settings, and connections dropped on purpose.
//!
//! From: control. For: faults and answers of Discord that a fleet has to live with.
//! Deliberately absent: the shapes of requests (`settings.rs`, `control.rs`).

use super::{Discord, State};
use crate::options::Token;
use crate::session::Session;
use crate::session::id::SessionId;
use crate::session::wire::{Order, Wire};
use crate::settings::{Settings, SettingsChange};

/// How a connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    /// TCP ends without a word; the session lives on.
    Tcp,
    /// Op 7, then close 4000; the session lives on.
    Reconnect,
    /// Op 9 with true, then close 4000; the session lives on.
    InvalidResumable,
    /// Op 9 with false, then close 4000; the session is gone.
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
        for application in state.applications.values_mut() {
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
            for id in state.sessions.ids_where(|_| true) {
                self.end_session(&mut state, id, 4004, "Authentication failed.");
            }
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
            let word = match how {
                Drop::Tcp => {
                    wire.cut_off();
                    continue;
                }
                Drop::Reconnect => r#"{"op":7,"d":null,"s":null,"t":null}"#,
                Drop::InvalidResumable => r#"{"op":9,"d":true,"s":null,"t":null}"#,
                Drop::Invalid => r#"{"op":9,"d":false,"s":null,"t":null}"#,
                Drop::Close(code) => {
                    self.close_with(&mut state, &wire, id, code);
                    continue;
                }
            };
            wire.order(Order::Frame(word.to_owned()));
            if how == Drop::Invalid {
                self.end_session(&mut state, id, 4000, "The session was invalidated.");
            } else {
                self.close(&mut state, &wire, 4000, "Reconnect.", Some(id));
            }
        }
        ids.len()
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
        let ids = state.sessions.ids_where(|session| session.application == application);
        for id in &ids {
            self.end_session(&mut state, *id, 4004, "Authentication failed.");
        }
        ids.len()
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
