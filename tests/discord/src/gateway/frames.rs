//! Frames: what a client sends, read and checked to the last field, and the server's fixed answers.
//!
//! From: a text message. For: the reader, which only has to act. What cannot be read is a close code right here.
//! Source: Discord, `developers/topics/opcodes-and-status-codes.mdx` and `developers/events/gateway-events.mdx`; where
//! those say less than clients need, what discord.py, hikari, discord.js and twilight send is taken. Fields that are not
//! known are not looked at. Deliberately absent: dispatches (`discord/snapshot.rs` writes those out).

use serde_json::{Value, json};

use super::fields::{Fields, integer, optional, payload, required, snowflake, snowflakes};
use crate::discord::chunks::{MembersRequest, Wanted};
use crate::discord::entry::IdentifyRequest;
use crate::discord::resume::ResumeRequest;
use crate::ledger::ViolationKind;
use crate::options::Token;
use crate::snowflake::Snowflake;

/// The longest payload that a client may send, in bytes.
const LONGEST_PAYLOAD: usize = 4096;
/// The longest nonce that is given back, in bytes.
const LONGEST_NONCE: usize = 32;
/// What a presence may be.
const STATUSES: [&str; 5] = ["online", "dnd", "idle", "invisible", "offline"];

/// Op 11.
pub const HEARTBEAT_ACK: &str = r#"{"t":null,"s":null,"op":11,"d":null}"#;

/// A message that is not text.
pub const BINARY: Unreadable = Unreadable::Payload(payload!("neither text nor UTF-8"));
/// A message that cannot be text.
pub const NOT_UTF8: Unreadable = Unreadable::Payload(payload!("not UTF-8"));
/// A message that is not even read to its end.
pub const TOO_LONG: Unreadable = Unreadable::Payload(payload!("longer than 4096 bytes, by far"));

/// A client's frame.
#[derive(Debug)]
pub enum Incoming {
    /// Op 1, with the last sequence that the client has had.
    Heartbeat(Option<u64>),
    /// Op 2.
    Identify(IdentifyRequest),
    /// Op 6.
    Resume(ResumeRequest),
    /// Op 8.
    RequestMembers(MembersRequest),
    /// Op 31, with the guilds.
    RequestSounds(Vec<Snowflake>),
    /// Op 43, with the guild.
    RequestChannelInfo(Snowflake),
    /// Ops 3 and 4: taken and without effect, since presences and voice are not simulated.
    Other,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// 1002: not WebSocket (RFC 6455), so no frame at all.
    Protocol,
    /// 4001.
    UnknownOpcode,
    /// 4002, with the reason.
    Payload(&'static str),
    /// 4007, as it stands in the RESUME.
    Sequence,
    /// 4010, as it stands in the IDENTIFY.
    Shard,
}

impl Unreadable {
    /// The code and reason that the client hears, and the rule that it broke.
    pub fn close(self) -> (u16, &'static str, ViolationKind) {
        match self {
            Self::Protocol => (1002, "Not WebSocket as in RFC 6455.", ViolationKind::Payload),
            Self::UnknownOpcode => (4001, "Unknown opcode.", ViolationKind::Opcode),
            Self::Payload(reason) => (4002, reason, ViolationKind::Payload),
            Self::Sequence => (4007, "Invalid seq.", ViolationKind::Sequence),
            Self::Shard => (4010, "Invalid shard.", ViolationKind::Shard),
        }
    }
}

impl From<&'static str> for Unreadable {
    fn from(reason: &'static str) -> Self {
        Self::Payload(reason)
    }
}

/// Op 10.
pub fn hello(interval_ms: u64) -> String {
    json!({ "t": null, "s": null, "op": 10, "d": { "heartbeat_interval": interval_ms, "_trace": ["[\"discord-sim\"]"] } })
        .to_string()
}

/// Reads a frame; `again` is whether the connection has a session.
pub fn read(text: &str, again: bool) -> Result<Incoming, Unreadable> {
    if text.len() > LONGEST_PAYLOAD {
        return Err(Unreadable::Payload(payload!("longer than 4096 bytes")));
    }
    let frame: Option<Value> = serde_json::from_str(text).ok();
    let frame = frame.as_ref().and_then(Value::as_object).ok_or(payload!("not a JSON object"))?;
    let op = required(frame, "op", integer, payload!("op is not an integer"))?;
    let data = || required(frame, "d", Value::as_object, payload!("d is not an object"));
    match op {
        1 => {
            let sequence = optional(frame, "d", integer, payload!("d is neither a sequence nor null"))?;
            // Below 0: Javacord counts from -1, so this is its way to say null.
            Ok(Incoming::Heartbeat(sequence.and_then(|sequence| u64::try_from(sequence).ok())))
        }
        2 => identify(data()?, again).map(Incoming::Identify),
        3 => Ok(presence(data()?).map(|()| Incoming::Other)?),
        4 => Ok(voice_state(data()?).map(|()| Incoming::Other)?),
        6 => resume(data()?).map(Incoming::Resume),
        8 => Ok(members(data()?).map(Incoming::RequestMembers)?),
        31 => {
            let problem = payload!("guild_ids is not an array of snowflakes");
            Ok(Incoming::RequestSounds(required(data()?, "guild_ids", snowflakes, problem)?))
        }
        43 => Ok(channel_info(data()?).map(Incoming::RequestChannelInfo)?),
        _ => Err(Unreadable::UnknownOpcode),
    }
}

fn identify(data: &Fields, again: bool) -> Result<IdentifyRequest, Unreadable> {
    let token = required(data, "token", Value::as_str, payload!("token is not a string"))?;
    required(data, "properties", Value::as_object, payload!("properties is not an object"))?;
    // A boolean, and from oceanic.js "zlib-stream".
    let compress = |value: &Value| (value.is_boolean() || value.is_string()).then_some(());
    optional(data, "compress", compress, payload!("compress is neither a boolean nor a string"))?;
    let threshold = |value: &Value| value.as_u64().filter(|members| (50..=250).contains(members));
    let problem = payload!("large_threshold is not an integer from 50 to 250");
    optional(data, "large_threshold", threshold, problem)?;
    if let Some(of) = optional(data, "presence", Value::as_object, payload!("presence is not an object"))? {
        presence(of)?;
    }
    // The one capability that is documented, obfuscated channels (1 << 15), is every bot's since it is mandatory.
    optional(data, "capabilities", integer, payload!("capabilities is not an integer"))?;
    let intents = optional(data, "intents", integer, payload!("intents is not an integer"))?;
    let shard = optional(data, "shard", two_integers, payload!("shard is not [id, total], two integers"))?;
    let (id, total) = shard.unwrap_or((0, 1));
    let (Ok(id), Ok(total)) = (u32::try_from(id), u32::try_from(total)) else {
        return Err(Unreadable::Shard);
    };
    Ok(IdentifyRequest {
        token: Token::new(token),
        shard: (id, total),
        // What is below zero or beyond 64 bits has bits that do not exist.
        intents: intents.map(|bits| u64::try_from(bits).unwrap_or(u64::MAX)),
        again,
    })
}

fn two_integers(value: &Value) -> Option<(i128, i128)> {
    match value.as_array()?.as_slice() {
        [id, total] => Some((integer(id)?, integer(total)?)),
        _ => None,
    }
}

/// Fields may be missing: discord.py leaves `activities` out. `since`, which nothing depends on, may be anything: discord.py
/// writes a fraction, serenity an object. discordgo says "" where it has no status.
fn presence(data: &Fields) -> Result<(), &'static str> {
    let status = |value: &Value| {
        let status = value.as_str()?;
        (status.is_empty() || STATUSES.contains(&status)).then_some(())
    };
    let activity = |value: &Value| Some(value.get("name")?.is_string() && value.get("type")?.is_u64());
    let activities =
        |value: &Value| value.as_array()?.iter().all(|one| activity(one) == Some(true)).then_some(());
    optional(data, "status", status, payload!("status is not online, dnd, idle, invisible or offline"))?;
    let problem = payload!("activities is not an array of objects with name and type");
    optional(data, "activities", activities, problem)?;
    optional(data, "afk", Value::as_bool, payload!("afk is not a boolean"))?;
    Ok(())
}

fn voice_state(data: &Fields) -> Result<(), &'static str> {
    required(data, "guild_id", snowflake, payload!("guild_id is not a snowflake"))?;
    optional(data, "channel_id", snowflake, payload!("channel_id is neither a snowflake nor null"))?;
    optional(data, "self_mute", Value::as_bool, payload!("self_mute is not a boolean"))?;
    optional(data, "self_deaf", Value::as_bool, payload!("self_deaf is not a boolean"))?;
    Ok(())
}

/// The guild; the fields are checked, but nothing here has them.
fn channel_info(data: &Fields) -> Result<Snowflake, &'static str> {
    let guild = required(data, "guild_id", snowflake, payload!("guild_id is not a snowflake"))?;
    let names = |value: &Value| value.as_array()?.iter().all(Value::is_string).then_some(());
    required(data, "fields", names, payload!("fields is not an array of strings"))?;
    Ok(guild)
}

fn resume(data: &Fields) -> Result<ResumeRequest, Unreadable> {
    let token = required(data, "token", Value::as_str, payload!("token is not a string"))?;
    let session = required(data, "session_id", Value::as_str, payload!("session_id is not a string"))?;
    let sequence = required(data, "seq", integer, payload!("seq is not an integer"))?;
    let sequence = u64::try_from(sequence).map_err(|_| Unreadable::Sequence)?;
    Ok(ResumeRequest { token: Token::new(token), session_id: session.to_owned(), sequence })
}

/// `user_ids` wins over `query`: hikari always sends an empty `query` along.
fn members(data: &Fields) -> Result<MembersRequest, &'static str> {
    let guild = required(data, "guild_id", snowflake, payload!("guild_id is not a snowflake"))?;
    let query = optional(data, "query", Value::as_str, payload!("query is not a string"))?;
    let limit = optional(data, "limit", Value::as_u64, payload!("limit is not an integer from 0 on"))?;
    let presences = optional(data, "presences", Value::as_bool, payload!("presences is not a boolean"))?;
    let one_or_more = |value: &_| snowflakes(value).or_else(|| Some(vec![snowflake(value)?]));
    let users =
        optional(data, "user_ids", one_or_more, payload!("user_ids is neither a snowflake nor an array"))?;
    let wanted = match (users, query, limit) {
        (Some(users), ..) => Wanted::Users(users),
        (None, Some(beginning), Some(limit)) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Wanted::Named { beginning: beginning.to_owned(), limit }
        }
        (None, Some(_), None) => return Err(payload!("query needs a limit")),
        (None, None, _) => return Err(payload!("one of query and user_ids is needed")),
    };
    // "If you send an invalid nonce it will be ignored".
    let nonce = data.get("nonce").and_then(Value::as_str).filter(|nonce| nonce.len() <= LONGEST_NONCE);
    Ok(MembersRequest {
        guild,
        wanted,
        presences: presences.unwrap_or_default(),
        nonce: nonce.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests;
