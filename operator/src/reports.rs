//! What pods last reported, in memory only.
//!
//! From authenticated calls to what `observe` reads. Bounded: one report per pod; it counts for three report times, and
//! when it came is forgotten after ten minutes. A change that status would show wakes the bot's reconcile. Deliberately absent:
//! any decision.

use crate::crd::{Listed, ShardedBot};
use crate::gate::Caller;
use futures::Stream;
use futures::channel::mpsc;
use kube::runtime::reflector::ObjectRef;
use shard_contract::report::{REPORT_EVERY_MS, Report, ShardReport, ShardState, WaitsFor};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a report counts.
const KEPT: Duration = Duration::from_millis(3 * REPORT_EVERY_MS);

/// How long it is remembered when a pod was heard last; longer than any decision about its silence takes.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How often reports wake a round of one bot: a pod that changes its mind without end must not keep the bot's own changes waiting.
const WAKES_EVERY: Duration = Duration::from_secs(2);

/// The reports of all pods.
#[derive(Clone, Debug)]
pub struct Reports {
    pods: Arc<Mutex<HashMap<(String, String), Kept>>>,
    wakes: Arc<Mutex<HashMap<(String, String), Wake>>>,
    /// One sender for all: each clone of it would have a place of its own in the channel.
    changed: Arc<Mutex<mpsc::Sender<ObjectRef<Listed<ShardedBot>>>>>,
}

/// When reports last woke a bot's round, and whether one is due then.
#[derive(Debug)]
struct Wake {
    at: Instant,
    due: bool,
}

#[derive(Debug)]
struct Kept {
    bot: String,
    uid: String,
    report: Report,
    at: Instant,
}

impl Reports {
    /// An empty store, and the bots whose reports changed.
    pub fn new() -> (Self, impl Stream<Item = ObjectRef<Listed<ShardedBot>>> + use<>) {
        let (changed, bots) = mpsc::channel(1_024);
        let changed = Arc::new(Mutex::new(changed));
        (Self { pods: Arc::default(), wakes: Arc::default(), changed }, bots)
    }

    /// Keeps a pod's report.
    pub fn keep(&self, caller: &Caller, report: Report) {
        let key = (caller.namespace.clone(), caller.pod.clone());
        let told = {
            let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            pods.retain(|_, kept| now.duration_since(kept.at) < REMEMBERED);
            let kept = Kept { bot: caller.bot.clone(), uid: caller.uid.clone(), report, at: now };
            let shows = shown(&kept.report);
            let silent = |before: &Kept| now.duration_since(before.at) >= KEPT;
            pods.insert(key, kept).is_none_or(|before| silent(&before) || shown(&before.report) != shows)
        };
        if told {
            self.wake(&caller.namespace, &caller.bot);
        }
    }

    /// Wakes the bot's round: at once, then at most once in [`WAKES_EVERY`], the last time for what came since.
    fn wake(&self, namespace: &str, bot: &str) {
        let now = Instant::now();
        let key = (namespace.to_owned(), bot.to_owned());
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.retain(|_, wake| wake.due || now.saturating_duration_since(wake.at) < WAKES_EVERY);
        match wakes.get_mut(&key) {
            None => {
                wakes.insert(key, Wake { at: now, due: false });
                self.send(namespace, bot);
            }
            Some(wake) if !wake.due => {
                (wake.at, wake.due) = (wake.at + WAKES_EVERY, true);
                tokio::spawn(self.clone().wake_at(wake.at, key));
            }
            Some(_) => {}
        }
    }

    async fn wake_at(self, at: Instant, key: (String, String)) {
        tokio::time::sleep_until(at).await;
        if let Some(wake) = self.wakes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key) {
            wake.due = false;
        }
        self.send(&key.0, &key.1);
    }

    fn send(&self, namespace: &str, bot: &str) {
        // A full channel means that many rounds are due anyway, and each bot is looked at again within a minute.
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = changed.try_send(ObjectRef::new(bot).within(namespace));
    }

    /// Forgets what the pods of a bot said that is gone.
    pub fn forget(&self, namespace: &str, bot: &str) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.retain(|(of, _), kept| of != namespace || kept.bot != bot);
    }

    /// How long ago this pod reported last; `None` when this process has not heard it, or not for ten minutes.
    #[must_use]
    pub fn silent_for(&self, namespace: &str, pod: &str, uid: &str) -> Option<Duration> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(&(namespace.to_owned(), pod.to_owned()))
            .filter(|kept| kept.uid == uid)
            .map(|kept| kept.at.elapsed())
    }

    /// A pod's last report, unless it is too old or of an earlier pod of that name.
    #[must_use]
    pub fn of(&self, namespace: &str, pod: &str, uid: &str) -> Option<Report> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(&(namespace.to_owned(), pod.to_owned()))
            .filter(|kept| kept.uid == uid && kept.at.elapsed() < KEPT)
            .map(|kept| kept.report.clone())
    }
}

/// What status shows of a shard.
type Shown = (u32, ShardState, Option<u32>, Option<u16>, Option<WaitsFor>);

/// What wakes a round: states at once, guild counts when they have streamed in, and how the pod goes by. A count that still
/// grows would wake a round for each guild.
fn shown(report: &Report) -> (bool, bool, Vec<Shown>) {
    let of = |shard: &ShardReport| {
        let complete = (shard.unavailable_guilds == 0).then_some(shard.guilds);
        (shard.id, shard.state, complete, shard.fatal_close, shard.waits_for)
    };
    (report.on_fallback_schedule, report.isolated, report.shards.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    fn caller(namespace: &str, bot: &str) -> Caller {
        Caller {
            namespace: namespace.into(),
            bot: bot.into(),
            layout: 1,
            ordinal: 0,
            pod: format!("{bot}-1-0"),
            uid: "u".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_changes_without_end_wakes_a_round_at_once_then_at_most_every_two_seconds() {
        let (reports, mut changed) = Reports::new();
        let begun = Instant::now();
        let change = async {
            for intents in 0..200 {
                // Each report shows something else than the one before.
                reports.keep(
                    &caller("bots", "mybot"),
                    Report { isolated: intents % 2 == 0, ..Report::default() },
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let mut woken = Vec::new();
        let listen = async {
            while let Some(bot) = changed.next().await {
                woken.push((bot.name, begun.elapsed().as_secs()));
            }
        };
        tokio::select! {
            biased;
            () = listen => {}
            () = async { change.await; tokio::time::sleep(Duration::from_secs(5)).await } => {}
        }
        let expected: Vec<_> = (0..6).map(|wake| ("mybot".to_owned(), 2 * wake)).collect();
        assert_eq!(woken, expected, "the last for what came since");
    }

    #[tokio::test]
    async fn of_a_bot_that_is_gone_nothing_stays_and_of_others_all() {
        let (reports, _changed) = Reports::new();
        for (namespace, bot) in [("bots", "one"), ("bots", "two"), ("others", "one")] {
            reports.keep(&caller(namespace, bot), Report::default());
        }
        reports.forget("bots", "one");
        let is_kept = |namespace, pod| reports.of(namespace, pod, "u").is_some();
        assert!(!is_kept("bots", "one-1-0"));
        assert!(is_kept("bots", "two-1-0") && is_kept("others", "one-1-0"));
    }
}
