//! Who calls the gate, and why a call is not taken.
//!
//! Plain data. Deliberately absent: how a caller proved who it is (`callers.rs`).

/// A pod that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// Its bot.
    pub bot: String,
    /// Number of its layout.
    pub layout: u32,
    /// Its ordinal.
    pub ordinal: u32,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

/// Why the gate does not take a call.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// The request asks for what is not the caller's.
    #[error("{0}")]
    NotYours(String),
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// Too many calls of this pod, or of all, wait already.
    #[error("{0}")]
    TooMany(String),
    /// The gate is closed for this bot.
    #[error("the gate is closed: {0}")]
    Closed(String),
    /// The gate cannot know what it may grant to this bot; its pods may go on without it.
    #[error("the gate cannot grant: {0}")]
    Blind(String),
}
