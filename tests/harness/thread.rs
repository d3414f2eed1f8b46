//! Whole fleets in one thread, on a clock that is paused: real operators, real pods, an API server and a Discord in memory.
//!
//! From a seed and a ShardedBot to a fleet that lives, to faults, to what Discord's ledger says; an hour takes seconds. Each program is
//! a future with a [`Machine`](shard_machine::Machine) of its own; killed, it is dropped with every task that it began. What connects
//! does so over loopback: peers in the same runtime count as work, so that the clock waits for them. Deliberately absent: rights,
//! images, and what only a process, a file system or a real API server can show (`fleet`, `loop` and `kubernetes`).

pub mod change;
mod containers;
mod delivered;
pub mod each;
pub mod fields;
pub mod inject;
mod kubelet;
mod link;
mod namespace;
mod network;
mod operators;
mod passage;
pub mod row;
pub mod stage;
pub mod standing;
pub mod storm;
pub mod trace;
mod waits;
mod way;

use crate::any_fleet::AnyFleet;
use crate::checkout::root;
use crate::fleet::proxy::Tamper;
use anyhow::{Context, Result, ensure};
use apiserver_sim::{Clock, Options as ApiOptions, Server};
use delivered::Delivered;
use discord_sim::{FAKE_TOKEN, Options, Simulator};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kubelet::Kubelet;
use network::Network;
use operators::Operators;
use serde_json::{Value, json};
use shard_machine::{BootClock, WallClock};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::Instant;
pub use waits::PATIENCE;

/// The namespace of a fleet.
pub const NAMESPACE: &str = "bots";
pub use crate::fleet::BOT;
/// When every story begins: 2026-12-01T00:00:00Z.
const BEGINNING: i64 = 1_796_083_200;

/// What a world is made with.
#[derive(Clone, Debug, Default)]
pub struct Making {
    /// Everything that is random follows from it.
    pub seed: u64,
    /// Replicas of the operator.
    pub operators: u32,
    /// Installations that they belong to, one after the other; 0 is 1.
    pub installations: u32,
    /// Namespaces that they watch; none: all.
    pub watched: Vec<String>,
    /// What Discord is like; its seed and its beginning are the world's.
    pub discord: Options,
    /// Whether hosts may be cut off, or be slow to reach. All that passes between them makes a detour then.
    pub has_ways: bool,
    /// Whose ways to the API server are tampered with.
    pub tampered: Tampered,
}

/// Whose ways to the API server have a [`Tamper`] on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tampered {
    /// Each operator's has one of its own.
    pub operators: bool,
    /// The pods' have one for all of them.
    pub pods: bool,
}

/// Who tampers with what is asked of the API server.
#[derive(Debug, Default)]
pub struct Tampers {
    /// With what each operator asks, by its number; none where nobody does.
    pub of_operators: Vec<Arc<Tamper>>,
    /// With what pods ask.
    pub of_pods: Option<Arc<Tamper>>,
}

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
    /// Who tampers with what is asked of the API server.
    pub tampers: Tampers,
    /// How many shards were asked for last.
    shards: AtomicU32,
    network: Network,
    /// From where operators reach Discord.
    operators_way: IpAddr,
    is_open: watch::Sender<bool>,
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
    namespace::enter()?;
    let delivered = Delivered::new()?;
    let mut runtime = Builder::new_current_thread();
    let _ = runtime.enable_all().start_paused(true).on_thread_park(move || delivered.wait());
    runtime.build()?.block_on(async {
        trace::story_begins();
        story.await
    })
}

/// Where a system keeps files in memory, if it does.
const IN_MEMORY: &str = "/dev/shm";

/// A folder in memory: a story makes hundreds of files, and a disk would take a tenth of its time.
fn in_memory() -> std::io::Result<TempDir> {
    tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir())
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
    /// With operators, and nothing to do yet.
    ///
    /// # Errors
    /// When a part does not start.
    pub async fn begin(making: Making) -> Result<Self> {
        let Making { seed, operators, installations, watched, discord, has_ways, tampered } = making;
        let begun = Instant::now();
        let now = wall(begun);
        let definition = std::fs::read_to_string(root().join("crds/shardedbots.yaml"))?;
        let api =
            Server::new(ApiOptions { clock: Clock::new(now.clone()), seed, ..ApiOptions::new(definition) })?;
        let client = api.client("admin", NAMESPACE);
        let discord = Simulator::start(Options { seed, paused_at: Some(now()), ..discord })
            .await
            .context("start Discord")?;
        let folder = in_memory()?;
        let network = Network::new(has_ways);
        let operators_way = network.address();
        let around = containers::Around {
            api: api.clone(),
            network: network.clone(),
            wall: WallClock::of(now),
            boot: BootClock::of(move || begun.elapsed()),
            seed,
            folder: folder.path().to_owned(),
            is_open: watch::Sender::new(true),
            discord: network.discord(operators_way, discord.addr()).context("make a way to Discord")?,
            discord_itself: discord.addr(),
            machines: Arc::default(),
        };
        let is_open = around.is_open.clone();
        let one = |is_wanted: bool| is_wanted.then(Arc::<Tamper>::default);
        let tampers = Tampers {
            of_operators: (0..operators).filter_map(|_| one(tampered.operators)).collect(),
            of_pods: one(tampered.pods),
        };
        let operators = Operators::begin(
            around.clone(),
            [operators, installations.max(1)],
            watched,
            &tampers.of_operators,
        )
        .await?;
        let kubelet = Kubelet::begin(around, tampers.of_pods.clone()).await?;
        let world = Self {
            api,
            client,
            discord,
            operators,
            kubelet,
            tampers,
            shards: AtomicU32::new(0),
            network,
            operators_way,
            is_open,
            begun,
            _folder: folder,
        };
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
        if let Some(shards) = fields["shards"].as_u64().and_then(|shards| shards.try_into().ok()) {
            self.shards.store(shards, Ordering::Relaxed);
        }
        let mut spec = json!({
            "tokenSecretRef": { "name": "token" },
            "template": { "spec": { "containers": [{ "name": "bot", "image": "shard-bot" }] } },
        });
        if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
            spec.extend(fields);
            spec.retain(|_, value| !value.is_null());
        }
        let bot = json!({ "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot", "metadata": { "name": BOT }, "spec": spec });
        let params = PatchParams::apply("kubectl").force();
        AnyFleet::bots(self).patch(BOT, &params, &Patch::Apply(bot)).await.context("apply the bot")?;
        Ok(())
    }

    /// No message was begun twice as if it were new.
    ///
    /// # Errors
    /// With the messages that were.
    pub fn handled_once(&self) -> Result<()> {
        let twice = self.kubelet.begun_twice();
        ensure!(twice.is_empty(), "begun twice and not marked: {twice:?}");
        Ok(())
    }

    /// Whether operators and pods reach the API server.
    pub fn set_api(&self, is_there: bool) {
        self.is_open.send_replace(is_there);
    }

    /// Whether operators reach Discord, which pods do all the same.
    pub fn set_operators_to_discord(&self, is_there: bool) {
        if is_there {
            self.network.join([self.operators_way]);
        } else {
            self.network.cut([self.operators_way], true);
        }
    }

    /// From now on whatever hosts send each other, or the API server, arrives so much later, and what pods and Discord send each other
    /// so much.
    pub fn delay(&self, delay: Duration, to_discord: Duration) {
        self.network.delay(delay, to_discord);
    }

    /// How long the story has lasted, in its own time.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
