//! Control: what users and operators of Discord would do, asked for by tests and demos.
//!
//! From: typed requests, in-process or over HTTP (`control/http.rs`). For: the state. Every request is checked; what is wrong
//! is said as field, found, remedy. There is no authentication: it is meant for loopback or a test's own network.
//! Deliberately absent: faults on the wire between bot and simulator, which a proxy does better.

pub mod http;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::chat::Message;
use crate::discord::change::Drop;
use crate::discord::talk::UserMessage;
use crate::discord::{Delivery, Discord, ms};
use crate::settings::{Settings, SettingsChange};
use crate::snowflake::Snowflake;

/// Characters that a user may write (Discord: 2,000; 4,000 with Nitro).
const LONGEST_CONTENT: usize = 4000;
/// The longest wait for replies.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The most shards of a total that a request may name.
const MOST_SHARDS: u32 = 100_000;

/// Why a control request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// Field, found, remedy.
    #[error("{0}")]
    BadRequest(String),
    /// No such message, or not any more.
    #[error("{0}")]
    NotFound(String),
}

/// One shard of a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardOf {
    /// 0 to `total - 1`.
    pub id: u32,
    /// 1 to 100,000.
    pub total: u32,
}

/// A user types a message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewMessage {
    /// 1 to 4,000 characters.
    pub content: String,
    /// In this guild; it wins over `shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<Snowflake>,
    /// In a guild of this shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardOf>,
    /// The author; by default a member of the guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_id: Option<Snowflake>,
    /// Whether the ledger expects an answer; by default if the content begins with `!`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<bool>,
    /// Not in a guild but to the first bot directly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
}

/// A message that was typed, and who got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeMessage {
    /// The message.
    pub message_id: Snowflake,
    /// Its channel.
    pub channel_id: Snowflake,
    /// Its guild; none for a direct message.
    pub guild_id: Option<Snowflake>,
    /// The sessions into whose logs it went.
    pub delivered_to: Vec<Delivery>,
}

/// What to wait for before replies are given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReplyWait {
    /// At most so long, 0 to 60,000.
    pub wait_ms: u64,
    /// Until a reply's present content contains this; without it, until there is one at all.
    pub contains: Option<String>,
    /// Whether `history` is wanted; by default yes.
    pub edits: Option<bool>,
}

/// A bot's message that answers a user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The bot's message.
    pub message_id: Snowflake,
    /// What it says now.
    pub content: String,
    /// What it has said, the present content last.
    #[serde(default)]
    pub history: Vec<String>,
    /// The bot.
    pub author_id: Snowflake,
    /// When it was made, since the simulator's start.
    pub at_ms: u64,
    /// When it was edited last, since the simulator's start.
    pub edited_at_ms: Option<u64>,
}

/// Connections to be dropped.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropConnections {
    /// Of this shard; with `total`. Without both, all connections that have a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Of this total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// How.
    pub how: How,
}

/// How connections are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// TCP ends without a word; the session can be resumed.
    Tcp,
    /// Op 7 and close 4000; the session can be resumed.
    Reconnect,
    /// Op 9 with true and close 4000; the session can be resumed.
    InvalidResumable,
    /// Op 9 with false and close 4000; the session is gone.
    Invalid,
}

/// How many connections were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// So many.
    pub dropped: usize,
}

impl Discord {
    /// A user types a message.
    pub fn post_message(&self, request: NewMessage) -> Result<MadeMessage, ControlError> {
        let length = request.content.chars().count();
        if !(1..=LONGEST_CONTENT).contains(&length) {
            return Err(bad(format!("content: found {length} characters; use 1 to {LONGEST_CONTENT}")));
        }
        if request.author_id == Some(Snowflake(0)) {
            return Err(bad("authorId: found 0; use a snowflake, or leave it out"));
        }
        let guild = if request.direct { None } else { Some(self.guild_for(&request)?) };
        let NewMessage { content, author_id: author, asks, .. } = request;
        let message = UserMessage { content, guild, author, asks };
        let (message, delivered_to) = self.user_writes(message).map_err(ControlError::BadRequest)?;
        let (channel_id, guild_id) = (message.place.channel, message.place.guild);
        Ok(MadeMessage { message_id: message.id, channel_id, guild_id, delivered_to })
    }

    /// The bots' replies to a message, as soon as there is what is waited for, or the time is over.
    pub async fn replies(&self, message: Snowflake, wait: &ReplyWait) -> Result<Vec<Reply>, ControlError> {
        let time = Duration::from_millis(wait.wait_ms);
        if time > LONGEST_WAIT {
            return Err(bad(format!(
                "waitMs: found {}; use 0 to {}",
                wait.wait_ms,
                LONGEST_WAIT.as_millis()
            )));
        }
        let deadline = tokio::time::Instant::now() + time;
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let answers = self.answers_to(message).ok_or_else(|| {
                ControlError::NotFound(format!(
                    "message: {message} is not known; use an id of the last 20,000 messages"
                ))
            })?;
            let is_wanted =
                |message: &Message| wait.contains.as_ref().is_none_or(|text| message.content.contains(text));
            let is_over = tokio::time::Instant::now() >= deadline;
            if is_over || answers.iter().any(is_wanted) {
                return Ok(answers.into_iter().map(|message| reply(message, wait.edits)).collect());
            }
            // Whether something changed or the time is over, the answer is above.
            let _ = tokio::time::timeout_at(deadline, changes.changed()).await;
        }
    }

    /// Changes settings; those in force afterwards.
    pub fn settle(&self, change: &SettingsChange) -> Result<Settings, ControlError> {
        self.change_settings(change).map_err(ControlError::BadRequest)
    }

    /// Drops connections.
    pub fn drop_connection(&self, request: DropConnections) -> Result<Dropped, ControlError> {
        let shard = match (request.shard, request.total) {
            (None, None) => None,
            (Some(id), Some(total)) => {
                check(ShardOf { id, total })?;
                Some((id, total))
            }
            (Some(_), None) => return Err(bad("total: found none; give it with shard, or leave both out")),
            (None, Some(_)) => return Err(bad("shard: found none; give it with total, or leave both out")),
        };
        let how = match request.how {
            How::Tcp => Drop::Tcp,
            How::Reconnect => Drop::Reconnect,
            How::InvalidResumable => Drop::InvalidResumable,
            How::Invalid => Drop::Invalid,
        };
        Ok(Dropped { dropped: self.drop_connections(shard, how) })
    }

    fn guild_for(&self, request: &NewMessage) -> Result<Snowflake, ControlError> {
        if let Some(guild) = request.guild_id {
            let known = self.world.has_guild(guild);
            return known
                .then_some(guild)
                .ok_or_else(|| bad(format!("guildId: {guild} does not exist; see GET /control/guilds")));
        }
        let ShardOf { id, total } = request.shard.unwrap_or(ShardOf { id: 0, total: 1 });
        check(ShardOf { id, total })?;
        let guilds = self.world.guilds_of(id, total);
        if guilds.is_empty() {
            return Err(bad(format!(
                "shard: {id} of {total} has no guild; use a smaller total or start with more --guilds"
            )));
        }
        Ok(guilds[rand::random_range(0..guilds.len())])
    }
}

fn check(shard: ShardOf) -> Result<(), ControlError> {
    if !(1..=MOST_SHARDS).contains(&shard.total) {
        return Err(bad(format!("shard.total: found {}; use 1 to {MOST_SHARDS}", shard.total)));
    }
    if shard.id >= shard.total {
        return Err(bad(format!("shard.id: found {}; use 0 to {}", shard.id, shard.total - 1)));
    }
    Ok(())
}

fn reply(message: Message, history: Option<bool>) -> Reply {
    Reply {
        message_id: message.id,
        content: message.content,
        history: if history.unwrap_or(true) { message.history } else { Vec::new() },
        author_id: message.author.id,
        at_ms: ms(message.at),
        edited_at_ms: message.edited.map(|(at, _)| ms(at)),
    }
}

fn bad(text: impl Into<String>) -> ControlError {
    ControlError::BadRequest(text.into())
}
