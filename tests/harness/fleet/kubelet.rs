//! Everything that would run pods: scheduler, StatefulSet controller, kubelets, garbage collector, in one loop.
//!
//! From what stands in a namespace to processes, and back to the pods' status. Containers that end are started again, also
//! while the API server is away; a pod that is deleted gets SIGTERM and its grace; one on a lost node stays as it is until
//! somebody deletes it by force. Guarantees: what it started ends with it. Deliberately absent: liveness probes, images, and
//! eviction by the API (its budgets need the disruption controller): a drain is a deletion here.

use super::pod::{Around, Running};
use super::sets::{make, wanted};
use super::status::status;
use anyhow::{Context, Result};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub(crate) mod nodes;

use nodes::{NODES, node_name, tell_node};

/// Between two rounds.
const PACE: Duration = Duration::from_millis(100);
/// Between the end of a container and its next start: the kubelet's first restart is at once, later ones wait longer.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a pod may take to say whether it is ready.
const PROBE: Duration = Duration::from_secs(1);

/// Runs the pods of one namespace.
pub struct Kubelet {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    around: Around,
    namespace: String,
    folder: PathBuf,
    probe: reqwest::Client,
    /// By UID.
    pods: Mutex<BTreeMap<String, Kept>>,
    /// The last thing that went wrong, for whoever waits in vain.
    trouble: Mutex<String>,
    /// Held while pods' status is written, so that a node that is lost meanwhile has not the last word.
    telling: tokio::sync::Mutex<()>,
}

/// A pod and what the kubelet knows of it.
#[derive(Debug)]
struct Kept {
    running: Running,
    /// When this node took it on.
    since: Timestamp,
    /// The status that was last written: ready, and how many restarts.
    told: Option<(bool, u32)>,
    is_ready: bool,
    ended_at: Option<Instant>,
    /// When it must have ended.
    deadline: Option<Instant>,
    /// Its node is lost: nobody there speaks with the API server.
    is_lost: bool,
}

impl Kubelet {
    /// Makes the nodes and begins.
    pub(super) async fn start(around: Around, namespace: &str, folder: PathBuf) -> Result<Self> {
        let nodes: Api<Node> = Api::all(around.client.clone());
        for number in 0..NODES {
            let node = json!({ "metadata": { "name": node_name(namespace, number) }, "spec": {} });
            nodes
                .create(&PostParams::default(), &serde_json::from_value(node)?)
                .await
                .context("make a node")?;
            tell_node(&nodes, &node_name(namespace, number), "True", Timestamp::now()).await?;
        }
        let shared = Arc::new(Shared {
            around,
            namespace: namespace.to_owned(),
            folder,
            probe: reqwest::Client::builder().no_proxy().timeout(PROBE).build()?,
            pods: Mutex::default(),
            trouble: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
        });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Ok(Self { shared, task })
    }

    /// Names of the pods that have a process or are about to have one again, by name.
    pub fn pods(&self) -> Vec<String> {
        let mut names: Vec<_> = self.shared.kept().values().map(|kept| kept.running.name.clone()).collect();
        names.sort();
        names
    }

    /// Those of them that were not told to end. What a container handles when it is killed after that is promised to nobody.
    pub fn staying(&self) -> Vec<String> {
        let all = self.shared.kept();
        let staying = all.values().filter(|kept| kept.deadline.is_none());
        let mut names: Vec<_> = staying.map(|kept| kept.running.name.clone()).collect();
        names.sort();
        names
    }

    /// Where a pod can be reached.
    ///
    /// # Errors
    /// When no such pod runs.
    pub fn address(&self, pod: &str) -> Result<String> {
        let all = self.shared.kept();
        let kept = all.values().find(|kept| kept.running.name == pod).context("no such pod runs")?;
        Ok(kept.running.address().to_owned())
    }

    /// How often containers were started again.
    pub fn restarts(&self) -> u32 {
        self.shared.kept().values().map(|kept| kept.running.restarts).sum()
    }

    /// The last thing that went wrong.
    pub fn trouble(&self) -> String {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends a pod's container as the kernel does when memory is short.
    pub fn kill(&self, pod: &str) {
        self.each(pod, |kept| kept.running.signal(Signal::KILL));
    }

    /// Cuts a pod off from everything, or joins it again.
    ///
    /// # Errors
    /// When its link cannot be changed.
    pub fn cut(&self, pod: &str, is_cut: bool) -> Result<()> {
        let mut all = self.shared.kept();
        let kept = all.values_mut().find(|kept| kept.running.name == pod).context("no such pod runs")?;
        if is_cut { kept.running.cut() } else { kept.running.mend() }
    }

    /// Joins every link.
    ///
    /// # Errors
    /// When a link cannot be changed.
    pub fn heal(&self) -> Result<()> {
        for kept in self.shared.kept().values_mut() {
            if kept.running.is_cut {
                kept.running.mend()?;
            }
            kept.is_lost = false;
        }
        Ok(())
    }

    /// Stops playing and ends every process.
    pub async fn stop(self) {
        self.task.abort();
        // It ends at its next await, and nothing is started after that.
        let _ = self.task.await;
        let all = std::mem::take(&mut *self.shared.kept());
        for kept in all.into_values() {
            kept.running.end(&self.shared.around.ground);
        }
    }

    fn each(&self, pod: &str, act: impl Fn(&Kept)) {
        self.shared.kept().values().filter(|kept| kept.running.name == pod).for_each(act);
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.keep_containers();
            if let Err(error) = self.round().await {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
            }
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Kept>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Containers that ended are started again, whether there is an API server or not.
    fn keep_containers(&self) {
        for kept in self.kept().values_mut() {
            if kept.running.is_alive() || kept.deadline.is_some() || kept.is_lost {
                kept.ended_at = None;
                continue;
            }
            kept.is_ready = false;
            let since = *kept.ended_at.get_or_insert_with(Instant::now);
            if since.elapsed() >= AGAIN
                && let Err(error) = kept.running.restart()
            {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
            }
        }
    }

    async fn round(&self) -> Result<()> {
        let sets: Api<StatefulSet> = Api::namespaced(self.around.client.clone(), &self.namespace);
        let api: Api<Pod> = Api::namespaced(self.around.client.clone(), &self.namespace);
        let all = ListParams::default();
        let (sets_now, pods) = (
            sets.list(&all).await.context("list sets")?.items,
            api.list(&all).await.context("list pods")?.items,
        );
        let wanted = wanted(&sets_now, &pods, |ordinal| node_name(&self.namespace, ordinal % NODES));
        for pod in &wanted.missing {
            make(&self.around.client, &self.namespace, pod).await?;
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
        self.forget_deleted(&pods);
        // One pod that cannot be started holds up no other, as on nodes of their own.
        let mut kept = Ok(());
        for pod in &pods {
            kept = self.keep_pod(&api, pod).await.and(kept);
        }
        self.probe_all().await;
        self.tell_status(&api).await.and(kept)
    }

    /// Pods that are gone from the API server end at once, but not where nobody could have been told.
    fn forget_deleted(&self, pods: &[Pod]) {
        let is_there = |uid: &String| pods.iter().any(|pod| pod.meta().uid.as_ref() == Some(uid));
        let mut kept = self.kept();
        let gone = kept.iter().filter(|(uid, kept)| !is_there(uid) && !kept.running.is_cut);
        for uid in gone.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            if let Some(kept) = kept.remove(&uid) {
                kept.running.end(&self.around.ground);
            }
        }
        let hosts = self.hosts(&kept);
        // Nobody can tell those on a lost node.
        for kept in kept.values().filter(|kept| !kept.is_lost) {
            // A pod that cannot be told is found by the test that needs it.
            let _ = kept.running.write_hosts(&hosts);
        }
    }

    /// What DNS would say: each pod by its name, and all of them by their Service's.
    fn hosts(&self, kept: &BTreeMap<String, Kept>) -> String {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for kept in kept.values().filter(|kept| !kept.is_lost) {
            let Some((bot, ..)) = shard_contract::names::parse_pod(&kept.running.name) else { continue };
            let (name, service) = (&kept.running.name, format!("{bot}-shards.{}", self.namespace));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{} {name}.{bot}-shards {name}.{service} {name}.{service}.svc {name}.{service}.svc.cluster.local \
                 {bot}-shards {service} {service}.svc {service}.svc.cluster.local",
                kept.running.address()
            );
        }
        text
    }

    async fn keep_pod(&self, api: &Api<Pod>, pod: &Pod) -> Result<()> {
        let uid = pod.uid().unwrap_or_default();
        let ends = pod.meta().deletion_timestamp.is_some();
        let is_known = self.kept().contains_key(&uid);
        if !ends && !is_known {
            let running = Running::start(&self.around, pod, &self.folder).await?;
            let kept = Kept {
                running,
                since: Timestamp::now(),
                told: None,
                is_ready: false,
                ended_at: None,
                deadline: None,
                is_lost: false,
            };
            self.kept().insert(uid, kept);
            return Ok(());
        }
        if ends && (!is_known || self.has_ended(&uid, pod)) {
            let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
            let at_once = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(preconditions),
                ..DeleteParams::default()
            };
            let _ = api.delete(&pod.name_any(), &at_once).await.context("let a pod go")?;
            let kept = self.kept().remove(&uid);
            if let Some(kept) = kept {
                kept.running.end(&self.around.ground);
            }
        }
        Ok(())
    }

    /// Whether a pod that was told to end has, or must have by now.
    fn has_ended(&self, uid: &str, pod: &Pod) -> bool {
        let mut all = self.kept();
        let Some(kept) = all.get_mut(uid) else { return true };
        if kept.is_lost || kept.running.is_cut {
            return false;
        }
        let grace = pod.meta().deletion_grace_period_seconds.and_then(|grace| u64::try_from(grace).ok());
        let grace = Duration::from_secs(grace.unwrap_or(30));
        if kept.deadline.is_none() {
            kept.running.signal(Signal::TERM);
        }
        let deadline = *kept.deadline.get_or_insert_with(|| Instant::now() + grace);
        !kept.running.is_alive() || Instant::now() >= deadline
    }

    async fn probe_all(&self) {
        let addresses: Vec<_> = {
            let kept = self.kept();
            let probed = kept.iter().filter(|(_, kept)| !kept.running.is_cut && !kept.is_lost);
            probed.map(|(uid, kept)| (uid.clone(), kept.running.address().to_owned())).collect()
        };
        let port = shard_contract::env::HEALTH_PORT;
        let probes = addresses.into_iter().map(|(uid, address)| async move {
            let answer = self.probe.get(format!("http://{address}:{port}/readyz")).send().await;
            (uid, answer.is_ok_and(|answer| answer.status().is_success()))
        });
        for (uid, is_ready) in join_all(probes).await {
            if let Some(kept) = self.kept().get_mut(&uid) {
                kept.is_ready = is_ready;
            }
        }
    }

    async fn tell_status(&self, api: &Api<Pod>) -> Result<()> {
        let _telling = self.telling.lock().await;
        let news: Vec<_> = {
            let kept = self.kept();
            let told = kept.values().filter(|kept| !kept.is_lost && !kept.running.is_cut);
            let changed = told.filter(|kept| kept.told != Some((kept.is_ready, kept.running.restarts)));
            changed
                .map(|kept| {
                    let now = (kept.is_ready, kept.running.restarts);
                    (
                        kept.running.uid.clone(),
                        kept.running.name.clone(),
                        now,
                        status(
                            kept.running.address(),
                            kept.since,
                            Timestamp::now(),
                            kept.is_ready,
                            kept.running.restarts,
                        ),
                    )
                })
                .collect()
        };
        for (uid, name, now, status) in news {
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await
                .context("tell status")?;
            if let Some(kept) = self.kept().get_mut(&uid) {
                kept.told = Some(now);
            }
        }
        Ok(())
    }
}
