//! Frames: what a client sends, read and checked, and the server's fixed answers.
//!
//! From: a text message. For: the reader, which only has to act. What cannot be read is a close code right here.
//! Source: Discord, `developers/topics/opcodes-and-status-codes.mdx` and `developers/events/gateway-events.mdx`.
//! Deliberately absent: dispatches (`discord/snapshot.rs` writes those out).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::discord::entry::IdentifyRequest;
use crate::discord::resume::ResumeRequest;
use crate::options::Token;
use crate::snowflake::Snowflake;

/// The longest payload that a client may send, in bytes.
const LONGEST_PAYLOAD: usize = 4096;

/// Op 11.
pub const HEARTBEAT_ACK: &str = r#"{"t":null,"s":null,"op":11,"d":null}"#;
/// Op 9, not to be resumed.
pub const INVALID_SESSION: &str = r#"{"t":null,"s":null,"op":9,"d":false}"#;

/// A client's frame.
#[derive(Debug)]
pub enum Incoming {
    /// Op 1.
    Heartbeat,
    /// Op 2.
    Identify(IdentifyRequest),
    /// Op 6.
    Resume(ResumeRequest),
    /// Op 8.
    RequestMembers(MembersRequest),
    /// Ops 3, 4, 31: taken and without effect, since presences, voice and sounds are not simulated.
    Other,
}

/// Op 8: some of a guild's members.
#[derive(Debug, Deserialize)]
pub struct MembersRequest {
    /// The guild.
    pub guild_id: Snowflake,
    /// Beginning of the names wanted; empty for all.
    pub query: Option<String>,
    /// At most so many; 0 for all.
    #[serde(default)]
    pub limit: usize,
    /// The users wanted, one or several.
    #[serde(default)]
    user_ids: Value,
    /// Given back as it came.
    pub nonce: Option<String>,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// 4001.
    UnknownOpcode,
    /// 4002.
    Payload(&'static str),
    /// 4010, as it stands in the IDENTIFY.
    Shard,
}

#[derive(Deserialize)]
struct Frame {
    op: u64,
    #[serde(default)]
    d: Value,
}

#[derive(Deserialize)]
struct IdentifyData {
    token: String,
    #[serde(default)]
    shard: Option<Value>,
    #[serde(default)]
    intents: Option<u64>,
}

#[derive(Deserialize)]
struct ResumeData {
    token: String,
    session_id: String,
    seq: u64,
}

/// Op 10.
pub fn hello(interval_ms: u64) -> String {
    json!({ "t": null, "s": null, "op": 10, "d": { "heartbeat_interval": interval_ms, "_trace": ["[\"discord-sim\"]"] } })
        .to_string()
}

/// Reads a frame; `again` is whether the connection has a session.
pub fn read(text: &str, again: bool) -> Result<Incoming, Unreadable> {
    if text.len() > LONGEST_PAYLOAD {
        return Err(Unreadable::Payload("longer than 4096 bytes"));
    }
    let frame: Option<Frame> = serde_json::from_str(text).ok().and_then(object);
    let frame = frame.ok_or(Unreadable::Payload("not a JSON object with op"))?;
    match frame.op {
        1 if frame.d.is_null() || frame.d.is_u64() => Ok(Incoming::Heartbeat),
        1 => Err(Unreadable::Payload("a heartbeat's d is a sequence or null")),
        2 => identify(frame.d, again).map(Incoming::Identify),
        3 | 4 | 31 if frame.d.is_object() => Ok(Incoming::Other),
        3 | 4 | 31 => Err(Unreadable::Payload("d is not an object")),
        6 => {
            let data: ResumeData =
                object(frame.d).ok_or(Unreadable::Payload("RESUME needs token, session_id, seq"))?;
            let token = Token::new(&data.token);
            Ok(Incoming::Resume(ResumeRequest { token, session_id: data.session_id, sequence: data.seq }))
        }
        8 => object(frame.d)
            .map(Incoming::RequestMembers)
            .ok_or(Unreadable::Payload("a request of members needs guild_id")),
        _ => Err(Unreadable::UnknownOpcode),
    }
}

fn identify(data: Value, again: bool) -> Result<IdentifyRequest, Unreadable> {
    let data: IdentifyData = object(data).ok_or(Unreadable::Payload("IDENTIFY needs token and intents"))?;
    let shard = match data.shard {
        None | Some(Value::Null) => (0, 1),
        Some(shard) => serde_json::from_value(shard).map_err(|_| Unreadable::Shard)?,
    };
    Ok(IdentifyRequest { token: Token::new(&data.token), shard, intents: data.intents, again })
}

/// Reads an object as such: serde would take an array's elements for the fields, too.
fn object<T: DeserializeOwned>(value: Value) -> Option<T> {
    value.is_object().then(|| serde_json::from_value(value).ok()).flatten()
}

impl MembersRequest {
    /// The users wanted by id; empty where the request goes by name.
    pub fn users(&self) -> Vec<Snowflake> {
        let one = serde_json::from_value(self.user_ids.clone()).map(|id| vec![id]);
        one.or_else(|_| serde_json::from_value(self.user_ids.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_bad_frame_gets_its_code() {
        let long = format!(r#"{{"op":1,"d":null,"x":"{}"}}"#, "x".repeat(4096));
        let table = [
            ("{", "Payload"),
            ("[]", "Payload"),
            ("[1,null]", "Payload"),
            (r#"{"op":2,"d":["x",[0,1],1]}"#, "Payload"),
            (r#"{"d":1}"#, "Payload"),
            (r#"{"op":1,"d":"x"}"#, "Payload"),
            (&long, "Payload"),
            (r#"{"op":2,"d":{}}"#, "Payload"),
            (r#"{"op":2,"d":{"token":"x","shard":[0]}}"#, "Shard"),
            (r#"{"op":2,"d":{"token":"x","shard":[-1,2]}}"#, "Shard"),
            (r#"{"op":6,"d":{"token":"x"}}"#, "Payload"),
            (r#"{"op":0,"d":null}"#, "UnknownOpcode"),
            (r#"{"op":99,"d":null}"#, "UnknownOpcode"),
        ];
        for (text, expected) in table {
            let error = read(text, false).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{text}: {error:?}");
        }
    }

    #[test]
    fn an_identify_without_a_shard_is_the_only_shard() {
        let incoming = read(r#"{"op":2,"d":{"token":"Bot x","intents":1}}"#, false).unwrap();
        let Incoming::Identify(identify) = incoming else { panic!("{incoming:?}") };
        assert_eq!((identify.shard, identify.intents), ((0, 1), Some(1)));
        assert_eq!(identify.token, Token::new("x"));
    }
}
