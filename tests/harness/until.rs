//! Waiting for a condition, never for a time.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; after `most` it fails with what was seen last.
///
/// # Errors
/// When the time is over, with `what` and the last thing that was seen; or at once when asking itself fails.
pub fn until<T>(what: &str, most: Duration, mut ask: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        match ask()? {
            Seen::Yes(answer) => return Ok(answer),
            Seen::NotYet(found) if started.elapsed() > most => {
                bail!("waited {} s for {what}; last seen: {found}", most.as_secs())
            }
            // The pace of asking, not a time that anything depends on.
            Seen::NotYet(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// What was seen.
#[derive(Debug)]
pub enum Seen<T> {
    /// The condition holds.
    Yes(T),
    /// It does not; this was found instead.
    NotYet(String),
}
