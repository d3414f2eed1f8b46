//! For how long the layouts documents have named pods that are taken for gone, as far as this process has seen.
//!
//! From what a round read to how long it has stood so, by the monotonic clock and from when it was read: a write may come late, and a
//! wall clock may jump. A fresh leader begins anew. Deliberately absent: who is named, which a plan says.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A bot's namespace and name.
type Key = (String, String);

/// Since when each pod has been named.
#[derive(Debug, Default)]
pub struct Named(Mutex<HashMap<Key, HashMap<String, Standing>>>);

#[derive(Clone, Copy, Debug)]
struct Standing {
    is_there: bool,
    since: Instant,
}

impl Named {
    /// Notes whom a document names. For how long each has been, counted anew once its pod is no longer there.
    pub fn note(
        &self,
        key: &Key,
        uids: &[String],
        is_there: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Duration> {
        let now = Instant::now();
        let mut all = self.all();
        let before = all.remove(key).unwrap_or_default();
        let standing = |uid: &String| {
            let is_there = is_there(uid);
            let known = before.get(uid).filter(|known| known.is_there == is_there);
            known.copied().unwrap_or(Standing { is_there, since: now })
        };
        let named: HashMap<_, _> = uids.iter().map(|uid| (uid.clone(), standing(uid))).collect();
        let told = named.iter().map(|(uid, standing)| (uid.clone(), now - standing.since)).collect();
        if !named.is_empty() {
            all.insert(key.clone(), named);
        }
        told
    }

    /// Forgets a bot.
    pub fn forget(&self, key: &Key) {
        self.all().remove(key);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, HashMap<String, Standing>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_named_since_it_was_first_read_and_anew_once_it_is_no_longer_there() {
        let (named, key) = (Named::default(), ("n".to_owned(), "b".to_owned()));
        let uids = ["one".to_owned(), "two".to_owned()];
        let note = |uids: &[String], there: bool| -> Vec<u64> {
            named.note(&key, uids, |uid| there || uid == "two").values().map(Duration::as_secs).collect()
        };
        let later = async || tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(note(&uids[..1], true), [0]);
        later().await;
        assert_eq!(note(&uids, true), [10, 0]);
        later().await;
        assert_eq!(note(&uids, false), [0, 10], "one is gone");
        later().await;
        assert_eq!(note(&uids, false), [10, 20]);
        assert!(note(&[], false).is_empty());
        assert_eq!(note(&uids, true), [0, 0], "named again");
    }
}
