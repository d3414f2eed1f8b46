//! Fleets without nodes: real operators, real bots, the real API server, and a simulated Discord that judges them.
//!
//! From a [`Shape`] to a fleet that is online, to faults, to what Discord's ledger says. Kubernetes' own part, from the
//! StatefulSet to the process, is played by [`kubelet`]; each pod has a network and mounts of its own. Time at Discord passes
//! [`TIME_FACTOR`] times as fast; all rules hold. Deliberately absent: images, the chart, and the operator's own rights,
//! which the tests on a whole cluster have.

pub mod door;
pub mod ground;
pub mod judge;
pub mod kubelet;
pub(crate) mod pod;
pub mod proxy;
pub mod replicas;
pub mod row;
pub mod schedule;
pub(crate) mod sets;
pub mod stage;
pub(crate) mod status;
pub mod storm;
pub mod verdict;

use crate::any_fleet::{AnyFleet, Pace};
use anyhow::{Context, Result};
use discord_sim::{Discord, EventFilter, FAKE_TOKEN, Generate, Ledger, LedgerQuery, Options};
use door::Door;
use ground::Ground;
use judge::Judge;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Client;
use kube::api::{Api, PostParams};
use kubelet::Kubelet;
use pod::Around;
use proxy::Proxy;
use replicas::{Asked, Replicas};
use schedule::Shape;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
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
    pub discord: Judge,
    /// The way of its operators and pods to the API server.
    pub api: Door,
    /// Its operators.
    pub replicas: Replicas,
    /// Ways to the API server that can be tampered with, where they were asked for.
    pub proxies: Vec<Proxy>,
    /// What runs its pods.
    pub kubelet: Kubelet,
}

/// What a gate says to a pod that asks for a shard of nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateSays {
    /// 403: it leads, and looked at what was asked for.
    NotYours,
    /// 421: it does not lead.
    AskTheLeader,
    /// Something else: closed, not yet filled.
    Else(u16),
    /// Nothing.
    Nothing,
}

impl GateSays {
    /// Whether a gate that says so would grant.
    #[must_use]
    pub fn leads(self) -> bool {
        self == Self::NotYours
    }
}

impl Fleet {
    /// Makes everything and asks for the bot; does not wait until it is online.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(ground: &Arc<Ground>, shape: Shape) -> Result<Self> {
        Self::start_with(ground, shape, false).await
    }

    /// The same; `has_proxies`: with a proxy before the API server for each operator.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start_with(ground: &Arc<Ground>, shape: Shape, has_proxies: bool) -> Result<Self> {
        let (namespace, folder) = ground.place()?;
        let client = ground.long_client().await?;
        let listen = format!("{GATEWAY}:0").parse()?;
        let options = Options { listen, ..options(&shape) };
        let discord = Judge::start(ground.discords(), options).await?;
        let made = json!({ "metadata": { "name": namespace } });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(made)?).await?;
        let (server, api) = (Ground::server()?, ground.server_door()?);
        let api = Door::open(api, move || Some(server)).await?;
        let (mut kubeconfigs, mut proxies) = (Vec::new(), Vec::new());
        for place in 0..shape.operators {
            let kubeconfig = folder.join(format!("kubeconfig-{place}"));
            if has_proxies {
                proxies.push(proxy(ground, &kubeconfig).await?);
            } else {
                ground.write_kubeconfig(&kubeconfig, api.address())?;
            }
            kubeconfigs.push(kubeconfig);
        }
        let around = Around {
            ground: Arc::clone(ground),
            client: ground.client().await?,
            patient: client.clone(),
            api: api.address(),
        };
        let kubelet = Kubelet::start(around, &namespace, folder.clone()).await?;
        let asked = Asked {
            namespace: namespace.clone(),
            folder: folder.clone(),
            discord: format!("http://{}", discord.addr()),
            kubeconfigs,
        };
        let replicas = Replicas::start(ground, &asked).await?;
        let ground = Arc::clone(ground);
        let fleet =
            Self { ground, client, namespace, folder, shape, discord, api, replicas, proxies, kubelet };
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

    /// Ends everything of it.
    pub async fn stop(self) {
        self.hush();
        self.kubelet.stop().await;
        self.replicas.stop().await;
        self.discord.stop().await;
    }

    /// Keeps its logs and Discord's ledger where they outlive the ground; returns where.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(&self, name: &str) -> Result<PathBuf> {
        let query = LedgerQuery { events: Some(EventFilter::Lost), ..LedgerQuery::default() };
        write_json(&self.folder.join("ledger.json"), &self.discord.ledger(query))?;
        write_json(&self.folder.join("discord-late-ms.json"), &self.discord.late_ms())?;
        self.ground.keep(&self.folder, name)
    }
}

impl AnyFleet for Fleet {
    fn pace(&self) -> Pace {
        Pace { patience: PATIENCE, look: Duration::from_millis(50), answer: Duration::from_secs(1) }
    }

    fn client(&self) -> Client {
        self.client.clone()
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn shards(&self) -> u32 {
        self.shape.shards
    }

    fn pods(&self) -> Vec<String> {
        self.kubelet.pods()
    }

    fn gates(&self) -> Vec<Option<SocketAddr>> {
        (0..self.replicas.count()).map(|place| self.replicas.gate(place)).collect()
    }

    fn gate_token(&self) -> Result<(String, String)> {
        self.kubelet.gate_token()
    }

    fn ledger_of(&self, query: LedgerQuery) -> Ledger {
        self.discord.ledger(query)
    }

    fn generate(&self, talk: Generate) -> Result<()> {
        Ok(self.discord.act(move |discord| discord.generate(&talk)).map(drop)?)
    }

    fn hush(&self) {
        self.discord.act(Discord::stop_generating);
    }

    fn trouble(&self) -> String {
        format!("the kubelet's last trouble: {:?}", self.kubelet.trouble())
    }
}

/// A proxy, and the kubeconfig that leads to it.
async fn proxy(ground: &Ground, kubeconfig: &Path) -> Result<Proxy> {
    let at = SocketAddr::new(GATEWAY.parse()?, ground.port());
    let proxy = Proxy::start(ground.long_client().await?, at).await?;
    proxy.write_kubeconfig(kubeconfig)?;
    Ok(proxy)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    std::fs::write(path, serde_json::to_string_pretty(value)?)
        .with_context(|| format!("write {}", path.display()))
}

/// The Discord of such a fleet.
fn options(shape: &Shape) -> Options {
    Options {
        // Many, so that in no channel more is asked at a time than is handled.
        guilds: shape.shards * 40,
        shards: Some(shape.shards),
        max_concurrency: shape.buckets,
        seed: shape.seed,
        time_factor: f64::from(TIME_FACTOR),
        heartbeat_interval: Duration::from_millis(shape.heartbeat_ms),
        session_life: Duration::from_secs(20),
        ..Options::default()
    }
}
