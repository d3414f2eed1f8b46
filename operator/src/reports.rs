//! What pods last reported, in memory only.
//!
//! From authenticated calls to what `observe` reads. Bounded: one report per pod; it counts for three report times, and
//! when it came is forgotten after ten minutes. A change that status would show wakes the bot's reconcile. Deliberately absent:
//! any decision.

use crate::crd::ShardedBot;
use crate::gate::Caller;
use futures::Stream;
use futures::channel::mpsc;
use kube::runtime::reflector::ObjectRef;
use shard_contract::report::{REPORT_EVERY_MS, Report, ShardReport, ShardState};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a report counts.
const KEPT: Duration = Duration::from_millis(3 * REPORT_EVERY_MS);

/// How long it is remembered when a pod was heard last; longer than any decision about its silence takes.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The reports of all pods.
#[derive(Clone, Debug)]
pub struct Reports {
    pods: Arc<Mutex<HashMap<(String, String), Kept>>>,
    changed: mpsc::Sender<ObjectRef<ShardedBot>>,
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
    pub fn new() -> (Self, impl Stream<Item = ObjectRef<ShardedBot>> + use<>) {
        let (changed, bots) = mpsc::channel(1_024);
        (Self { pods: Arc::default(), changed }, bots)
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
            // A full channel means that many rounds are due anyway, and each bot is looked at again within a minute.
            let _ = self.changed.clone().try_send(ObjectRef::new(&caller.bot).within(&caller.namespace));
        }
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
type Shown = (u32, ShardState, Option<u32>, Option<u16>);

/// What wakes a round: states at once, guild counts when they have streamed in, and how the pod goes by. A count that still
/// grows would wake a round for each guild.
fn shown(report: &Report) -> (bool, bool, Vec<Shown>) {
    let of = |shard: &ShardReport| {
        let complete = (shard.unavailable_guilds == 0).then_some(shard.guilds);
        (shard.id, shard.state, complete, shard.fatal_close)
    };
    (report.on_fallback_schedule, report.fenced, report.shards.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_bot_that_is_gone_nothing_stays_and_of_others_all() {
        let (reports, _changed) = Reports::new();
        for (namespace, bot) in [("bots", "one"), ("bots", "two"), ("others", "one")] {
            let pod = format!("{bot}-1-0");
            let caller = Caller {
                namespace: namespace.into(),
                bot: bot.into(),
                layout: 1,
                ordinal: 0,
                pod,
                uid: "u".into(),
            };
            reports.keep(&caller, Report::default());
        }
        reports.forget("bots", "one");
        let is_kept = |namespace, pod| reports.of(namespace, pod, "u").is_some();
        assert!(!is_kept("bots", "one-1-0"));
        assert!(is_kept("bots", "two-1-0") && is_kept("others", "one-1-0"));
    }
}
