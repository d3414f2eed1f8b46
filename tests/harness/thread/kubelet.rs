//! Everything that would run pods: StatefulSet controller, garbage collector, scheduler and kubelets, in one task of the story's thread.
//!
//! From what stands in the namespace to pods as futures, and back to their status. Containers that end are started again; a pod that is
//! deleted is told, and ends within its grace. Deliberately absent: probes of liveness, and the wait of a kubelet before the next
//! restart, which is always half a second here.

mod bot;
mod kill;
mod nodes;
mod probes;
mod volumes;

use super::containers::{Around, Host, Process};
use super::{BOT, NAMESPACE};
use crate::fleet::pod::{container, environment};
use crate::fleet::proxy::Tamper;
use crate::fleet::sets::{make, wanted};
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use shard_bot::{Bot, Intents};
use shard_contract::names::{parse_pod, shards};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Between two looks.
const PACE: Duration = Duration::from_millis(100);
/// Between the end of a container and its next start.
const AGAIN: Duration = Duration::from_millis(500);
/// Nodes.
const NODES: u32 = 3;

/// Runs the pods of the story's namespace.
pub struct Kubelet {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    around: Around,
    client: Client,
    probe: reqwest::Client,
    /// Who tampers with what pods ask the API server.
    tamper: Option<Arc<Tamper>>,
    /// By UID.
    pods: Mutex<BTreeMap<String, Kept>>,
    trouble: Mutex<String>,
    begun: bot::Begun,
    /// Whether a node was found again, so that its kubelet sees what became of its pods.
    found: AtomicBool,
}

/// A pod and what is known of it.
struct Kept {
    pod: Pod,
    address: IpAddr,
    process: Option<Process>,
    /// What its process handles kills it.
    dies: Arc<AtomicBool>,
    restarts: u32,
    is_ready: bool,
    probed: Instant,
    ended: Option<Instant>,
    deadline: Option<Instant>,
    reported: Option<(bool, u32)>,
    since: Timestamp,
    /// When its tokens were made.
    tokens: Instant,
    /// Nobody hears of it.
    is_lost: bool,
}

impl Kubelet {
    pub(super) async fn begin(around: Around, tamper: Option<Arc<Tamper>>) -> Result<Self> {
        let client = around.api.client("system:kubelet", NAMESPACE);
        let nodes: Api<Node> = Api::all(client.clone());
        for number in 0..NODES {
            let node = json!({ "metadata": { "name": node_name(number) }, "spec": {}, "status": { "conditions": [
                { "type": "Ready", "status": "True" },
            ] } });
            nodes
                .create(&PostParams::default(), &serde_json::from_value(node)?)
                .await
                .context("make a node")?;
        }
        let probe = reqwest::Client::builder().no_proxy().timeout(probes::BEFORE).build()?;
        let (pods, trouble, found) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let begun = bot::Begun::default();
        let shared = Arc::new(Shared { around, client, probe, tamper, pods, trouble, begun, found });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Ok(Self { shared, task })
    }

    /// Names of the pods that are there.
    #[must_use]
    pub fn pods(&self) -> Vec<String> {
        let kept = self.shared.pods();
        let there = kept.values().filter(|kept| !kept.is_lost);
        let mut names: Vec<_> = there.map(|kept| kept.pod.name_any()).collect();
        names.sort();
        names
    }

    /// How often containers were started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.shared.pods().values().map(|kept| kept.restarts).sum()
    }

    /// What went wrong last, and how the pods are.
    #[must_use]
    pub fn describe(&self) -> String {
        let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let each = |kept: &Kept| {
            format!("{} ready {} restarts {}", kept.pod.name_any(), kept.is_ready, kept.restarts)
        };
        let pods: Vec<_> = self.shared.pods().values().map(each).collect();
        format!("{pods:?} {trouble}")
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
        for (_, kept) in std::mem::take(&mut *self.shared.pods()) {
            if let Some(process) = kept.process {
                process.end();
            }
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut seen = [0; 2];
        loop {
            let restarted = self.keep_containers();
            // What changed meanwhile is seen by the next look.
            let versions = ["pods", "statefulsets.apps"].map(|kind| self.around.api.version_of(kind));
            let found = self.found.swap(false, Ordering::Relaxed);
            if restarted || found || versions != seen || self.waits() {
                let looked = self.look().await;
                if let Err(error) = &looked {
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
                }
                seen = if looked.is_ok() { versions } else { [0; 2] };
            }
            if let Err(error) = self.renew_tokens().await {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
            }
            self.probe_all().await;
            tokio::time::sleep(PACE).await;
        }
    }

    fn pods(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a pod is on its way out, or has news.
    fn waits(&self) -> bool {
        self.pods()
            .values()
            .filter(|kept| !kept.is_lost)
            .any(|kept| kept.deadline.is_some() || kept.reported != Some((kept.is_ready, kept.restarts)))
    }

    /// Starts containers again that ended.
    fn keep_containers(&self) -> bool {
        let mut restarted = false;
        for kept in self.pods().values_mut() {
            if kept.dies.swap(false, Ordering::Relaxed)
                && let Some(process) = kept.process.take()
            {
                process.kill();
            }
            let stays = kept.deadline.is_some() || kept.is_lost;
            if stays || kept.process.as_ref().is_some_and(|process| !process.has_ended()) {
                continue;
            }
            kept.is_ready = false;
            let since = *kept.ended.get_or_insert_with(Instant::now);
            if since.elapsed() >= AGAIN {
                (kept.ended, kept.restarts) = (None, kept.restarts + 1);
                if let Some(process) = kept.process.take() {
                    process.kill();
                }
                kept.process = self.start(&kept.pod, kept.address, &kept.dies).ok();
                restarted = true;
            }
        }
        restarted
    }

    async fn look(&self) -> Result<()> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let all = ListParams::default();
        let (standing, pods) = (sets.list(&all).await?.items, api.list(&all).await?.items);
        let wanted = wanted(&standing, &pods, |ordinal| node_name(ordinal % NODES));
        for pod in &wanted.missing {
            make(&self.client, NAMESPACE, pod).await?;
        }
        for name in &wanted.spare {
            let _ = api.delete(name, &DeleteParams::default()).await.context("delete a pod")?;
        }
        for name in &wanted.finished {
            let none = json!({ "metadata": { "finalizers": null } });
            sets.patch(name, &PatchParams::default(), &Patch::Merge(none)).await.context("finish a set")?;
        }
        for (name, status) in &wanted.told {
            // It may be gone by now.
            drop(sets.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await);
        }
        while self.around.api.collect_garbage() > 0 {}
        let pods = api.list(&all).await?.items;
        self.forget_deleted(&pods);
        for pod in pods {
            self.keep(&api, pod).await?;
        }
        self.tell(&api).await
    }

    /// Pods that are gone from the API server end at once, but not where nobody could have been told.
    fn forget_deleted(&self, pods: &[Pod]) {
        let is_there = |uid: &String| pods.iter().any(|pod| pod.meta().uid.as_ref() == Some(uid));
        let gone = |uid: &String, kept: &mut Kept| !is_there(uid) && !kept.is_lost;
        let gone: Vec<_> = self.pods().extract_if(.., gone).collect();
        gone.into_iter().filter_map(|(_, kept)| kept.process).for_each(Process::end);
    }

    async fn keep(&self, api: &Api<Pod>, pod: Pod) -> Result<()> {
        let (uid, name) = (pod.uid().unwrap_or_default(), pod.name_any());
        let ends = pod.meta().deletion_timestamp.is_some();
        let is_known = self.pods().contains_key(&uid);
        if !ends && !is_known {
            return self.take_on(uid, pod).await;
        }
        if !ends {
            return self.look_at_secrets(&uid, pod).await;
        }
        if self.has_ended(&uid, &pod) {
            let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
            let at_once = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(preconditions),
                ..DeleteParams::default()
            };
            let _ = api.delete(&name, &at_once).await.context("let a pod go")?;
            if let Some(process) = self.pods().remove(&uid).and_then(|kept| kept.process) {
                process.end();
            }
            self.tell_names();
        }
        Ok(())
    }

    /// Makes a new pod's volumes and starts its container.
    async fn take_on(&self, uid: String, pod: Pod) -> Result<()> {
        let address = self.around.network.address();
        self.fill_volumes(&uid, &pod, |_| true).await?;
        let dies = Arc::new(AtomicBool::new(false));
        let process = Some(self.start(&pod, address, &dies)?);
        let kept = Kept {
            pod,
            address,
            process,
            dies,
            restarts: 0,
            is_ready: false,
            probed: Instant::now(),
            ended: None,
            deadline: None,
            reported: None,
            since: self.around.wall.now(),
            tokens: Instant::now(),
            is_lost: false,
        };
        self.pods().insert(uid, kept);
        self.tell_names();
        Ok(())
    }

    fn start(&self, pod: &Pod, address: IpAddr, dies: &Arc<AtomicBool>) -> Result<Process> {
        let variables = environment(pod, container(pod)?, &address.to_string())?;
        let account = format!("system:serviceaccount:{NAMESPACE}:{}", shards(BOT));
        let name = &pod.uid().unwrap_or_default();
        let host =
            Host { name, address, is_pod: true, user: &account, variables, tamper: self.tamper.clone() };
        let machine = self.around.machine(host)?;
        let (ping, die) = (bot::Ping(self.begun.clone()), bot::Die(Arc::clone(dies)));
        Ok(Process::begin(machine, |machine| async move {
            let runs = Bot::on(machine)?;
            let intents = Intents::GUILD_MESSAGES | Intents::DIRECT_MESSAGES | Intents::MESSAGE_CONTENT;
            Ok(runs.intents(intents).command(ping).command(die).run().await?)
        }))
    }

    /// Whether a pod that was told to end has, or must have by now.
    fn has_ended(&self, uid: &str, pod: &Pod) -> bool {
        let mut pods = self.pods();
        let Some(kept) = pods.get_mut(uid) else { return true };
        if kept.is_lost {
            return false;
        }
        let grace = pod.meta().deletion_grace_period_seconds.and_then(|grace| u64::try_from(grace).ok());
        if kept.deadline.is_none() {
            kept.deadline = Some(Instant::now() + Duration::from_secs(grace.unwrap_or(30)));
            if let Some(process) = &kept.process {
                process.signal();
            }
        }
        kept.process.as_ref().is_none_or(Process::has_ended)
            || kept.deadline.is_some_and(|at| at <= Instant::now())
    }

    /// What DNS would say of pods.
    fn tell_names(&self) {
        for kept in self.pods().values().filter(|kept| !kept.is_lost) {
            let name = kept.pod.name_any();
            if let Some((bot, ..)) = parse_pod(&name) {
                let name = format!("{name}.{}.{NAMESPACE}.svc", shards(bot));
                self.around.network.name(name, vec![kept.address]);
            }
        }
    }
}

fn node_name(number: u32) -> String {
    format!("node-{number}")
}
