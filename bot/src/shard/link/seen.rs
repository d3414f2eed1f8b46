//! What a connection brings: frames, the word that its IDENTIFY went out, and how it ended.
//!
//! Made by [`super`] for the shard's task; [`crate::shard::reconnect`] decides by the end. Deliberately absent: what frames say.

use std::time::Duration;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Ended {
    /// We closed it, because the pod stops.
    Stopped,
    /// We closed it, because the shard is not ours for now.
    TakenAway,
    /// There is another token; nothing was sent with the old one.
    OtherToken,
    /// The grant ended before the IDENTIFY went out; it did not go out.
    TooLate,
    /// It was not even tried.
    NotOpened,
    /// Discord could not be reached.
    NotConnected,
    /// Discord was reached and said nothing.
    NoHello,
    /// With a close code that decides what follows.
    Closed(u16),
    /// It was online for so long.
    WasOnline(Duration),
    /// Discord closed it right after RESUMED, with a code that says nothing of the session.
    ClosedOnResume,
    /// It tried to RESUME and Discord said that the session is gone.
    SessionGone,
    /// It tried to RESUME and did not come online.
    ResumeFailed,
    /// It waited for its IDENTIFY, or sent it, and did not come online.
    NotOnline,
    /// READY came and could not be read, so that its session is of no use.
    Unreadable,
}

/// What a connection brings.
#[derive(Debug)]
pub(in crate::shard) enum Seen {
    /// A text frame.
    Text(String),
    /// Our IDENTIFY went out.
    Identified,
    /// The end; nothing follows.
    Ended(Ended),
}

/// twilight panics on an address that is none.
pub(in crate::shard) fn is_url(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host())
}
