//! Connections that are chosen, and what is done to them.
//!
//! From: `POST /control/connections/...`. For: faults on single connections. Chosen are the connections of a shard, of a
//! session, or all that have a session. Deliberately absent: the effects (`discord/change.rs`, `discord/connections.rs`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ControlError, bad};
use crate::discord::Discord;
use crate::discord::change::{Chosen, Drop};
use crate::session::id::SessionId;
use crate::snowflake::ShardOf;

/// The longest freeze.
const LONGEST_FREEZE: Duration = Duration::from_secs(60 * 60);

/// Connections to be dropped.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropConnections {
    /// Of this shard; with `total`. Without shard, total and session, all connections that have a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Of this total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Of this session; without `shard` and `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// How.
    pub how: How,
    /// With `close`, and only with it: the close code, 4000 to 4014.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

/// How connections are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// TCP ends without a word; the session can be resumed.
    Tcp,
    /// Op 7, and close 4000 three seconds (of Discord's time) later; the session can be resumed.
    Reconnect,
    /// Op 9 with true; the session can be resumed, over this connection, which stays open, or another.
    InvalidResumable,
    /// Op 9 with false; the session is gone, the connection stays open.
    Invalid,
    /// A close with the code that is given. After 4007, 4009 and the fatal ones the session is gone.
    Close,
}

/// How many connections were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// So many.
    pub dropped: usize,
}

/// Connections to be frozen: TCP stays open, and nothing is read or written until the time is over.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeConnections {
    /// Of this shard; with `total`. Without shard, total and session, all connections that have a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Of this total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Of this session; without `shard` and `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// For so long in real time: 1 to 3,600,000.
    pub for_ms: u64,
}

/// How many connections were frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// So many.
    pub frozen: usize,
}

/// Connections over which the server asks for a heartbeat, with op 1.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AskHeartbeats {
    /// Of this shard; with `total`. Without shard, total and session, all connections that have a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Of this total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Of this session; without `shard` and `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

/// How many connections were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// So many.
    pub asked: usize,
}

impl DropConnections {
    /// All connections that have a session.
    pub fn all(how: How) -> Self {
        Self { shard: None, total: None, session_id: None, how, code: None }
    }

    /// The connections of a shard.
    pub fn of(shard: ShardOf, how: How) -> Self {
        Self { shard: Some(shard.id), total: Some(shard.total), ..Self::all(how) }
    }
}

impl Discord {
    /// Drops connections.
    pub fn drop_connection(&self, request: DropConnections) -> Result<Dropped, ControlError> {
        let chosen = chosen(request.shard, request.total, request.session_id)?;
        let how = match (request.how, request.code) {
            (How::Tcp, None) => Drop::Tcp,
            (How::Reconnect, None) => Drop::Reconnect,
            (How::InvalidResumable, None) => Drop::InvalidResumable,
            (How::Invalid, None) => Drop::Invalid,
            (How::Close, Some(code @ 4000..=4014)) => Drop::Close(code),
            (How::Close, found) => {
                let found = found.map_or_else(|| "none".to_owned(), |code| code.to_string());
                return Err(bad(format!("code: found {found}; use 4000 to 4014")));
            }
            (_, Some(code)) => {
                return Err(bad(format!("code: found {code}; leave it out, or use it with how close")));
            }
        };
        Ok(Dropped { dropped: self.drop_connections(chosen, how) })
    }

    /// Freezes connections.
    pub fn freeze_connections(&self, request: FreezeConnections) -> Result<Frozen, ControlError> {
        let chosen = chosen(request.shard, request.total, request.session_id)?;
        let span = Duration::from_millis(request.for_ms);
        if span.is_zero() || span > LONGEST_FREEZE {
            let (found, most) = (request.for_ms, LONGEST_FREEZE.as_millis());
            return Err(bad(format!("forMs: found {found}; use 1 to {most}")));
        }
        Ok(Frozen { frozen: self.freeze(chosen, span) })
    }

    /// Asks for heartbeats out of turn.
    pub fn ask_heartbeats(&self, request: AskHeartbeats) -> Result<Asked, ControlError> {
        let chosen = chosen(request.shard, request.total, request.session_id)?;
        Ok(Asked { asked: self.ask_for_heartbeats(chosen) })
    }
}

/// Which connections are meant.
fn chosen(
    shard: Option<u32>,
    total: Option<u32>,
    session: Option<SessionId>,
) -> Result<Chosen, ControlError> {
    match (shard, total, session) {
        (None, None, None) => Ok(Chosen::All),
        (None, None, Some(session)) => Ok(Chosen::Session(session)),
        (_, _, Some(_)) => Err(bad("sessionId: found beside shard or total; use one or the other")),
        (Some(id), Some(total), None) => {
            ShardOf { id, total }.checked().map_err(bad)?;
            Ok(Chosen::Shard { id, total })
        }
        (Some(_), None, None) => Err(bad("total: found none; give it with shard, or leave both out")),
        (None, Some(_), None) => Err(bad("shard: found none; give it with total, or leave both out")),
    }
}
