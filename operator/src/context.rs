//! The handles that a round may touch, and the little that is remembered between rounds.
//!
//! Remembered are only savings and edges: the last status sent, the back-off of a failing object, who holds which token,
//! which Secrets with records there were a moment ago. Losing all of it costs a few repeated reads and writes, an annotation of pods among them. Deliberately absent: decisions.

mod bare;
mod corrections;
mod held;
mod known;
mod named;
mod tokens;

pub use bare::Bare;
pub use corrections::{Corrections, Made};
pub use held::{Found, Held};
pub use known::{Known, Looked};
pub use named::Named;
pub use tokens::{TokenFound, TokenHistory, Tokens};

use crate::backoff::Backoff;
use crate::claims::Claims;
use crate::crd::{Listed, ShardedBot, ShardedBotStatus};
use crate::discord::Discord;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::model::{Addresses, SecretSeen};
use crate::rates::Rates;
use crate::reads::Reads;
use crate::reports::Reports;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use shard_machine::Machine;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A bot's namespace and name.
pub type Key = (String, String);

/// The waits after failed rounds in a row.
const RETRIES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// The handles of a round.
pub struct Context {
    /// The API server.
    pub client: kube::Client,
    /// Its answers, within bounds.
    pub reads: Reads,
    /// How often each bot has a round.
    pub rounds: Rates<Key>,
    /// Room for bots whose templates are large, a few at a time.
    pub large: Semaphore,
    /// Discord, sparingly.
    pub discord: Discord,
    /// The gate, as part of the world.
    pub gate: Gate,
    /// Which namespaces this installation keeps.
    pub claims: Claims,
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
    /// The machine this process runs on.
    pub machine: Machine,
}

impl Context {
    /// Forgets a bot that is gone, unless one of its name has been made anew. What stays is its token's, which the gate keeps.
    pub fn forget(&self, key: &Key) {
        if self.memory.lives(key) {
            return;
        }
        self.forget_all(key);
    }

    /// Begins a round of a bot with this UID. Nothing that is known of another one of its name, which was gone before anybody saw it
    /// go, is known of this one.
    pub fn meet(&self, key: &Key, uid: &str) {
        if self.memory.is_another(key, uid) {
            self.forget_all(key);
            self.memory.is_another(key, uid);
        }
    }

    /// Begins a round of a bot whose namespace this installation keeps since then. What it knew of the bot from an earlier time is as old as
    /// that: another installation may have kept it meanwhile.
    pub fn keep(&self, key: &Key, since: Instant) {
        if self.memory.is_kept_anew(key, since) {
            self.gate.begin_anew(&key.0, &key.1);
            self.forget_all(key);
            self.memory.is_kept_anew(key, since);
        }
    }

    /// The bot's namespace is not kept any more: nothing that is waited for at the gate may be granted.
    pub fn lose(&self, key: &Key) {
        self.memory.known.forget(key);
        if self.memory.is_kept_no_more(key) {
            self.gate.begin_anew(&key.0, &key.1);
        }
    }

    fn forget_all(&self, key: &Key) {
        self.gate.forget(&key.0, &key.1);
        self.reports.forget(&key.0, &key.1);
        self.discord.forget(key);
        self.memory.forget(key);
    }
}

/// What is remembered between rounds.
#[derive(Debug, Default)]
pub struct Memory {
    sent: Mutex<HashMap<Key, Sent>>,
    failures: Mutex<HashMap<Key, Failing>>,
    holders: Mutex<HashMap<Key, Held>>,
    stores: Mutex<Vec<Store<Listed<ShardedBot>>>>,
    secrets: Mutex<HashMap<Key, Read>>,
    uids: Mutex<HashMap<Key, String>>,
    kept: Mutex<HashMap<Key, Instant>>,
    unlike: Mutex<HashMap<Key, Unlike>>,
    /// Bots that wait for their Secret.
    pub bare: Bare,
    /// What was corrected last.
    pub corrections: Corrections,
    /// Since when pods are named as gone.
    pub named: Named,
    /// What settled bots' rounds go by without reading it again.
    pub known: Arc<Known>,
    /// What became of tokens.
    pub tokens: Tokens,
}

/// A set by its UID, and an identity whose pods would be others.
#[derive(Debug)]
struct Unlike {
    asked: (String, String),
    at: Instant,
}

/// How long the API server is not asked again whether pods would be the same, in a change that waits.
const UNLIKE_FOR: Duration = Duration::from_secs(60);

/// How often a bot's rounds have failed in a row, and until when the next one waits.
#[derive(Debug)]
struct Failing {
    rounds: u32,
    until: Instant,
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
    pub fn watch(&self, store: Store<Listed<ShardedBot>>) {
        lock(&self.stores).push(store);
    }

    /// Whether a bot of this name exists and is not on its way out.
    #[must_use]
    pub fn lives(&self, key: &Key) -> bool {
        let stores = lock(&self.stores);
        let mut bots = stores.iter().flat_map(Store::state);
        bots.any(|bot| bot.meta().deletion_timestamp.is_none() && name(&bot) == *key)
    }

    /// Forgets all of a bot but the token it held, which is looked after where tokens are compared.
    pub fn forget(&self, key: &Key) {
        lock(&self.sent).remove(key);
        lock(&self.failures).remove(key);
        lock(&self.secrets).remove(key);
        lock(&self.unlike).remove(key);
        self.bare.forget(key);
        self.corrections.forget(key);
        self.named.forget(key);
        self.known.forget(key);
        self.tokens.forget(key);
        lock(&self.uids).remove(key);
        lock(&self.kept).remove(key);
    }

    /// Whether the bot of this name was another one when it was last met.
    fn is_another(&self, key: &Key, uid: &str) -> bool {
        let before = lock(&self.uids).insert(key.clone(), uid.to_owned());
        before.is_some_and(|before| before != uid)
    }

    /// Whether rounds of this bot were begun since its namespace is kept.
    #[must_use]
    pub fn is_kept_since(&self, key: &Key, since: Instant) -> bool {
        lock(&self.kept).get(key) == Some(&since)
    }

    /// Whether the bot's namespace was kept until now.
    fn is_kept_no_more(&self, key: &Key) -> bool {
        lock(&self.kept).remove(key).is_some()
    }

    /// Whether the bot's namespace was kept before, since another time.
    fn is_kept_anew(&self, key: &Key, since: Instant) -> bool {
        let before = lock(&self.kept).insert(key.clone(), since);
        before.is_some_and(|before| before != since)
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

    /// Whether the API server said a moment ago that this set and this identity stand for different pods.
    #[must_use]
    pub fn is_unlike(&self, key: &Key, asked: &(String, String)) -> bool {
        let unlike = lock(&self.unlike);
        unlike.get(key).is_some_and(|unlike| unlike.asked == *asked && unlike.at.elapsed() < UNLIKE_FOR)
    }

    /// Remembers that it did.
    pub fn keep_unlike(&self, key: Key, asked: (String, String)) {
        lock(&self.unlike).insert(key, Unlike { asked, at: Instant::now() });
    }

    /// How long to wait after one more failure: 1 s, doubling, at most 5 minutes. A change may bring a round before that is over; its
    /// failure makes the wait no longer.
    pub fn failed(&self, key: Key) -> Duration {
        let now = Instant::now();
        let mut failures = lock(&self.failures);
        let failing = failures.entry(key).or_insert(Failing { rounds: 0, until: now });
        if now < failing.until {
            return failing.until - now;
        }
        failing.rounds = failing.rounds.saturating_add(1);
        let wait = RETRIES.after(failing.rounds);
        failing.until = now + wait;
        wait
    }

    /// Forgets failures after a success.
    pub fn succeeded(&self, key: &Key) {
        lock(&self.failures).remove(key);
    }

    /// Remembers that this bot was looked at in vain: younger bots, which may hold the same token, need not wait for it. What it
    /// was known to hold stays.
    pub fn looked_in_vain(&self, key: &Key) {
        lock(&self.holders).entry(key.clone()).or_default();
    }

    /// Remembers what was found of this bot's token; returns what that means for this bot.
    #[must_use]
    pub fn hold_token(&self, key: &Key, created: Timestamp, found: Found) -> Standing {
        let bots: Vec<Arc<Listed<ShardedBot>>> = lock(&self.stores).iter().flat_map(Store::state).collect();
        let age = |bot: &Listed<ShardedBot>| {
            (bot.meta().creation_timestamp.as_ref().map_or(Timestamp::MAX, |at| at.0), name(bot))
        };
        let living: HashMap<Key, Timestamp> = bots
            .iter()
            .filter(|bot| bot.meta().deletion_timestamp.is_none())
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

fn name(bot: &Listed<ShardedBot>) -> Key {
    let of = |field: &Option<String>| field.clone().unwrap_or_default();
    (of(&bot.meta().namespace), of(&bot.meta().name))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_that_cannot_be_read_holds_up_no_younger_one() {
        let (memory, (bots, mut writer)) = (Memory::default(), kube::runtime::reflector::store());
        memory.watch(bots);
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for (name, second) in [("older", 1), ("younger", 2)] {
            let metadata = kube::core::ObjectMeta {
                name: Some(name.into()),
                namespace: Some("bots".into()),
                creation_timestamp: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(second))),
                ..kube::core::ObjectMeta::default()
            };
            let bot = Listed::<ShardedBot>::new(metadata);
            writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(bot));
        }
        let key = |name: &str| ("bots".to_owned(), name.to_owned());
        let token = Found::Accepted(crate::model::Fingerprint([1; 16]));
        let younger = || memory.hold_token(&key("younger"), at(2), token);
        assert_eq!(younger(), Standing::Unknown, "the older one was not looked at yet");
        memory.looked_in_vain(&key("older"));
        assert_eq!(younger(), Standing::Alone);
        assert_eq!(memory.hold_token(&key("older"), at(1), token), Standing::Alone);
        memory.looked_in_vain(&key("older"));
        assert_eq!(younger(), Standing::After("bots/older".into()), "what it was known to hold stays");
    }

    #[tokio::test(start_paused = true)]
    async fn of_failures_that_a_storm_of_changes_brings_only_the_first_makes_the_wait_longer() {
        let (memory, key) = (Memory::default(), ("bots".to_owned(), "mybot".to_owned()));
        for wait in [1, 2, 4] {
            assert_eq!(memory.failed(key.clone()), Duration::from_secs(wait));
            for _ in 0..10 {
                assert_eq!(
                    memory.failed(key.clone()),
                    Duration::from_secs(wait),
                    "a change came before it was over"
                );
            }
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_bot_that_is_gone_neither_status_nor_failures_stay() {
        let (memory, key) = (Memory::default(), ("bots".to_owned(), "mybot".to_owned()));
        let sent = Sent { uid: "u".into(), status: ShardedBotStatus::default(), at: Instant::now() };
        memory.keep_sent(key.clone(), sent);
        assert_eq!(memory.failed(key.clone()), Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(memory.failed(key.clone()), Duration::from_secs(2));
        assert!(memory.sent(&key, "u").is_some() && !memory.lives(&key));
        memory.forget(&key);
        assert!(memory.sent(&key, "u").is_none());
        assert_eq!(memory.failed(key), Duration::from_secs(1));
    }

    #[test]
    fn a_bot_that_is_made_anew_is_another_one_once() {
        let (memory, key) = (Memory::default(), ("bots".to_owned(), "mybot".to_owned()));
        let met = ["u", "u", "v", "v"].map(|uid| memory.is_another(&key, uid));
        assert_eq!(met, [false, false, true, false]);
    }
}
