//! Where a test takes part: before a write, after it, before a read, and before an event of a watch.
//!
//! From a call to what is to become of it: it goes on, is refused, its connection breaks, or its answer never comes; a read may be
//! answered as of an older version, an event may be lost. Guarantees: `before` is told only of writes that would be done, `after` only of
//! those that were, each once and in order. Deliberately absent: delays; the network has them.

use serde_json::Value;

/// A call as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `create`, `update`, `patch`, `apply`, `delete`, `get`, `list` or `watch`; `collect` is the garbage collector's.
    pub verb: &'static str,
    /// The path, without its query.
    pub path: String,
    /// Who asks.
    pub user: String,
    /// From which host, where that was said.
    pub from: String,
}

/// A write that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The call.
    pub call: Call,
    /// The object's version since.
    pub version: u64,
}

/// What becomes of a call that is not done yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Before {
    /// It is done.
    #[default]
    GoOn,
    /// It is answered with this status and changes nothing.
    Refuse(Value),
    /// Its connection breaks before anything is done.
    Break,
    /// Nothing is done, and no answer comes.
    Hang,
}

/// What becomes of the answer to a write that was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// It is sent.
    #[default]
    Answer,
    /// The connection breaks before it.
    Break,
    /// It never comes.
    Hang,
}

/// Takes part.
pub trait Hook: Send {
    /// Before a write.
    fn before(&mut self, _call: &Call) -> Before {
        Before::GoOn
    }

    /// After a write.
    fn after(&mut self, _written: &Written) -> After {
        After::Answer
    }

    /// Before a read or a watch.
    fn read(&mut self, _call: &Call) -> Before {
        Before::GoOn
    }

    /// As of which version a read is answered that asks for the newest; none: as of now. Versions that are no longer kept are no choice.
    fn as_of(&mut self, _call: &Call) -> Option<u64> {
        None
    }

    /// Whether the caller of a watch is told of a change at this version.
    fn tells(&mut self, _call: &Call, _version: u64) -> bool {
        true
    }
}

/// One that lets everything pass.
pub(crate) struct Nobody;

impl Hook for Nobody {}
