//! What a plan has to know of the API server first, and what it answered.
//!
//! Both are dry runs: nothing is made. A plan names what it has to know, and is made again with the answer. Deliberately absent: how it
//! is asked, which is a read like any other.

use super::note::Note;
use super::object::Object;
use serde_json::Value;

/// One thing that a plan has to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Whether the API server makes of this set what stands, though it is written otherwise.
    Alike {
        /// Number of the layout whose set stands.
        layout: u32,
        /// Name of the set that stands.
        stands: String,
        /// UID of the set that stands.
        uid: String,
        /// The set as it is written now, under a name that is free.
        written: Object,
        /// The identity that goes with what is written now.
        identity: String,
    },
    /// Whether it would admit this pod, the first of the next layout.
    Admission {
        /// All of it.
        pod: Value,
    },
}

/// What is known of the API server's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Of a layout's set: the identity that was asked about, and whether it stands for the same pods.
    pub alike: Option<Alike>,
    /// Whether the first pod of the next layout would be admitted.
    pub admission: Option<Admission>,
}

/// Whether a set stands for the same pods as a template that is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    /// Number of the set's layout.
    pub layout: u32,
    /// The identity that goes with what is written now.
    pub identity: String,
    /// Whether its pods would be the same.
    pub same: Same,
}

/// Whether pods would be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Same {
    /// They would.
    Yes,
    /// They would not, or there would be none.
    No,
    /// It could not be asked; why.
    Unknown(String),
}

/// Whether a pod would be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It would be, or would be once the old layout has made room.
    Admitted,
    /// It would not be: the change waits, and the old layout runs on.
    Refused {
        /// Why, and the remedy.
        note: Note,
        /// Whether only a person can mend it.
        stalled: bool,
    },
    /// It cannot be asked; why.
    Unknown(String),
}
