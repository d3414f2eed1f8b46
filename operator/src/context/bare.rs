//! Bots that have nothing yet and wait for their Secret.
//!
//! From a round that found neither Secret nor anything else to how soon the Secret alone is looked for: what cannot be there is not
//! read, and sixty tenants with a typing error cost the API server next to nothing. A change of the spec, or half an hour, bring a whole
//! round again. Deliberately absent: the look itself.

use crate::backoff::{LATEST, rising};
use crate::crd::TokenSecretRef;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long nothing else is looked at.
const NOTHING_ELSE_FOR: Duration = Duration::from_secs(1_800);

/// What is known of them.
#[derive(Debug, Default)]
pub struct Bare(Mutex<HashMap<Name, Waits>>);

/// A bot's namespace and name.
type Name = (String, String);

#[derive(Clone, Debug)]
struct Waits {
    uid: String,
    generation: i64,
    secret: TokenSecretRef,
    since: Instant,
    looked: Instant,
}

impl Bare {
    /// A whole round found nothing. Returns how soon the Secret is looked for.
    pub fn keep(&self, key: Name, uid: &str, generation: i64, secret: TokenSecretRef) -> Duration {
        let now = Instant::now();
        let mut all = self.all();
        let before = all.get(&key).filter(|before| before.uid == uid && before.secret == secret);
        let since = before.map_or(now, |before| before.since);
        all.insert(key, Waits { uid: uid.to_owned(), generation, secret, since, looked: now });
        wait(since, uid)
    }

    /// The Secret that this bot waits for, if it had nothing else a while ago, and how soon it is looked for again.
    #[must_use]
    pub fn waits_for(&self, key: &Name, uid: &str, generation: i64) -> Option<(TokenSecretRef, Duration)> {
        let all = self.all();
        let waits = all.get(key).filter(|waits| waits.uid == uid && waits.generation == generation)?;
        let is_known = waits.looked.elapsed() < NOTHING_ELSE_FOR;
        is_known.then(|| (waits.secret.clone(), wait(waits.since, uid)))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Name, Waits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It waits no more.
    pub fn forget(&self, key: &Name) {
        self.all().remove(key);
    }
}

/// Spread over bots in the end, the same for one bot.
fn wait(since: Instant, uid: &str) -> Duration {
    let spread = Duration::from_secs(u64::from(uid.bytes().last().unwrap_or_default() % 8));
    rising(since.elapsed()).min(LATEST.saturating_sub(spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::SOONEST;

    #[tokio::test(start_paused = true)]
    async fn the_secret_is_looked_for_ever_later_and_a_change_brings_a_whole_round() {
        let (bare, key) = (Bare::default(), ("bots".to_owned(), "mybot".to_owned()));
        let secret = |name: &str| TokenSecretRef { name: name.into(), key: "token".into() };
        assert_eq!(bare.waits_for(&key, "u0", 1), None);
        assert_eq!(bare.keep(key.clone(), "u0", 1, secret("a")), SOONEST);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(bare.waits_for(&key, "u0", 1), Some((secret("a"), Duration::from_secs(25))));
        assert_eq!((bare.waits_for(&key, "u0", 2), bare.waits_for(&key, "u1", 1)), (None, None));
        tokio::time::sleep(NOTHING_ELSE_FOR).await;
        assert_eq!(bare.waits_for(&key, "u0", 1), None, "anything may have come");
        assert_eq!(bare.keep(key.clone(), "u0", 1, secret("a")), LATEST);
        assert_eq!(bare.keep(key.clone(), "u0", 2, secret("b")), SOONEST, "another Secret is waited for");
        bare.forget(&key);
        assert_eq!(bare.waits_for(&key, "u0", 2), None);
    }
}
