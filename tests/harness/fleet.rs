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

use anyhow::{Context, Result, bail};
use discord_sim::{Discord, EventFilter, FAKE_TOKEN, Generate, Ledger, LedgerQuery, Options};
use door::Door;
use ground::Ground;
use judge::Judge;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use kubelet::Kubelet;
use pod::Around;
use proxy::Proxy;
use replicas::{Asked, Replicas};
use schedule::Shape;
use serde_json::json;
use shard_contract::identify::{IDENTIFY_PATH, IdentifyRequest, Priority};
use shard_contract::names::parse_pod;
use shard_operator::crd::ShardedBot;
use std::collections::BTreeMap;
use std::net::SocketAddr;
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

/// Whose ways to the API server have a [`Proxy`] on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// Nobody's.
    Nobody,
    /// Each operator's, by its place.
    Operators,
    /// The pods', one for all of them.
    Pods,
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
        Self::start_proxied(ground, shape, Proxied::Nobody).await
    }

    /// The same, with proxies before the API server.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start_proxied(ground: &Arc<Ground>, shape: Shape, whose: Proxied) -> Result<Self> {
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
            if whose == Proxied::Operators {
                proxies.push(proxy(ground, &kubeconfig).await?);
            } else {
                ground.write_kubeconfig(&kubeconfig, api.address())?;
            }
            kubeconfigs.push(kubeconfig);
        }
        let pods = (whose == Proxied::Pods).then(|| folder.join("kubeconfig-of-pods"));
        if let Some(pods) = &pods {
            proxies.push(proxy(ground, pods).await?);
        }
        let around = Around {
            ground: Arc::clone(ground),
            client: ground.client().await?,
            patient: client.clone(),
            api: api.address(),
            kubeconfig: pods,
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

    /// Waits until the ledger is as wanted; returns it.
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
            self.go_on(what, most, started, &found).await?;
        }
    }

    /// Waits until something is as wanted: asked again and again, it says what it found instead.
    ///
    /// # Errors
    /// After `most`, with what was last found; at once when asking itself fails.
    pub async fn wait(
        &self,
        what: &str,
        most: Duration,
        mut ask: impl AsyncFnMut() -> Result<Result<(), String>>,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            let Err(found) = ask().await? else { return Ok(()) };
            self.go_on(what, most, started, &found).await?;
        }
    }

    /// Between two looks.
    async fn go_on(&self, what: &str, most: Duration, started: Instant, found: &str) -> Result<()> {
        if started.elapsed() > most {
            let trouble = self.kubelet.trouble();
            bail!("waited {} s for {what}: {found}; the kubelet's last trouble: {trouble:?}", most.as_secs());
        }
        // The pace of asking, not a time that anything depends on.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    /// Discord's ledger; an event without an answer counts at once.
    ///
    /// # Panics
    /// When making it does.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.discord.ledger(LedgerQuery::default())
    }

    /// Users write messages that ask for an answer, so many a second, until they are stopped.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub fn talk(&self, rate: f64) -> Result<()> {
        let talk = Generate { rate: Some(rate), ..Generate::default() };
        Ok(self.discord.act(move |discord| discord.generate(&talk)).map(drop)?)
    }

    /// Users write no more.
    pub fn hush(&self) {
        self.discord.act(Discord::stop_generating);
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

    /// Names and UIDs of the pods that there are.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn uids(&self) -> Result<BTreeMap<String, String>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let listed = pods.list(&ListParams::default()).await.context("list pods")?;
        Ok(listed.items.iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect())
    }

    /// Waits until another pod of this name stands where one of these UIDs was.
    ///
    /// # Errors
    /// After `most`, or when the API server does not answer.
    pub async fn replaced(&self, pod: &str, before: &BTreeMap<String, String>, most: Duration) -> Result<()> {
        self.wait("another pod in its place", most, async || {
            let now = self.uids().await?;
            let is_new = now.contains_key(pod) && now.get(pod) != before.get(pod);
            Ok(if is_new { Ok(()) } else { Err(format!("{now:?}")) })
        })
        .await
    }

    /// What each replica's gate says to a pod that asks for what is not its own.
    ///
    /// # Errors
    /// When no pod runs that could ask.
    pub async fn doors(&self) -> Result<Vec<GateSays>> {
        let (pod, token) = self.kubelet.gate_token()?;
        let (_, layout, _) = parse_pod(&pod).context("a pod that is none of ours")?;
        let ask = IdentifyRequest { layout, shards: vec![u32::from(u16::MAX)], priority: Priority::Live };
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
        let mut all = Vec::new();
        for gate in (0..self.replicas.count()).filter_map(|place| self.replicas.gate(place)) {
            let call = http.post(format!("http://{gate}{IDENTIFY_PATH}")).bearer_auth(&token).json(&ask);
            all.push(match call.send().await.map(|answer| answer.status().as_u16()) {
                Ok(403) => GateSays::NotYours,
                Ok(421) => GateSays::AskTheLeader,
                Ok(status) => GateSays::Else(status),
                Err(_) => GateSays::Nothing,
            });
        }
        Ok(all)
    }

    /// A condition of the bot: its status, reason and message.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn condition(&self, name: &str) -> Result<Option<(String, String, String)>> {
        let bot = self.bots().get(BOT).await?;
        let conditions = bot.status.map(|status| status.conditions).unwrap_or_default();
        let found = conditions.into_iter().find(|one| one.type_ == name);
        Ok(found.map(|one| (one.status, one.reason, one.message)))
    }

    /// Deletes a pod, as a user or a drain does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self, pod: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let _ = pods.delete(pod, &DeleteParams::default()).await.context("delete a pod")?;
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
        guilds: shape.shards * 4,
        shards: Some(shape.shards),
        max_concurrency: shape.buckets,
        seed: shape.seed,
        time_factor: f64::from(TIME_FACTOR),
        heartbeat_interval: Duration::from_millis(shape.heartbeat_ms),
        session_life: Duration::from_secs(20),
        ..Options::default()
    }
}
