//! The ledger's shapes of shards and totals: pauses and time to ready.
//!
//! From: `record/coverage.rs`. For: `GET /ledger`. A total is one way of splitting the guilds, as IDENTIFY's `[id, total]`
//! says it; several may be there at once. Deliberately absent: sessions (`ledger.rs`), which come and go beneath a shard.

use serde::{Deserialize, Serialize};

use crate::snowflake::Snowflake;

/// How well a shard was covered by connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardCoverage {
    /// Its bot.
    pub application_id: Snowflake,
    /// Its number ...
    pub shard: u32,
    /// ... of that many.
    pub total: u32,
    /// Sessions with a connection now.
    pub connections: u32,
    /// When it was ready first.
    pub first_ready_at_ms: u64,
    /// Times that it was without any connection and got one again.
    pub pauses: u64,
    /// The last of them.
    pub last_pause_ms: u64,
    /// The longest of them.
    pub longest_pause_ms: u64,
    /// All of them.
    pub paused_ms: u64,
    /// Since when it has no connection; none while it has one.
    pub without_connection_since_ms: Option<u64>,
}

/// How far a total has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalProgress {
    /// Its bot.
    pub application_id: Snowflake,
    /// How many shards.
    pub total: u32,
    /// Its first IDENTIFY.
    pub first_identify_at_ms: u64,
    /// Shards that were ready at least once.
    pub shards_ready_once: u32,
    /// When the last of them was ready first.
    pub last_first_ready_at_ms: Option<u64>,
    /// From the first IDENTIFY until every shard had been ready; none before that.
    pub time_to_ready_ms: Option<u64>,
}
