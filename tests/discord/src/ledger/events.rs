//! The ledger's shapes of events: counts, and what became of a single one.
//!
//! From: `record/events.rs`. For: `GET /ledger` and whoever judges a fleet by it. An event asks for an answer if it is an
//! interaction, or a message that begins with `!` (or says so itself). It is answered by a bot's message that refers to it, or
//! by the callback of the interaction. Deliberately absent: events that Discord makes by itself, such as GUILD_CREATE.

use serde::{Deserialize, Serialize};

use crate::session::id::SessionId;
use crate::snowflake::Snowflake;

/// Counts of events, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventCounts {
    /// Made by users: messages, reactions, interactions, requests to join.
    pub made: u64,
    /// Those for which no session was there.
    pub to_nobody: u64,
    /// Those that no session was to get, since the bots may not view the channel. They ask for no answer.
    #[serde(default)]
    pub hidden: u64,
    /// Those written to at least one connection.
    pub sent: u64,
    /// Times that one was written to a connection.
    pub sends: u64,
    /// Times that one was written again, to a session that had had it (RESUME).
    pub replays: u64,
    /// Those that asked for an answer.
    pub asking: u64,
    /// Those of them that got one.
    pub answered: u64,
    /// Those of them that have none yet, and are too young to be called lost.
    pub waiting: u64,
    /// Those of them that got none in time (`?lostAfterMs=`, by default 10 s) although a session that was to get them is still
    /// there. An answer that comes later takes its event out of here.
    pub lost: u64,
    /// Those of them that got none in time and that nobody can get any more: every session that was to get them has ended (was
    /// invalidated, timed out, closed with 1000 or 1001, replaced by an IDENTIFY), or there was none. Not among the lost.
    #[serde(default)]
    pub dropped_with_session: u64,
    /// Those of the lost that are older than the details that are kept.
    pub left_unanswered: u64,
    /// Answers of a bot to an event that it had answered before.
    pub doubled: u64,
    /// Answers that were sent again and made no second message, because `enforce_nonce` named the first one.
    #[serde(default)]
    pub doubled_marked: u64,
    /// First answers of a bot to an event older than one of the same guild that it had answered before.
    pub reordered: u64,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// MESSAGE_CREATE.
    Message,
    /// MESSAGE_REACTION_ADD.
    Reaction,
    /// INTERACTION_CREATE.
    Interaction,
    /// GUILD_JOIN_REQUEST_CREATE, _UPDATE, _DELETE.
    JoinRequest,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Of the message, interaction or new request to join; of anything else, one that only the ledger knows.
    pub id: Snowflake,
    /// What it is.
    pub kind: EventKind,
    /// Its guild; none for a direct message.
    pub guild_id: Option<Snowflake>,
    /// When it was made.
    pub made_at_ms: u64,
    /// Whether a bot is to answer it.
    pub asks: bool,
    /// Sessions that were there to get it.
    pub sessions: u32,
    /// Each time that it was written to a connection, the first 32.
    pub sent: Vec<Sent>,
    /// What bots did about it, the first 32.
    pub acts: Vec<Act>,
}

/// An event written to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The session of the connection.
    pub session_id: SessionId,
    /// The event's number there.
    pub sequence: u64,
    /// When.
    pub at_ms: u64,
}

/// A bot's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// The bot.
    pub application_id: Snowflake,
    /// When.
    pub at_ms: u64,
    /// Whether it had answered before.
    pub doubled: bool,
    /// Whether it had answered a newer event of the same guild before.
    pub reordered: bool,
}
