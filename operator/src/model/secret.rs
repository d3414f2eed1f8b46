//! What is seen of the Secrets with records: which there are, never the sessions.
//!
//! Whoever has a session's id and the token can take the session over, so neither it nor the Secret's data stands here.

use shard_contract::record::State;
use std::collections::BTreeMap;

/// A Secret that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSeen {
    /// Its name.
    pub name: String,
    /// What was found; none: there is no such Secret.
    pub found: Option<SecretFound>,
}

/// A Secret that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFound {
    /// Whose it is.
    pub belongs: Belongs,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Whether it has no data at all: there is no place then that a record could be added to.
    pub bare: bool,
    /// Its version; a change is made only to what was read.
    pub version: String,
    /// Its records by session group and shard; none where what stands there is no record.
    pub records: BTreeMap<(u32, u32), Option<RecordSeen>>,
}

/// Whose a Secret is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Belongs {
    /// This bot is its controller, by UID.
    ToThisBot,
    /// An earlier `ShardedBot` of this name, or another one, owns it.
    ToAnotherBot,
    /// No `ShardedBot` owns it.
    #[default]
    Elsewhere,
}

/// What is seen of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSeen {
    /// What is done with the shard.
    pub state: State,
    /// UID of the pod that owns it.
    pub owner: Option<String>,
    /// Whether it names a session: its owner has been online with it.
    pub has_session: bool,
}
