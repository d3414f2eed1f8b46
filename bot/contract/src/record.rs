//! Records of sessions: who owns a shard, and where its session can be resumed.
//!
//! One record per shard and session group, in the Secrets `<bot>-sessions-<k>`, [`PER_SECRET`] shards each, under the key
//! `<session group>.<shard>` as JSON. The operator makes a record as [`State::Free`], once; after that only pods write it, by JSON
//! Patch with a `test` on the value they read, so that a write on an old value fails instead of winning. `rev` rises with
//! each write. Deliberately absent: how it is read and written, and any value that changes with each event.

use serde::{Deserialize, Serialize};

/// Shards in one Secret.
pub const PER_SECRET: u32 = 64;
/// The most sequences above `after` that a parked record may name.
pub const MOST_SKIPPED: usize = 2_048;

/// What is known of one shard's session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Rises by one with each write; 0 as the operator made it.
    pub rev: u64,
    /// Number of the move under which it was written; 0 outside of moves.
    #[serde(rename = "move", skip_serializing_if = "is_zero")]
    pub move_number: u64,
    /// Who owns the shard; none while it is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// What the owner does with it.
    pub state: State,
    /// The session; none when there is none that could be resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// While parked: the sequence to RESUME at. Everything up to it was begun by the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// While parked: sequences above `after` that were begun by the owner as well, rising; at most [`MOST_SKIPPED`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<u64>,
    /// While parked: sequences above `after` that the owner did not begin, though processes that crashed had, each as often as
    /// they had; rising, at most [`MOST_SKIPPED`]. They are handled and marked so, unless that was too often.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redelivered: Vec<u64>,
}

/// What is done with a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Nobody has had it yet.
    #[default]
    Free,
    /// Its owner is connected, or about to be.
    Held,
    /// Its owner has closed the connection; whoever should own the shard may claim it and RESUME.
    Parked,
}

/// A pod that owns a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Number of its layout.
    pub layout: u32,
    /// Its UID.
    pub pod_uid: String,
}

/// What RESUME needs, and what must be the same on both sides of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Discord's id of it. Whoever has it and the token can take the session over.
    pub id: String,
    /// Where to RESUME; none: at the gateway's own address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resume_url: Option<String>,
    /// The intents it was made with; a RESUME keeps them, so a pod that wants others must IDENTIFY.
    pub intents: u64,
    /// How many guilds it has; of a record that is held: had, when it was written.
    pub guilds: u32,
    /// The sequence up to which they were counted: what comes again up to it joins and leaves nothing.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub guilds_at: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id: _, resume_url, intents, guilds, guilds_at } = self;
        f.debug_struct("Session")
            .field("id", &"(redacted)")
            .field("resume_url", resume_url)
            .field("intents", intents)
            .field("guilds", guilds)
            .field("guilds_at", guilds_at)
            .finish()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_documented() {
        assert_eq!(serde_json::to_string(&Record::default()).unwrap(), r#"{"rev":0,"state":"free"}"#);
        let parked = Record {
            rev: 7,
            move_number: 0,
            owner: Some(Owner { layout: 2, pod_uid: "u".into() }),
            state: State::Parked,
            session: Some(Session {
                id: "abc".into(),
                resume_url: Some("wss://x".into()),
                intents: 513,
                guilds: 40,
                guilds_at: 98,
            }),
            after: Some(99),
            skip: vec![101, 103],
            redelivered: vec![102],
        };
        let json = r#"{"rev":7,"owner":{"layout":2,"podUid":"u"},"state":"parked","session":{"id":"abc","resumeUrl":"wss://x","intents":513,"guilds":40,"guildsAt":98},"after":99,"skip":[101,103],"redelivered":[102]}"#;
        assert_eq!(serde_json::to_string(&parked).unwrap(), json);
        assert_eq!(serde_json::from_str::<Record>(json).unwrap(), parked);
        assert!(!format!("{parked:?}").contains("abc"));
    }

    #[test]
    fn fields_of_a_later_version_are_tolerated() {
        let read: Record = serde_json::from_str(r#"{"rev":1,"state":"held","later":true}"#).unwrap();
        assert_eq!((read.rev, read.state), (1, State::Held));
    }
}
