//! Messages of users: typed by control, and what bots answered.
//!
//! From: `POST /control/messages`, `GET /control/messages/{id}/replies`. For: tests, demos, people with `curl`.
//! Deliberately absent: how a message reaches sessions (`discord/talk.rs`).

use serde::{Deserialize, Serialize};

use super::{ControlError, bad, span};
use crate::chat::Message;
use crate::discord::talk::UserMessage;
use crate::discord::{Delivery, Discord, ms};
use crate::snowflake::{ShardOf, Snowflake};

/// Characters that a user may write (Discord: 2,000; 4,000 with Nitro).
const LONGEST_CONTENT: usize = 4000;
/// The longest wait for replies, in milliseconds.
const LONGEST_WAIT: u64 = 60_000;

/// A user types a message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewMessage {
    /// 1 to 4,000 characters.
    pub content: String,
    /// In this channel of a guild, also one that the bots may not view; it wins over `guildId` and `shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<Snowflake>,
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
        let channel = request.channel_id;
        let named = channel.map(|channel| self.talk_channel_for(channel)).transpose()?.or(request.guild_id);
        let guild = if request.direct { None } else { Some(self.guild_for(named, request.shard)?) };
        let NewMessage { content, author_id: author, asks, .. } = request;
        let message = UserMessage { content, guild, channel, author, asks };
        let (message, delivered_to) = self.user_writes(message).map_err(ControlError::BadRequest)?;
        let (channel_id, guild_id) = (message.place.channel, message.place.guild);
        Ok(MadeMessage { message_id: message.id, channel_id, guild_id, delivered_to })
    }

    /// The bots' replies to a message, as soon as there is what is waited for, or the time is over.
    pub async fn replies(&self, message: Snowflake, wait: &ReplyWait) -> Result<Vec<Reply>, ControlError> {
        let unknown = || format!("message: {message} is not known; use an id of the last 20,000 messages");
        self.replies_to(wait, || self.answers_to(message).ok_or_else(unknown)).await
    }

    /// What `look` finds, as soon as there is what is waited for, or the time is over.
    pub(crate) async fn replies_to(
        &self,
        wait: &ReplyWait,
        look: impl Fn() -> Result<Vec<Message>, String>,
    ) -> Result<Vec<Reply>, ControlError> {
        let time = span("waitMs", wait.wait_ms, 0..=LONGEST_WAIT)?;
        let deadline = tokio::time::Instant::now() + time;
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let answers = look().map_err(ControlError::NotFound)?;
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

    /// The guild that is named, or any one of the shard that is named, or any one.
    pub(crate) fn guild_for(
        &self,
        guild: Option<Snowflake>,
        shard: Option<ShardOf>,
    ) -> Result<Snowflake, ControlError> {
        if let Some(guild) = guild {
            if !self.world.has_guild(guild) {
                return Err(bad(format!("guildId: {guild} does not exist; see GET /control/guilds")));
            }
            let is_up = self.world.is_up(guild);
            return is_up
                .then_some(guild)
                .ok_or_else(|| bad(format!("guildId: {guild} is unavailable; end its outage first")));
        }
        let ShardOf { id, total } = shard.unwrap_or(ShardOf { id: 0, total: 1 }).checked().map_err(bad)?;
        let guild = self.world.one_up(&self.world.guilds_of(id, total), self.chance());
        guild.ok_or_else(|| {
            bad(format!(
                "shard: {id} of {total} has no guild that is up; use a smaller total or start with more --guilds"
            ))
        })
    }
}

fn reply(message: Message, history: Option<bool>) -> Reply {
    let history = history.unwrap_or(true).then(|| [message.history, vec![message.content.clone()]].concat());
    Reply {
        message_id: message.id,
        content: message.content,
        history: history.unwrap_or_default(),
        author_id: message.author.id,
        at_ms: ms(message.at),
        edited_at_ms: message.edited.map(|(at, _)| ms(at)),
    }
}
