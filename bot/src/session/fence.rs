//! Finds out that this pod may have been replaced, being cut off or deleted, so that it lets its shards go.
//!
//! From three kinds of evidence to a `watch` of one flag for the shards' tasks: the API server answers, a replica of the gate
//! answers, at least half of the other pods of the bot answer ([`crate::session::peers`]; those on this pod's own node are not counted,
//! for they would be cut off with it). A pod that has had none of them for 30 s is fenced. It is free again when the API server
//! answers a GET of the bot's ConfigMap; the shards then read their records before they go on. The API server and the
//! peers are only asked while the gate is silent, but for a round of the peers now and then, so that their addresses are known
//! should DNS go away too ([`crate::edges::resolver`]).
//!
//! **A pod that was deleted** may run on where no kubelet ends it, and reach everybody. A leader of the gate then says that it is gone
//! ([`shard_contract::identify::Refusal::pod_is_there`]): a pod that hears so, and of which for 30 s neither a leader nor the API server has
//! known otherwise, is fenced too, whoever else answers. An API server that says 401 knows nothing of the pod; that alone fences nobody,
//! for it may say so to everybody, as when a service account or the signing key was made anew.
//!
//! **A pod that is taken for gone** though it runs, since its node does not answer and the gate does not hear it, is named in the layouts
//! document before another one is made: it is fenced at once, and free when the document no longer names it. Where it cannot read that, a
//! peer that it asks tells it.
//!
//! **A container that begins** when its pod was last heard of that long ago ([`heard`]) does not go on by its progress file until somebody
//! answers: one that crashes again and again would have its shards anew for as long as it takes to find that it is cut off.
//!
//! **A bot of one pod** has nobody to ask, also one whose other pods are all on its node: it stops when API server and gate are
//! both away, and goes on when the API server is back. Kubernetes' times, so none is scaled. Deliberately absent:
//! what fencing does ([`crate::shard`]).

mod heard;

use std::{io::ErrorKind, path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use shard_contract::layouts::Layouts;
use shard_machine::Random;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

pub(crate) use self::heard::LastHeard;
use crate::{
    edges::{
        backoff::spread,
        kubernetes::{Word, said, within},
        layouts,
        operator::Operator,
    },
    seen::status::Status,
    session::peers::{Census, Peers},
};

/// Exists while the pod is fenced, in its state folder.
pub(crate) const MARKER: &str = "fenced";
/// Without any evidence for this long a pod is fenced (`docs/protocols.md` section 3).
const CUT_OFF_AFTER: Duration = Duration::from_secs(30);
/// The API server is asked once the gate has been silent for this long, or nobody there has known the pod: longer than from one report
/// to the next, so that a pod whose reports are answered never asks.
const ASK_API_AFTER: Duration = Duration::from_secs(20);
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

/// Whether the pod may have its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fencing {
    /// It may.
    Free,
    /// Its last container had heard of nobody for long, and this one has not yet.
    Unsure,
    /// It may not: it may have been replaced.
    Fenced,
}

impl Fencing {
    /// Of a pod whose container begins. `marker`: its last one was fenced.
    pub(crate) fn at_first(marker: bool, heard: Instant) -> Self {
        match (marker, heard.elapsed() >= CUT_OFF_AFTER) {
            (true, _) => Self::Fenced,
            (false, true) => Self::Unsure,
            (false, false) => Self::Free,
        }
    }
}

/// What is known of the outside.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// When the API server answered last; at first: when anybody did.
    api: Instant,
    /// When any replica of the gate answered last; at first: when anybody did.
    gate: Instant,
    peers: PeersSeen,
    /// When a leader of the gate, or the API server, last knew this pod; at first: when its last container heard so.
    known: Instant,
    /// When a leader last said that it is gone.
    denied: Option<Instant>,
    /// Whether the newest layouts document takes this pod for gone.
    named: bool,
    /// When this container began to look.
    began: Instant,
}

impl Evidence {
    /// `heard`, `known`: when this pod's last container heard of anybody, and of somebody who knew it; at the latest now.
    const fn at_first(heard: Instant, known: Instant, now: Instant) -> Self {
        Self {
            api: heard,
            gate: heard,
            peers: PeersSeen::NotAsked,
            known,
            denied: None,
            named: false,
            began: now,
        }
    }

    /// When anybody was heard who tells that this pod is not cut off.
    fn heard(&self) -> Instant {
        let newest = self.api.max(self.gate);
        if let PeersSeen::Half(at) = self.peers { newest.max(at) } else { newest }
    }
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

/// Why a pod lets its shards go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// It reaches nobody who could tell it that it was replaced.
    CutOff,
    /// A leader says that it is gone, and nobody knows otherwise.
    Deleted,
    /// The layouts document takes it for gone: another one is made in a moment.
    Named,
}

/// Whether a pod with this evidence is to let its shards go.
fn is_to_go(evidence: &Evidence, now: Instant) -> Option<Because> {
    let silent = |since: Instant| now.saturating_duration_since(since) >= CUT_OFF_AFTER;
    if evidence.named {
        return Some(Because::Named);
    }
    if evidence.denied.is_some_and(|at| at > evidence.known && !silent(at)) && silent(evidence.known) {
        return Some(Because::Deleted);
    }
    let alone = match evidence.peers {
        PeersSeen::NotAsked => false,
        PeersSeen::None => true,
        PeersSeen::Half(at) => silent(at),
        PeersSeen::Fewer(rounds) => rounds >= ROUNDS,
    };
    (silent(evidence.api) && silent(evidence.gate) && alone).then_some(Because::CutOff)
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
    pub(crate) layouts: watch::Receiver<Layouts>,
    /// The newest document that was watched or read here: a watch may be a minute behind.
    pub(crate) newest: Layouts,
    /// This pod's UID.
    pub(crate) uid: String,
    pub(crate) operator: Operator,
    pub(crate) peers: Peers,
    pub(crate) status: Arc<Status>,
    pub(crate) fencing: watch::Sender<Fencing>,
    pub(crate) heard: LastHeard,
    /// Exists while the pod is fenced, so that a container that restarts then is fenced too.
    pub(crate) marker: PathBuf,
    pub(crate) random: Random,
}

impl Fence {
    /// Looks for as long as the pod runs.
    pub(crate) async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let mut evidence = Evidence::at_first(self.heard.at(), self.heard.known_at(), now);
        let mut meets_at = now + spread(&self.random, MEET_FIRST);
        loop {
            looks.tick().await;
            let api_answers = self.gather(&mut evidence).await;
            self.decide(&evidence, api_answers, Instant::now());
            self.heard.note(evidence.heard(), evidence.known);
            if evidence.peers == PeersSeen::NotAsked && Instant::now() >= meets_at {
                meets_at = Instant::now() + spread(&self.random, MEET_EVERY);
                let census = self.peers.ask().await;
                tracing::debug!(?census, "met the other pods");
            }
        }
    }

    /// Asks whom there is reason to ask; whether the API server told now what the document says.
    async fn gather(&mut self, evidence: &mut Evidence) -> bool {
        let now = Instant::now();
        let answers = self.operator.answers();
        (evidence.gate, evidence.denied) = (evidence.gate.max(answers.any), answers.denied);
        evidence.known = evidence.known.max(answers.knew);
        let watched = self.layouts.borrow().clone();
        evidence.named = self.takes(watched);
        let silent = |since: Instant, span| now.saturating_duration_since(since) >= span;
        let is_denied = answers.denied.is_some_and(|at| at > answers.knew);
        // Replicas that do not lead are heard, too: they tell nobody what a leader that this pod does not reach has decided.
        let is_led = !silent(evidence.gate, ASK_API_AFTER) && !silent(evidence.known, ASK_API_AFTER);
        if is_led && !is_denied && !self.is_fenced() {
            // As long as the gate answers, nobody knows or needs to know since when the others are silent.
            evidence.api = evidence.api.max(evidence.gate);
            evidence.peers = PeersSeen::NotAsked;
            return false;
        }
        if evidence.named && !self.is_fenced() {
            return false;
        }
        let asked = within(self.api.get_opt(&self.config_map)).await;
        let word = asked.as_ref().map_or_else(said, |_| Word::Answer);
        let read = asked.as_ref().ok().and_then(Option::as_ref);
        if let Some(Ok(read)) = read.map(|found| layouts::parse(&self.config_map, found)) {
            evidence.named = self.takes(read);
        }
        match word {
            Word::Answer => {
                evidence.api = Instant::now();
                evidence.known = evidence.api;
                evidence.peers = PeersSeen::NotAsked;
            }
            _ if self.is_fenced() || !silent(evidence.known, ASK_API_AFTER) => {}
            _ if silent(evidence.api, ASK_PEERS_AFTER) => {
                let census = self.peers.ask().await;
                evidence.peers = evidence.peers.after(census, Instant::now());
                evidence.named |= census.gone;
            }
            _ => {}
        }
        // What came while the others were asked counts: at first the gate has just been asked, too.
        evidence.gate = evidence.gate.max(self.operator.answers().any);
        asked.is_ok()
    }

    /// Takes a document, unless a newer one is known, and keeps for others whom it takes for gone; whether it does this pod.
    fn takes(&mut self, layouts: Layouts) -> bool {
        if layouts.generation >= self.newest.generation {
            self.newest = layouts;
            self.status.set_gone(&self.newest.gone);
        }
        self.newest.takes_for_gone(&self.uid)
    }

    /// Only an answer that came in this look frees a fenced pod: when it began is no evidence of what it can reach.
    fn decide(&self, evidence: &Evidence, api_answers: bool, now: Instant) {
        let because = is_to_go(evidence, now);
        let before = *self.fencing.borrow();
        let is_silent = now.saturating_duration_since(evidence.heard()) >= CUT_OFF_AFTER;
        let fencing = match (before, because) {
            (Fencing::Fenced, _) if !api_answers => Fencing::Fenced,
            // Nobody has had the time to answer this container.
            (Fencing::Unsure, Some(Because::CutOff)) if now < evidence.began + ASK_API_AFTER => {
                Fencing::Unsure
            }
            (Fencing::Free | Fencing::Unsure, Some(_)) | (_, Some(Because::Named)) => Fencing::Fenced,
            (Fencing::Unsure, None) if is_silent => Fencing::Unsure,
            _ => Fencing::Free,
        };
        if !self.fencing.send_if_modified(|known| std::mem::replace(known, fencing) != fencing) {
            return;
        }
        let fenced = fencing == Fencing::Fenced;
        if !fenced && before == Fencing::Unsure {
            tracing::info!("somebody answers: this pod is not cut off");
            return;
        }
        self.status.set_fenced(fenced);
        let marked =
            if fenced { std::fs::write(&self.marker, "") } else { std::fs::remove_file(&self.marker) };
        // Of a container that began while its pod was named there is none.
        if let Some(error) = marked.err().filter(|error| fenced || error.kind() != ErrorKind::NotFound) {
            tracing::warn!(%error, "cannot mark that this pod has let its shards go: its container forgets it when it restarts");
        }
        match because.filter(|_| fenced) {
            Some(Because::Deleted) => tracing::error!(
                "the gate says that this pod is gone, and the API server does not know it either: it lets its shards go"
            ),
            Some(Because::Named) => tracing::error!(
                "the layouts document takes this pod for gone, since its node does not answer: it lets its shards go"
            ),
            Some(Because::CutOff) => tracing::error!(
                peers = ?evidence.peers,
                "neither API server nor gate nor half of the other pods answer: this pod is cut off and lets its shards go"
            ),
            None => tracing::warn!("the API server answers again, reading the records before going on"),
        }
    }

    fn is_fenced(&self) -> bool {
        *self.fencing.borrow() == Fencing::Fenced
    }
}

#[cfg(test)]
mod tests;
