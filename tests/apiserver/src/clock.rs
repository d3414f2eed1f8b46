//! The server's time.
//!
//! From a function that the owner gives, or else from tokio's clock, which a test pauses, counted from a fixed day. Deliberately
//! absent: the wall clock.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z, where time begins unless somebody says otherwise.
const BEGINNING: i64 = 1_767_225_600;

/// Tells the time.
pub struct Clock(Box<dyn Fn() -> Timestamp + Send>);

impl Clock {
    /// Another clock.
    pub fn new(now: impl Fn() -> Timestamp + Send + 'static) -> Self {
        Self(Box::new(now))
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Now, as objects carry it: whole seconds.
    pub(crate) fn stamp(&self) -> String {
        stamp(self.now())
    }
}

/// A time as objects carry it.
pub(crate) fn stamp(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

impl Default for Clock {
    /// Tokio's clock from its first call on; outside a runtime it stands still.
    fn default() -> Self {
        let beginning = Timestamp::from_second(BEGINNING).unwrap_or(Timestamp::UNIX_EPOCH);
        let since = Instant::now();
        Self::new(move || {
            let elapsed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
            beginning.checked_add(elapsed).unwrap_or(Timestamp::MAX)
        })
    }
}
