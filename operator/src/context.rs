//! The handles that a round may touch, and the little that is remembered between rounds.
//!
//! Remembered are only savings and edges: the last status sent, the back-off of a failing object, who holds which token,
//! which Secrets with records there were a moment ago. Losing all of it costs a few repeated writes. Deliberately absent: decisions.

mod held;

pub use held::{Found, Held};

use crate::crd::{ShardedBot, ShardedBotStatus};
use crate::discord::Discord;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::model::{Addresses, SecretSeen};
use crate::reports::Reports;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A bot's namespace and name.
pub type Key = (String, String);

/// The handles of a round.
pub struct Context {
    /// The API server.
    pub client: kube::Client,
    /// Discord, sparingly.
    pub discord: Discord,
    /// The gate, as part of the world.
    pub gate: Gate,
    /// What pods last said.
    pub reports: Reports,
    /// Publishes events.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What pods must know.
    pub addresses: Addresses,
    /// What is remembered.
    pub memory: Memory,
    /// Since when this process leads.
    pub leading_since: tokio::time::Instant,
}

impl Context {
    /// Forgets a bot that is gone, unless one of its name has been made anew. What stays is its token's, which the gate keeps.
    pub fn forget(&self, key: &Key) {
        if self.memory.lives(key) {
            return;
        }
        self.gate.forget(&key.0, &key.1);
        self.reports.forget(&key.0, &key.1);
        self.memory.forget(key);
    }
}

/// What is remembered between rounds.
#[derive(Debug, Default)]
pub struct Memory {
    sent: Mutex<HashMap<Key, Sent>>,
    failures: Mutex<HashMap<Key, u32>>,
    holders: Mutex<HashMap<Key, Held>>,
    stores: Mutex<Vec<Store<ShardedBot>>>,
    secrets: Mutex<HashMap<Key, Read>>,
}

/// What was read of a bot's Secrets.
#[derive(Debug)]
struct Read {
    uid: String,
    at: Instant,
    seen: Vec<SecretSeen>,
}

/// How long what was read of Secrets counts. A large bot has hundreds, and a change is made only to what was read.
const SECRETS_FRESH: Duration = Duration::from_secs(20);

/// The status that was last sent for a bot.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The UID it was sent for.
    pub uid: String,
    /// The status.
    pub status: ShardedBotStatus,
    /// When.
    pub at: Instant,
}

impl Memory {
    /// Lets it see which bots exist.
    pub fn watch(&self, store: Store<ShardedBot>) {
        lock(&self.stores).push(store);
    }

    /// Whether a bot of this name exists and is not on its way out.
    #[must_use]
    pub fn lives(&self, key: &Key) -> bool {
        let stores = lock(&self.stores);
        let mut bots = stores.iter().flat_map(Store::state);
        bots.any(|bot| bot.metadata.deletion_timestamp.is_none() && name(&bot) == *key)
    }

    /// Forgets all of a bot but the token it held, which is looked after where tokens are compared.
    pub fn forget(&self, key: &Key) {
        lock(&self.sent).remove(key);
        lock(&self.failures).remove(key);
        lock(&self.secrets).remove(key);
    }

    /// The status last sent for this bot.
    #[must_use]
    pub fn sent(&self, key: &Key, uid: &str) -> Option<Sent> {
        lock(&self.sent).get(key).filter(|sent| sent.uid == uid).cloned()
    }

    /// Remembers a status that was sent.
    pub fn keep_sent(&self, key: Key, sent: Sent) {
        lock(&self.sent).insert(key, sent);
    }

    /// The Secrets of the bot with this UID as they were a moment ago, if exactly these were read then.
    #[must_use]
    pub fn secrets(&self, key: &Key, uid: &str, names: &[String]) -> Option<Vec<SecretSeen>> {
        let secrets = lock(&self.secrets);
        let read = secrets.get(key)?;
        let same = read.uid == uid && read.seen.iter().map(|secret| &secret.name).eq(names);
        (same && read.at.elapsed() < SECRETS_FRESH).then(|| read.seen.clone())
    }

    /// Remembers what was read of Secrets.
    pub fn keep_secrets(&self, key: Key, uid: &str, seen: Vec<SecretSeen>) {
        let mut secrets = lock(&self.secrets);
        // Of bots that are gone nothing stays.
        secrets.retain(|_, read| read.at.elapsed() < SECRETS_FRESH);
        secrets.insert(key, Read { uid: uid.to_owned(), at: Instant::now(), seen });
    }

    /// Forgets what was read of Secrets: they were changed, or were not as they had been read.
    pub fn forget_secrets(&self, key: &Key) {
        lock(&self.secrets).remove(key);
    }

    /// How long to wait after one more failure: 1 s, doubling, at most 5 minutes.
    pub fn failed(&self, key: Key) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        Duration::from_secs(2_u64.saturating_pow((*count - 1).min(9)).min(300))
    }

    /// Forgets failures after a success.
    pub fn succeeded(&self, key: &Key) {
        lock(&self.failures).remove(key);
    }

    /// Remembers what was found of this bot's token; returns what that means for this bot.
    #[must_use]
    pub fn hold_token(&self, key: &Key, created: Timestamp, found: Found) -> Standing {
        let bots: Vec<Arc<ShardedBot>> = lock(&self.stores).iter().flat_map(Store::state).collect();
        let age = |bot: &ShardedBot| {
            (bot.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |at| at.0), name(bot))
        };
        let living: HashMap<Key, Timestamp> = bots
            .iter()
            .filter(|bot| bot.metadata.deletion_timestamp.is_none())
            .map(|bot| (name(bot), age(bot).0))
            .collect();
        let mut holders = lock(&self.holders);
        holders.retain(|other, _| other == key || living.contains_key(other));
        let held = holders.entry(key.clone()).or_default();
        held.take(found);
        let held = *held;
        if held.token().is_none() {
            return Standing::Alone;
        }
        let older = |other: &Key, at: Timestamp| (at, other) < (created, key);
        let rival = living
            .iter()
            .filter(|(other, at)| {
                older(other, **at) && holders.get(*other).is_some_and(|other| other.precedes(&held))
            })
            .min_by_key(|(other, at)| (**at, (*other).clone()));
        match rival {
            Some(((namespace, name), _)) => Standing::After(format!("{namespace}/{name}")),
            None if living.iter().any(|(other, at)| older(other, *at) && !holders.contains_key(other)) => {
                Standing::Unknown
            }
            None => Standing::Alone,
        }
    }
}

/// Where a bot stands among those that hold its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No older bot holds it.
    Alone,
    /// This older bot holds it: `namespace/name`.
    After(String),
    /// Not every older bot has been looked at since the operator started.
    Unknown,
}

fn name(bot: &ShardedBot) -> Key {
    let of = |field: &Option<String>| field.clone().unwrap_or_default();
    (of(&bot.metadata.namespace), of(&bot.metadata.name))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_bot_that_is_gone_neither_status_nor_failures_stay() {
        let (memory, key) = (Memory::default(), ("bots".to_owned(), "mybot".to_owned()));
        let sent = Sent { uid: "u".into(), status: ShardedBotStatus::default(), at: Instant::now() };
        memory.keep_sent(key.clone(), sent);
        assert_eq!(memory.failed(key.clone()), Duration::from_secs(1));
        assert_eq!(memory.failed(key.clone()), Duration::from_secs(2));
        assert!(memory.sent(&key, "u").is_some() && !memory.lives(&key));
        memory.forget(&key);
        assert!(memory.sent(&key, "u").is_none());
        assert_eq!(memory.failed(key), Duration::from_secs(1));
    }
}
