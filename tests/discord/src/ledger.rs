//! The ledger: everything that happened, as `GET /ledger` shows it and as tests and the demo read it back.
//!
//! From: `record.rs` and the state, as a snapshot. For: judging a fleet by what reached Discord, not by what it says.
//! Counters count for ever; logs keep the last entries. `...Ms` counts from the simulator's start.
//! Deliberately absent: behaviour. These are shapes with names, in camelCase.

mod events;
mod grid;
mod query;
mod shards;
mod verdict;

use std::collections::BTreeMap;

pub use events::{Act, EventCounts, EventKind, EventRecord, Sent};
pub use grid::Grid;
pub use query::{EventFilter, LedgerQuery};
pub use shards::{ShardCoverage, TotalProgress};
pub use verdict::Verdict;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::session::id::SessionId;
use crate::snowflake::Snowflake;

/// A snapshot of what happened so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// When the simulator started.
    pub started_at: Timestamp,
    /// When this snapshot was taken.
    pub now: Timestamp,
    /// The same, since the start.
    pub now_ms: u64,
    /// By how much Discord's spans are shorter here.
    pub time_factor: f64,
    /// Buckets.
    pub max_concurrency: u32,
    /// The daily budget of the bot of the first token.
    pub budget: BudgetLeft,
    /// The daily budget of each bot.
    pub budgets: Vec<BudgetLeft>,
    /// What `GET /gateway/bot` recommends.
    pub recommended_shards: u32,
    /// Guilds in the world.
    pub guilds: u64,
    /// IDENTIFYs with a known token.
    pub identifies: u64,
    /// Those that led to READY.
    pub identifies_accepted: u64,
    /// RESUMEs that led to RESUMED.
    pub resumes: u64,
    /// RESUMEs that did not.
    pub resumes_failed: u64,
    /// Rules broken.
    pub violations: u64,
    /// The last 1,000 of them.
    pub violation_details: Vec<Violation>,
    /// Tokens that Discord would have reset because the budget was passed. Never to be seen above 0.
    pub token_resets: u64,
    /// IDENTIFYs and RESUMEs with a token that is unknown or not good any more: 4004, and no other entry.
    pub bad_tokens: u64,
    /// Connections that ended from the client's side, by its close code, or `none` where there was none.
    pub closes: BTreeMap<String, u64>,
    /// Connections that the simulator closed, by its code, or `none` where it cut them.
    pub server_closes: BTreeMap<String, u64>,
    /// The last 1,000 ends of connections.
    pub close_log: Vec<Close>,
    /// Connections cut because the client did not read.
    pub cut_off: u64,
    /// REST calls by route and status.
    pub rest: Vec<RestCount>,
    /// REST calls that Discord counts as invalid: 401, 403 and 429, but those of shared scope.
    pub invalid_requests: u64,
    /// REST calls of routes that the simulator does not have.
    pub unknown_routes: u64,
    /// The last 100 of them.
    pub unknown_route_details: Vec<String>,
    /// Sessions that exist now, connected or still to be resumed.
    pub sessions: Vec<SessionState>,
    /// The last 10,000 IDENTIFYs.
    pub identify_log: Vec<Identify>,
    /// The last 1,000 RESUMEs.
    pub resume_log: Vec<Resume>,
    /// Time of the first IDENTIFY.
    pub first_identify_at_ms: Option<u64>,
    /// Time of the last READY.
    pub last_ready_at_ms: Option<u64>,
    /// Messages.
    pub messages: MessageCounts,
    /// Uses of commands.
    pub interactions: InteractionCounts,
    /// REST calls that a fault of control's hit, by its kind.
    pub faults: BTreeMap<String, u64>,
    /// Events that users made: sent, answered, lost, doubled, reordered.
    pub events: EventCounts,
    /// Details of events, newest first: those that `?events=` asked for, at most `?limit=`.
    #[serde(default)]
    pub event_details: Vec<EventRecord>,
    /// Pauses of every shard that was ever ready.
    pub shards: Vec<ShardCoverage>,
    /// Time to ready of every total that was ever begun.
    pub totals: Vec<TotalProgress>,
    /// The state of every shard in one letter, where `?grid=true` asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grids: Vec<Grid>,
}

/// A bot's daily budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLeft {
    /// The bot.
    pub application_id: Snowflake,
    /// IDENTIFYs in a day.
    pub total: u32,
    /// IDENTIFYs left.
    pub remaining: u32,
    /// Time until all are there again.
    pub resets_in_ms: u64,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// When.
    pub at_ms: u64,
    /// Which rule.
    pub kind: ViolationKind,
    /// What was done, in words.
    pub text: String,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ViolationKind {
    /// More than one IDENTIFY in a bucket's 5 s: op 9.
    IdentifyRate,
    /// More IDENTIFYs than the day has: the token is reset, 4004.
    Budget,
    /// More than 120 sends in 60 s: 4008.
    SendRate,
    /// An unknown opcode: 4001.
    Opcode,
    /// A payload that is too big or cannot be read: 4002.
    Payload,
    /// Something before IDENTIFY: 4003.
    NotAuthenticated,
    /// IDENTIFY or RESUME after IDENTIFY: 4005.
    AlreadyAuthenticated,
    /// All members of a guild asked for again within 30 s, or without GUILD_MEMBERS: `RATE_LIMITED`, or no answer.
    MemberRequest,
    /// A RESUME with a sequence that was never sent: 4007.
    Sequence,
    /// A shard that cannot be: 4010.
    Shard,
    /// More than 2,500 guilds on a shard: 4011.
    GuildsPerShard,
    /// A gateway version other than 10: 4012.
    Version,
    /// Intents that do not exist, or none: 4013.
    Intents,
    /// Intents that the application may not use: 4014.
    DisallowedIntents,
    /// More invalid requests of an address than 10 minutes have: it is banned.
    InvalidRequests,
}

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Close {
    /// When.
    pub at_ms: u64,
    /// Whose end it was.
    pub by: Side,
    /// The close code; none for a connection that just ended.
    pub code: Option<u16>,
    /// Why, where the simulator did it.
    pub reason: Option<String>,
    /// The session of the connection, if it had one.
    pub session_id: Option<SessionId>,
    /// Its shard.
    pub shard: Option<u32>,
    /// Its total.
    pub total: Option<u32>,
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// The bot.
    Client,
    /// The simulator.
    Server,
}

/// Calls of one route with one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestCount {
    /// Method and path with names for its variable parts, such as `POST /channels/{channel}/messages`.
    pub route: String,
    /// HTTP status.
    pub status: u16,
    /// How often.
    pub count: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionState {
    /// Its bot.
    pub application_id: Snowflake,
    /// Its shard ...
    pub shard: u32,
    /// ... of that many.
    pub total: u32,
    /// Its id.
    pub session_id: SessionId,
    /// Whether it has a connection.
    pub connected: bool,
    /// When READY was made.
    pub ready_at_ms: u64,
    /// Its shard's guilds.
    pub guilds: u32,
    /// Its intents.
    pub intents: u32,
    /// Number of its last event.
    pub sequence: u64,
    /// Events written to its connections, replays included.
    pub sent_events: u64,
}

/// An IDENTIFY.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identify {
    /// When.
    pub at_ms: u64,
    /// Its bot.
    pub application_id: Snowflake,
    /// Its shard ...
    pub shard: u32,
    /// ... of that many.
    pub total: u32,
    /// Its bucket.
    pub bucket: u32,
    /// Whether it led to READY.
    pub accepted: bool,
    /// `ready`, `invalidSession` or the close code.
    pub outcome: String,
}

/// A RESUME.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// When.
    pub at_ms: u64,
    /// The session that it named.
    pub session_id: String,
    /// Its shard, where the session exists.
    pub shard: Option<u32>,
    /// Its total, where the session exists.
    pub total: Option<u32>,
    /// The sequence that it named.
    pub sequence: u64,
    /// Events sent again; 0 where it failed.
    pub replayed: u64,
    /// Whether it led to RESUMED.
    pub accepted: bool,
    /// `resumed`, why it got an invalid session, or the close code.
    pub outcome: String,
}

/// Counts of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageCounts {
    /// Written by users.
    pub made: u64,
    /// Those of them that at least one session got.
    pub delivered: u64,
    /// The bots' messages that answer a user's.
    pub replies: u64,
    /// The bots' messages, answers included.
    pub by_bots: u64,
    /// Edits by the bots.
    pub edits: u64,
}

/// Counts of uses of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InteractionCounts {
    /// Made by users.
    pub made: u64,
    /// Those of them that at least one session got.
    pub delivered: u64,
    /// First answers that were taken.
    pub acknowledged: u64,
    /// First answers that came after one was taken: 40060.
    pub acknowledged_again: u64,
    /// First answers to what does not exist or after the 3 seconds: 10062.
    pub unknown_or_late: u64,
    /// Follow-ups.
    pub followups: u64,
}
