//! What is said to machines and to people at once.
//!
//! Deliberately absent: the reasons, and the words, which are made where something was found.

use super::reason::Reason;

/// A reason for machines and a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// For machines.
    pub reason: Reason,
    /// What was found, in which field, and the remedy.
    pub message: String,
}

impl Note {
    /// A note.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
