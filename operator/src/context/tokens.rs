//! What became of each bot's token, as far as this process has seen: whom another one has to reach, since when none is good.
//!
//! From what rounds read to pods and times, by UIDs and the monotonic clock. A fresh leader has seen nothing: pods of a token that was
//! replaced meanwhile get it when their kubelets look, within a minute or so. Deliberately absent: the token itself, and what follows.

use crate::model::Fingerprint;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often pods are told of another token at most: whoever may edit the Secret could have each of them written without end.
const ONCE_IN: Duration = Duration::from_secs(60);

/// A bot's namespace and name.
type Key = (String, String);

/// What each bot's token was.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<HashMap<Key, Known>>);

#[derive(Debug, Default)]
struct Known {
    token: Option<Fingerprint>,
    replaced: Option<Instant>,
    untold: BTreeSet<String>,
    bad_since: Option<Instant>,
}

/// A token, as a round finds it.
#[derive(Clone, Copy, Debug)]
pub struct TokenFound {
    /// A hash of all of it, if there is one that can be read.
    pub token: Option<Fingerprint>,
    /// Whether Discord takes it, as far as anybody has heard.
    pub is_good: bool,
}

/// What is known of a token's past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenHistory {
    /// The pods that began with another one and were not told, by UID.
    pub untold: BTreeSet<String>,
    /// For how long none has been good, if none is.
    pub bad_for: Option<Duration>,
}

impl Tokens {
    /// Notes what a round finds, and the pods that there are.
    pub fn note<'a>(
        &self,
        key: &Key,
        found: TokenFound,
        pods: impl Iterator<Item = &'a str>,
    ) -> TokenHistory {
        let mut all = self.all();
        let known = all.entry(key.clone()).or_default();
        let pods: BTreeSet<_> = pods.map(str::to_owned).collect();
        known.untold.retain(|uid| pods.contains(uid));
        let replaced = found.token.filter(|token| known.token.is_some_and(|before| before != *token));
        // Seen again, if it is still another one then.
        if replaced.is_none() {
            known.token = known.token.or(found.token);
        } else if known.replaced.is_none_or(|at| at.elapsed() >= ONCE_IN) {
            (known.token, known.replaced, known.untold) = (replaced, Some(Instant::now()), pods);
        }
        known.bad_since = (!found.is_good).then(|| known.bad_since.unwrap_or_else(Instant::now));
        TokenHistory { untold: known.untold.clone(), bad_for: known.bad_since.map(|since| since.elapsed()) }
    }

    /// The kubelet of this pod was told, or could not be.
    pub fn told(&self, key: &Key, uid: &str) {
        if let Some(known) = self.all().get_mut(key) {
            known.untold.remove(uid);
        }
    }

    /// Forgets a bot.
    pub fn forget(&self, key: &Key) {
        self.all().remove(key);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(tokens: &Tokens, token: Option<u8>, pods: &[&str]) -> TokenHistory {
        let found =
            TokenFound { token: token.map(|number| Fingerprint([number; 16])), is_good: token.is_some() };
        tokens.note(&key(), found, pods.iter().copied())
    }

    fn key() -> Key {
        ("n".to_owned(), "b".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn pods_that_began_with_another_token_are_to_be_told_once() {
        let tokens = Tokens::default();
        let untold = |token: Option<u8>, pods: &[&str]| {
            note(&tokens, token, pods).untold.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(untold(Some(1), &["a", "b"]), "");
        assert_eq!(untold(None, &["a", "b"]), "", "it is missing");
        assert_eq!(untold(Some(1), &["a", "b"]), "", "the same as before");
        assert_eq!(untold(Some(2), &["a", "b"]), "a b");
        tokens.told(&key(), "a");
        assert_eq!(untold(Some(2), &["a", "b", "c"]), "b", "c began with it");
        assert_eq!(untold(Some(2), &["a", "c"]), "", "b is gone");
        assert_eq!(untold(Some(3), &["a", "c"]), "", "too soon");
        tokio::time::advance(ONCE_IN).await;
        assert_eq!(untold(Some(3), &["a", "c"]), "a c");
        tokens.forget(&key());
        assert_eq!(untold(Some(4), &["a"]), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_bad_from_when_it_was_first_seen_so_until_it_is_good() {
        let tokens = Tokens::default();
        let bad_for = |token: Option<u8>| note(&tokens, token, &[]).bad_for.map(|bad| bad.as_secs());
        assert_eq!((bad_for(Some(1)), bad_for(None)), (None, Some(0)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!((bad_for(None), bad_for(Some(1)), bad_for(None)), (Some(9), None, Some(0)));
    }
}
