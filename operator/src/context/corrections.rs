//! Which corrections of a bot's objects would be pointless.
//!
//! From what was written last, and the version that it left, to whether the same would be written to the same again. Deliberately absent:
//! what has to be corrected, which a plan says anew in each round.

use serde_json::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often what somebody edited is put back at most.
const EDITS_EVERY: Duration = Duration::from_secs(60);

/// A bot's namespace and name.
type Key = (String, String);

/// The last correction of each object.
#[derive(Debug, Default)]
pub struct Corrections(Mutex<HashMap<Key, HashMap<What, Made>>>);

/// `Kind/name`, and whether it was an edit that was put back.
type What = (String, bool);

/// One that was made.
#[derive(Debug)]
pub struct Made {
    is_edit: bool,
    is_changed: bool,
    body: u64,
    /// The version that it left.
    version: String,
    at: Instant,
}

impl Made {
    /// One that was made just now.
    #[must_use]
    pub fn new(is_edit: bool, is_changed: bool, body: &Value, version: String) -> Self {
        Self { is_edit, is_changed, body: hash(body), version, at: Instant::now() }
    }
}

impl Corrections {
    /// Whether this was written last and left this version, or is an edit that was put back a moment ago.
    #[must_use]
    pub fn are_pointless(&self, key: &Key, what: &str, is_edit: bool, body: &Value, version: &str) -> bool {
        let made = self.made();
        let last = made.get(key).and_then(|of_bot| of_bot.get(&(what.to_owned(), is_edit)));
        last.is_some_and(|last| {
            let is_same = last.body == hash(body) && last.version == version;
            is_same || is_edit && last.is_changed && last.at.elapsed() < EDITS_EVERY
        })
    }

    /// Whether a set of this generation is known to be as it should be, whoever else wrote to it.
    #[must_use]
    pub fn is_clean(&self, key: &Key, set: &str, generation: i64) -> bool {
        let made = self.made();
        let last = made.get(key).and_then(|of_bot| of_bot.get(&(set.to_owned(), true)));
        last.is_some_and(|last| last.version == generation.to_string())
    }

    /// Remembers one.
    pub fn keep(&self, key: Key, what: String, made: Made) {
        self.made().entry(key).or_default().insert((what, made.is_edit), made);
    }

    /// Forgets those of a bot.
    pub fn forget(&self, key: &Key) {
        self.made().remove(key);
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Key, HashMap<What, Made>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(body: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn what_left_the_object_as_it_is_is_not_written_again_and_edits_are_put_back_once_a_minute() {
        let (corrections, key) = (Corrections::default(), ("bots".to_owned(), "mybot".to_owned()));
        let (one, other) = (json!({ "a": 1 }), json!({ "a": 2 }));
        let pointless = |is_edit, body: &Value, version: &str| {
            corrections.are_pointless(&key, "Role/r", is_edit, body, version)
        };
        assert!(!pointless(false, &one, "7"));
        corrections.keep(key.clone(), "Role/r".into(), Made::new(false, false, &one, "7".into()));
        assert!(pointless(false, &one, "7"), "it was written, and left this");
        assert!(
            !pointless(false, &one, "8") && !pointless(false, &other, "7") && !pointless(true, &one, "7")
        );
        corrections.keep(key.clone(), "Role/r".into(), Made::new(true, true, &one, "9".into()));
        assert!(pointless(true, &one, "10"), "edited again at once");
        tokio::time::sleep(EDITS_EVERY).await;
        assert!(!pointless(true, &one, "10") && pointless(true, &one, "9"));
        corrections.forget(&key);
        assert!(!pointless(false, &one, "7"));
    }
}
