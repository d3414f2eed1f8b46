//! Fleets without nodes: real operators, real bots, the real API server, and a simulated Discord that judges them.
//!
//! From a [`Shape`] to a fleet that is online, to faults, to what Discord's ledger says. Kubernetes' own part, from the
//! StatefulSet to the process, is played by [`kubelet`]; each pod has a network and mounts of its own. Time at Discord passes
//! [`TIME_FACTOR`] times as fast; all rules hold. Deliberately absent: images, the chart, and the operator's own rights,
//! which the tests on a whole cluster have.

pub mod door;
pub mod ground;
pub mod kubelet;
mod pod;
pub mod replicas;
pub mod row;
pub mod schedule;
mod sets;
pub mod storm;
pub mod verdict;

use anyhow::{Context, Result, bail};
use discord_sim::{FAKE_TOKEN, Generate, Ledger, LedgerQuery, Options, Simulator};
use door::Door;
use ground::Ground;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use kubelet::Kubelet;
use pod::Around;
use replicas::{Asked, Replicas};
use schedule::Shape;
use serde_json::json;
use shard_operator::crd::ShardedBot;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use test_cluster::GATEWAY;

/// How many times faster Discord's time passes for fleets.
pub const TIME_FACTOR: u32 = 10;
/// The bot's name, in each namespace.
pub const BOT: &str = "mybot";
/// The longest that a fleet may take to come online or to settle, with all cores busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A fleet.
pub struct Fleet {
    /// What it stands on.
    pub ground: Arc<Ground>,
    /// A client, as the administrator.
    pub client: Client,
    /// Its namespace.
    pub namespace: String,
    /// Its logs and its pods' folders.
    pub folder: PathBuf,
    /// How it was asked for.
    pub shape: Shape,
    /// Its Discord.
    pub discord: Simulator,
    /// The way of its operators and pods to the API server.
    pub api: Door,
    /// Its operators.
    pub replicas: Replicas,
    /// What runs its pods.
    pub kubelet: Kubelet,
}

impl Fleet {
    /// Makes everything and asks for the bot; does not wait until it is online.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(ground: &Arc<Ground>, shape: Shape) -> Result<Self> {
        let (namespace, folder) = ground.place()?;
        let client = ground.client().await?;
        let listen = format!("{GATEWAY}:0").parse()?;
        let discord = Simulator::start(Options { listen, ..options(&shape) }).await?;
        let made = json!({ "metadata": { "name": namespace } });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(made)?).await?;
        let (server, api) = (ground.server()?, ground.server_door()?);
        let api = Door::open(api, move || Some(server)).await?;
        let kubeconfig = folder.join("kubeconfig");
        ground.write_kubeconfig(&kubeconfig, api.address())?;
        let around = Around { ground: Arc::clone(ground), client: client.clone(), api: api.address() };
        let kubelet = Kubelet::start(around, &namespace, folder.clone()).await?;
        let asked = Asked {
            namespace: namespace.clone(),
            folder: folder.clone(),
            discord: format!("http://{}", discord.addr()),
            kubeconfigs: vec![kubeconfig; shape.operators as usize],
        };
        let replicas = Replicas::start(ground, &asked).await?;
        let ground = Arc::clone(ground);
        let fleet = Self { ground, client, namespace, folder, shape, discord, api, replicas, kubelet };
        fleet.ask_for_the_bot().await?;
        Ok(fleet)
    }

    async fn ask_for_the_bot(&self) -> Result<()> {
        let secret = json!({ "metadata": { "name": "mybot-token" }, "stringData": { "token": FAKE_TOKEN } });
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let bot = json!({
            "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot",
            "metadata": { "name": BOT },
            "spec": {
                "tokenSecretRef": { "name": "mybot-token" },
                "shards": self.shape.shards,
                "shardsPerPod": self.shape.shards.div_ceil(self.shape.pods),
                "template": { "spec": { "containers": [{ "name": "bot", "image": "shard-bot" }] } },
            },
        });
        self.bots().create(&PostParams::default(), &serde_json::from_value(bot)?).await?;
        Ok(())
    }

    /// The bots of its namespace.
    #[must_use]
    pub fn bots(&self) -> Api<ShardedBot> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until every shard has a connection; the ledger then.
    ///
    /// # Errors
    /// After [`PATIENCE`], with what is missing.
    pub async fn online(&self) -> Result<Ledger> {
        let total = self.shape.shards;
        self.until("every shard to be connected", PATIENCE, |ledger| {
            let missing = (0..total).filter(|shard| {
                !ledger.sessions.iter().any(|one| one.shard == *shard && one.total == total && one.connected)
            });
            let missing: Vec<_> = missing.collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("shards {missing:?} are not connected")) }
        })
        .await
    }

    /// Waits until the ledger is as wanted.
    ///
    /// # Errors
    /// After `most`, with what was last found.
    pub async fn until(
        &self,
        what: &str,
        most: Duration,
        mut wanted: impl FnMut(&Ledger) -> Result<(), String>,
    ) -> Result<Ledger> {
        let started = Instant::now();
        loop {
            let ledger = self.ledger();
            let Err(found) = wanted(&ledger) else { return Ok(ledger) };
            if started.elapsed() > most {
                let trouble = self.kubelet.trouble();
                bail!(
                    "waited {} s for {what}: {found}; the kubelet's last trouble: {trouble:?}",
                    most.as_secs()
                );
            }
            // The pace of asking, not a time that anything depends on.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Discord's ledger; an event without an answer counts at once.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.discord.control().ledger_of(&LedgerQuery { lost_after_ms: Some(0), ..LedgerQuery::default() })
    }

    /// Users write messages that ask for an answer, so many a second, until they are stopped.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub fn talk(&self, rate: f64) -> Result<()> {
        self.discord.control().generate(&Generate { rate: Some(rate), ..Generate::default() })?;
        Ok(())
    }

    /// Users write no more.
    pub fn hush(&self) {
        self.discord.control().stop_generating();
    }

    /// Waits until every message was answered that any session can still bring.
    ///
    /// # Errors
    /// After `most`, with how many were not.
    pub async fn settled(&self, most: Duration) -> Result<Ledger> {
        self.until("every message to be answered", most, |ledger| {
            let open = ledger.events.lost + ledger.events.waiting;
            if open == 0 { Ok(()) } else { Err(format!("{open} have no answer")) }
        })
        .await
    }

    /// The pods that there are, by name.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self) -> Result<Vec<String>> {
        let pods: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let listed = pods.list(&kube::api::ListParams::default()).await.context("list pods")?;
        Ok(listed.items.iter().map(ResourceExt::name_any).collect())
    }

    /// Deletes a pod, as a user or a drain does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self, pod: &str) -> Result<()> {
        let pods: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let _ = pods.delete(pod, &kube::api::DeleteParams::default()).await.context("delete a pod")?;
        Ok(())
    }

    /// Ends everything of it.
    pub async fn stop(self) {
        self.hush();
        self.kubelet.stop().await;
        self.replicas.stop();
        self.discord.stop().await;
    }

    /// Keeps its logs and Discord's ledger where they outlive the ground; returns where.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(&self, name: &str) -> Result<PathBuf> {
        let query = LedgerQuery {
            events: Some(discord_sim::EventFilter::Lost),
            lost_after_ms: Some(0),
            ..LedgerQuery::default()
        };
        let ledger = self.discord.control().ledger_of(&query);
        write_json(&self.folder.join("ledger.json"), &ledger)?;
        self.ground.keep(&self.folder, name)
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(value)?)
        .with_context(|| format!("write {}", path.display()))
}

/// The Discord of such a fleet.
fn options(shape: &Shape) -> Options {
    Options {
        guilds: shape.shards * 4,
        shards: Some(shape.shards),
        max_concurrency: shape.buckets,
        seed: shape.seed,
        time_factor: f64::from(TIME_FACTOR),
        // In real time: short enough that a zombie is noticed within a run, long enough for a busy machine.
        heartbeat_interval: Duration::from_secs(4),
        session_life: Duration::from_secs(20),
        ..Options::default()
    }
}
