//! Whether another installation still says that it yields.
//!
//! From what stands at the Lease, and when it was seen to change, to its name. By the time that passes here, never by one that another
//! machine wrote: of what stood there before it was looked at nothing is known until it changes, or long enough does not.

use crate::leader::MOST_CHARACTERS;
use crate::model::Contest;
use std::time::Duration;
use tokio::time::Instant;

/// How long a word counts: three of its times, and a renewal of the Lease with which it is seen.
const COUNTS_FOR: Duration = Duration::from_secs(120);
/// What was seen of it.
#[derive(Clone, Debug, Default)]
pub struct Contender {
    seen: Option<Seen>,
}

/// What stands there, and since when.
#[derive(Clone, Debug)]
struct Seen {
    said: Option<String>,
    since: Instant,
    /// Whether it came while it was looked at.
    is_new: bool,
}

impl Contender {
    /// Takes note of what stands there; returns who yields to this installation.
    pub fn see(&mut self, said: Option<String>, me: &str, now: Instant) -> Contest {
        let is_new = self.seen.is_some();
        let seen = match self.seen.take() {
            Some(seen) if seen.said == said => seen,
            _ => Seen { said, since: now, is_new },
        };
        let is_fresh = now.duration_since(seen.since) < COUNTS_FOR;
        let name = seen.said.as_deref().and_then(|said| said.split_whitespace().next());
        let contest = match name.filter(|name| is_fresh && *name != me) {
            None => Contest::Alone,
            Some(_) if !seen.is_new => Contest::Unsure,
            Some(name) => Contest::With(name.chars().take(MOST_CHARACTERS).collect()),
        };
        self.seen = Some(seen);
        contest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_once_it_was_seen_to_change_and_for_two_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let said = |time: &str| Some(format!("b/shard-operator {time}"));
        let with = Contest::With("b/shard-operator".into());
        let mut contender = Contender::default();
        assert_eq!(
            contender.see(said("1"), "a/shard-operator", at(0)),
            Contest::Unsure,
            "it may be years old"
        );
        assert_eq!(contender.see(said("1"), "a/shard-operator", at(60)), Contest::Unsure);
        assert_eq!(contender.see(said("2"), "a/shard-operator", at(75)), with);
        assert_eq!(contender.see(said("2"), "a/shard-operator", at(194)), with);
        assert_eq!(contender.see(said("2"), "a/shard-operator", at(195)), Contest::Alone);
        let mut fresh = Contender::default();
        assert_eq!(fresh.see(None, "a/shard-operator", at(0)), Contest::Alone);
        assert_eq!(fresh.see(said("3"), "a/shard-operator", at(15)), with);
        assert_eq!(fresh.see(None, "a/shard-operator", at(30)), Contest::Alone, "it was taken away");
        let mut old = Contender::default();
        assert_eq!(old.see(said("4"), "a/shard-operator", at(0)), Contest::Unsure);
        assert_eq!(
            old.see(said("4"), "a/shard-operator", at(120)),
            Contest::Alone,
            "it did not change for long enough"
        );
        assert_eq!(old.see(said("5"), "b/shard-operator", at(130)), Contest::Alone, "it was said here");
    }
}
