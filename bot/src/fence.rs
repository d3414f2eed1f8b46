//! Finds out that this pod is cut off and may have been replaced, so that it lets its shards go.
//!
//! From three kinds of evidence to a `watch` of one flag for the shards' tasks: the API server answers, a replica of the gate
//! answers, at least half of the other pods of the bot answer ([`crate::peers`]; those on this pod's own node are not counted,
//! for they would be cut off with it). A pod that has had none of them for 30 s is fenced. It is free again when the API server
//! answers a GET of the bot's ConfigMap; the shards then read their records before they go on. The API server and the
//! peers are only asked while the gate is silent, but for a round of the peers now and then, so that their addresses are known
//! should DNS go away too ([`crate::resolver`]).
//!
//! **A bot of one pod** has nobody to ask, also one whose other pods are all on its node: it stops when API server and gate are
//! both away, and goes on when the API server is back. Kubernetes' times, so none is scaled. Deliberately absent:
//! what fencing does ([`crate::shard`]).

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use shard_machine::Random;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    backoff::spread,
    kubernetes::{is_answer, within},
    operator::Operator,
    peers::{Census, Peers},
    status::Status,
};

/// Exists while the pod is fenced, in its state folder.
pub(crate) const MARKER: &str = "fenced";
/// Without any evidence for this long a pod is fenced (`docs/protocols.md` section 3).
const CUT_OFF_AFTER: Duration = Duration::from_secs(30);
/// The API server is asked once the gate has been silent for this long: longer than two reports.
const ASK_API_AFTER: Duration = Duration::from_secs(10);
/// The peers are asked once the API server has been silent for this long, too.
const ASK_PEERS_AFTER: Duration = Duration::from_secs(12);
/// So many rounds of asking the peers must have failed: one lost packet proves nothing.
const ROUNDS: u32 = 2;
/// How often peers are asked for their addresses' sake.
const MEET_EVERY: Duration = Duration::from_mins(10);
/// When they are first: other pods of the fleet are there by then.
const MEET_FIRST: Duration = Duration::from_mins(1);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is known of the outside.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// When the API server answered last; at first: when the pod began.
    api: Instant,
    /// When any replica of the gate answered last; at first: when the pod began.
    gate: Instant,
    peers: PeersSeen,
}

/// What is known of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeersSeen {
    /// They have not been asked since API server and gate fell silent.
    NotAsked,
    /// There are none on other nodes.
    None,
    /// At least half answered at that time.
    Half(Instant),
    /// Fewer than half answered in so many rounds in a row.
    Fewer(u32),
}

/// Whether a pod with this evidence is to let its shards go.
fn cut_off(evidence: &Evidence, now: Instant) -> bool {
    let silent = |since: Instant| now.saturating_duration_since(since) >= CUT_OFF_AFTER;
    let alone = match evidence.peers {
        PeersSeen::NotAsked => false,
        PeersSeen::None => true,
        PeersSeen::Half(at) => silent(at),
        PeersSeen::Fewer(rounds) => rounds >= ROUNDS,
    };
    silent(evidence.api) && silent(evidence.gate) && alone
}

impl PeersSeen {
    /// With one more round of asking.
    fn after(self, census: Census, now: Instant) -> Self {
        let others = census.asked - census.on_my_node;
        if others == 0 {
            return Self::None;
        }
        if census.elsewhere * 2 >= others {
            return Self::Half(now);
        }
        match self {
            Self::Fewer(rounds) => Self::Fewer(rounds.saturating_add(1)),
            // One bad round does not undo what was seen a moment ago.
            Self::Half(at) if now.saturating_duration_since(at) < CUT_OFF_AFTER => self,
            _ => Self::Fewer(1),
        }
    }
}

/// The task that looks.
pub(crate) struct Fence {
    pub(crate) api: Api<ConfigMap>,
    /// Name of the bot's ConfigMap.
    pub(crate) config_map: String,
    pub(crate) operator: Operator,
    pub(crate) peers: Peers,
    pub(crate) status: Arc<Status>,
    pub(crate) fenced: watch::Sender<bool>,
    /// Exists while the pod is fenced, so that a container that restarts then is fenced too.
    pub(crate) marker: PathBuf,
    pub(crate) random: Random,
}

impl Fence {
    /// Looks for as long as the pod runs.
    pub(crate) async fn run(self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let mut evidence = Evidence { api: now, gate: now, peers: PeersSeen::NotAsked };
        let mut meets_at = now + spread(&self.random, MEET_FIRST);
        loop {
            looks.tick().await;
            let api_answers = self.gather(&mut evidence).await;
            self.decide(&evidence, api_answers, Instant::now());
            if evidence.peers == PeersSeen::NotAsked && Instant::now() >= meets_at {
                meets_at = Instant::now() + spread(&self.random, MEET_EVERY);
                let census = self.peers.ask().await;
                tracing::debug!(?census, "met the other pods");
            }
        }
    }

    /// Asks whom there is reason to ask; whether the API server answered now.
    async fn gather(&self, evidence: &mut Evidence) -> bool {
        let now = Instant::now();
        evidence.gate = self.operator.answers().any;
        let silent = |since: Instant, span| now.saturating_duration_since(since) >= span;
        if !silent(evidence.gate, ASK_API_AFTER) && !self.is_fenced() {
            // As long as the gate answers, nobody knows or needs to know since when the others are silent.
            evidence.api = evidence.api.max(evidence.gate);
            evidence.peers = PeersSeen::NotAsked;
            return false;
        }
        let api_answers = is_answer(&within(self.api.get_opt(&self.config_map)).await);
        if api_answers {
            evidence.api = Instant::now();
            evidence.peers = PeersSeen::NotAsked;
        } else if silent(evidence.api, ASK_PEERS_AFTER) && !self.is_fenced() {
            let census = self.peers.ask().await;
            evidence.peers = evidence.peers.after(census, Instant::now());
        }
        api_answers
    }

    /// Only an answer that came in this look frees a fenced pod: when it began is no evidence of what it can reach.
    fn decide(&self, evidence: &Evidence, api_answers: bool, now: Instant) {
        let fenced = if self.is_fenced() { !api_answers } else { cut_off(evidence, now) };
        if !self.fenced.send_if_modified(|known| std::mem::replace(known, fenced) != fenced) {
            return;
        }
        self.status.set_fenced(fenced);
        let marked =
            if fenced { std::fs::write(&self.marker, "") } else { std::fs::remove_file(&self.marker) };
        if let Err(error) = marked {
            tracing::warn!(%error, "cannot mark that this pod is cut off: its container forgets it when it restarts");
        }
        if fenced {
            tracing::error!(
                peers = ?evidence.peers,
                "neither API server nor gate nor half of the other pods answer: this pod is cut off and lets its shards go"
            );
        } else {
            tracing::warn!("the API server answers again, reading the records before going on");
        }
    }

    fn is_fenced(&self) -> bool {
        *self.fenced.borrow()
    }
}

#[cfg(test)]
mod tests;
