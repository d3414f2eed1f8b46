//! Whole fleets in one thread, on a clock that is paused: real operators, real pods, an API server and a Discord in memory.
//!
//! From a seed and a ShardedBot to a fleet that lives, to faults, to what Discord's ledger says; an hour takes seconds. Each program is
//! a future with a [`Machine`](shard_machine::Machine) of its own; killed, it is dropped with every task that it began. What connects
//! does so over loopback: peers in the same runtime count as work, so that the clock waits for them. Deliberately absent: rights,
//! images, and what only a process, a file system or a real API server can show (`fleet`, `loop` and `kubernetes`).

mod containers;
mod kubelet;
mod link;
mod network;
mod operators;
pub mod row;
pub mod storm;
pub mod trace;

use crate::checkout::root;
use anyhow::{Context, Result, ensure};
use apiserver_sim::{Clock, Options as ApiOptions, Server};
use discord_sim::{FAKE_TOKEN, Ledger, LedgerQuery, Options, Simulator};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kubelet::Kubelet;
use network::Network;
use operators::Operators;
use serde_json::{Value, json};
use shard_machine::WallClock;
use shard_operator::crd::ShardedBot;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::Instant;

/// The namespace of a fleet.
pub const NAMESPACE: &str = "bots";
/// The bot's name.
pub const BOT: &str = "mybot";
/// When every story begins: 2026-12-01T00:00:00Z.
const BEGINNING: i64 = 1_796_083_200;
/// How often it is looked whether what is waited for has come.
const LOOKS: Duration = Duration::from_millis(50);

/// A fleet and all that it stands on.
pub struct World {
    /// The API server.
    pub api: Server,
    /// A client, as the administrator.
    pub client: Client,
    /// The simulated Discord.
    pub discord: Simulator,
    /// Replicas of the operator.
    pub operators: Operators,
    /// Whoever runs pods.
    pub kubelet: Kubelet,
    way: watch::Sender<bool>,
    begun: Instant,
    _folder: TempDir,
}

/// Runs a story in one thread on a paused clock.
///
/// # Errors
/// Those of the story.
pub fn run<T>(seed: u64, story: impl Future<Output = Result<T>>) -> Result<T> {
    // twilight's lots, which belong to the thread.
    fastrand::seed(seed);
    // kube and twilight ask for it even where nothing is encrypted. It may have been installed by another story.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
        trace::story_begins();
        story.await
    })
}

/// A wall clock that goes by the runtime's.
fn wall(begun: Instant) -> impl Fn() -> Timestamp + Send + Sync + Clone + 'static {
    let beginning = Timestamp::from_second(BEGINNING).unwrap_or(Timestamp::UNIX_EPOCH);
    move || {
        let since = SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::MAX);
        beginning.checked_add(since).unwrap_or(Timestamp::MAX)
    }
}

impl World {
    /// With so many replicas of the operator, and nothing to do yet.
    ///
    /// # Errors
    /// When a part does not start.
    pub async fn begin(seed: u64, replicas: u32, discord: Options) -> Result<Self> {
        let begun = Instant::now();
        let now = wall(begun);
        let definition = std::fs::read_to_string(root().join("crds/shardedbots.yaml"))?;
        let api =
            Server::new(ApiOptions { clock: Clock::new(now.clone()), seed, ..ApiOptions::new(definition) })?;
        let client = api.client("admin", NAMESPACE);
        let discord = Simulator::start(Options { seed, paused_at: Some(now()), ..discord })
            .await
            .context("start Discord")?;
        let folder = tempfile::tempdir()?;
        let network = Network::default();
        let wall = WallClock::of(now);
        let around = containers::Around {
            api: api.clone(),
            network: network.clone(),
            wall: wall.clone(),
            seed,
            folder: folder.path().to_owned(),
            way: watch::Sender::new(true),
            machines: Arc::default(),
        };
        let way = around.way.clone();
        let url = format!("http://{}", discord.addr());
        let operators = Operators::begin(around.clone(), &url, replicas).await?;
        let kubelet = Kubelet::begin(around).await?;
        let world = Self { api, client, discord, operators, kubelet, way, begun, _folder: folder };
        world.prepare().await?;
        Ok(world)
    }

    async fn prepare(&self) -> Result<()> {
        let namespace = json!({ "metadata": { "name": NAMESPACE } });
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &serde_json::from_value(namespace)?)
            .await
            .context("make the namespace")?;
        let token = json!({ "metadata": { "name": "token" }, "stringData": { "token": FAKE_TOKEN } });
        Api::<Secret>::namespaced(self.client.clone(), NAMESPACE)
            .create(&PostParams::default(), &serde_json::from_value(token)?)
            .await
            .context("make the token")?;
        Ok(())
    }

    /// Applies a bot with these fields beside its token and template.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn apply(&self, fields: Value) -> Result<()> {
        let mut spec = json!({
            "tokenSecretRef": { "name": "token" },
            "template": { "spec": { "containers": [{ "name": "bot", "image": "shard-bot" }] } },
        });
        if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
            spec.extend(fields);
        }
        let bot = json!({ "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot", "metadata": { "name": BOT }, "spec": spec });
        let params = PatchParams::apply("kubectl").force();
        self.bots().patch(BOT, &params, &Patch::Apply(bot)).await.context("apply the bot")?;
        Ok(())
    }

    /// The bots.
    #[must_use]
    pub fn bots(&self) -> Api<ShardedBot> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Waits until the bot's status satisfies a condition; the time that it took.
    ///
    /// # Errors
    /// With the status as it is then, when it does not within that time.
    pub async fn until(&self, within: Duration, holds: impl Fn(&ShardedBot) -> bool) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let bot = self.bots().get(BOT).await?;
            if holds(&bot) {
                return Ok(begun.elapsed());
            }
            ensure!(
                begun.elapsed() < within,
                "not within {} s; the status is {}; pods: {}",
                within.as_secs(),
                serde_json::to_string_pretty(&bot.status)?,
                self.kubelet.describe()
            );
            tokio::time::sleep(LOOKS).await;
        }
    }

    /// Whether operators and pods reach the API server.
    pub fn set_api(&self, is_there: bool) {
        self.way.send_replace(is_there);
    }

    /// Discord's ledger, an event without an answer counting as lost at once.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.discord.control().ledger_of(&LedgerQuery { lost_after_ms: Some(0), ..LedgerQuery::default() })
    }

    /// How long the story has lasted, in its own time.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
