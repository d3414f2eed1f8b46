//! The order in which the bot's parts begin and end.
//!
//! Health pages first, then whatever says where the gate and Discord are: in a pod the layouts document, in a local
//! run one made up from the environment, so that everything after it is the same. Then gate, dispatch and one task a
//! shard; and at the end the orderly stop. Deliberately absent: what the parts do.

mod local;
mod pod;
mod source;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use shard_contract::{env, whose::Duty};
use shard_machine::{Machine, Signals};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use twilight_gateway::{EventTypeFlags, Intents, ShardId};

use self::local::connect_local;
use crate::{
    edges::{
        close_codes::remedy,
        config::{Config, Place},
        discord::Discord,
        token::TokenSource,
    },
    error::Error,
    identify::gate::Gate,
    seen::{
        health::{self, Health},
        metrics::{Counters, Metrics},
        status::Status,
    },
    session::{
        fence::Fencing,
        progress::Progress,
        records::{Records, Source},
    },
    shard::{Connector, Refused, ShardTask, Surroundings, inbox},
    stop,
    work::{
        context::Context,
        dispatch::{self, Dispatch, Handlers},
        jobs::Jobs,
        reply::Brake,
    },
};

/// What a shard needs to know of, whatever the author wants.
const ALWAYS: EventTypeFlags = EventTypeFlags::from_bits_retain(
    EventTypeFlags::GATEWAY_HEARTBEAT.bits()
        | EventTypeFlags::GATEWAY_HEARTBEAT_ACK.bits()
        | EventTypeFlags::GATEWAY_HELLO.bits()
        | EventTypeFlags::GATEWAY_INVALIDATE_SESSION.bits()
        | EventTypeFlags::GATEWAY_RECONNECT.bits()
        | EventTypeFlags::READY.bits()
        | EventTypeFlags::RESUMED.bits()
        | EventTypeFlags::GUILD_CREATE.bits()
        | EventTypeFlags::GUILD_DELETE.bits()
        | EventTypeFlags::UNAVAILABLE_GUILD.bits(),
);

/// What is to run, as the author said it.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    pub(crate) intents: Intents,
    pub(crate) handlers: Handlers,
    pub(crate) max_queued_jobs: u32,
    pub(crate) shutdown_timeout: Duration,
}

/// Runs the bot until SIGTERM or Ctrl-C, and then stops in an orderly way.
pub(crate) async fn run(bot: Setup) -> Result<(), Error> {
    let mut signals = bot
        .machine
        .signals
        .listen()
        .map_err(|source| Error::System { attempt: "wait for signals", source })?;
    let parts = Parts::new(&bot)?;
    parts.begin_health(&bot.config, &bot.machine)?;
    let connected = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "stopped before anything was begun");
            return Ok(());
        }
        connected = parts.connect(&bot) => connected?,
    };
    let within = bot.shutdown_timeout;
    let mut running = connected.begin(bot, &parts);
    let refused = tokio::select! {
        biased;
        refused = running.refused.recv() => refused,
        signal = signals.next() => {
            tracing::info!(signal, ?within, "stopping");
            None
        }
    };
    running.end(&parts, Instant::now() + within, &mut signals).await;
    refused
        .map_or(Ok(()), |Refused { shard, code }| Err(Error::Refused { shard, code, remedy: remedy(code) }))
}

/// What begins before anything outside is known.
struct Parts {
    status: Arc<Status>,
    jobs: Jobs,
    counters: Counters,
    stop: CancellationToken,
}

impl Parts {
    fn new(bot: &Setup) -> Result<Self, Error> {
        let jobs =
            Jobs::new(bot.max_queued_jobs, bot.machine.jobs).map_err(|error| Error::Jobs(Box::new(error)))?;
        let status = Arc::new(Status::new(bot.config.shards.clone(), bot.config.total));
        tracing::info!(
            total = bot.config.total,
            shards = ?bot.config.shards,
            job_threads = jobs.threads(),
            place = ?bot.config.place,
            "starting"
        );
        Ok(Self { status, jobs, counters: Counters::default(), stop: CancellationToken::new() })
    }

    fn begin_health(&self, config: &Config, machine: &Machine) -> Result<(), Error> {
        let metrics = Metrics::new(Arc::clone(&self.status), Arc::clone(self.jobs.counts()), &self.counters);
        let me = match &config.place {
            Place::Pod(pod) => {
                Some(env::Peer { pod_uid: pod.uid.clone(), node: pod.node.clone(), gone: Vec::new() })
            }
            Place::Local(_) => None,
        };
        let in_pod = me.is_some();
        let health = Health { status: Arc::clone(&self.status), metrics, stop: self.stop.clone(), me };
        let usual: IpAddr = if in_pod { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::LOCALHOST.into() };
        let address = machine.address.unwrap_or(usual);
        match health::serve(health, address, &machine.tasks) {
            Ok(address) => tracing::info!(%address, "health and metrics"),
            Err(source) if in_pod => {
                return Err(Error::System { attempt: "listen for health checks", source });
            }
            Err(error) => {
                tracing::warn!(port = env::HEALTH_PORT, %error, "going on without health and metrics");
            }
        }
        Ok(())
    }

    /// Learns where everything is.
    async fn connect(&self, bot: &Setup) -> Result<Connected, Error> {
        match &bot.config.place {
            Place::Pod(pod) => self.connect_pod(pod, bot.intents, &bot.machine).await,
            Place::Local(local) => connect_local(local, bot.config.total, &bot.machine).await,
        }
    }
}

/// What is known once everything outside is found.
struct Connected {
    discord: Arc<Discord>,
    token: TokenSource,
    duty: watch::Receiver<Duty>,
    gate: Gate,
    /// None: sessions end with the process.
    records: Option<Source>,
    /// Whether the pod is cut off and must let its shards go.
    fencing: watch::Receiver<Fencing>,
    /// Whether a refusal by Discord ends the process: a person waits for the answer in a local run, while a pod's
    /// restart would only cost IDENTIFYs.
    refusal_ends: bool,
}

/// The running bot.
struct Running {
    shards: JoinSet<()>,
    progress: BTreeMap<u32, Arc<Progress>>,
    records: Option<Records>,
    dispatch: tokio::task::JoinHandle<dispatch::Running>,
    refused: mpsc::UnboundedReceiver<Refused>,
}

impl Connected {
    fn begin(self, bot: Setup, parts: &Parts) -> Running {
        let wanted = wanted(&bot.handlers);
        let most_begun = bot.handlers.most_begun;
        let (to_dispatch, events) = mpsc::channel(dispatch::CHANNEL);
        let dispatch = Dispatch {
            handlers: bot.handlers,
            context: Context {
                jobs: parts.jobs.clone(),
                discord: Arc::clone(&self.discord),
                status: Arc::clone(&parts.status),
                shard: bot.config.shards.start,
                redelivered: false,
                random: bot.machine.random.clone(),
            },
            counters: parts.counters.clone(),
            at_a_time: dispatch::AT_A_TIME,
            brake: Arc::new(Brake::default()),
        };
        bot.machine.tasks.spawn(Arc::clone(&self.discord).keep_current());
        let progress = progress(&bot.config, &bot.machine.path(env::STATE_DIR), self.records.as_ref());
        let records = self.records.map(|source| Records::begin(&source, &progress));
        let around = Surroundings {
            connector: Arc::new(Connector::new(bot.intents, self.token, self.discord)),
            gate: self.gate,
            status: Arc::clone(&parts.status),
            duty: self.duty,
            wanted,
            records: records.clone(),
            fencing: self.fencing,
            most_begun,
            counters: parts.counters.clone(),
            stop: parts.stop.clone(),
            random: bot.machine.random.clone(),
            wall: bot.machine.wall.clone(),
        };
        let (say_refused, refused) = mpsc::unbounded_channel();
        let mut shards = JoinSet::new();
        for (id, progress) in &progress {
            let id = ShardId::new(*id, bot.config.total);
            let say_refused = self.refusal_ends.then(|| say_refused.clone());
            let progress = Arc::clone(progress);
            shards.spawn(keep_shard(id, around.clone(), progress, to_dispatch.clone(), say_refused));
        }
        // A pod that is refused goes on, so that the channel must not close.
        if !self.refusal_ends {
            shards.spawn(hold(say_refused, parts.stop.clone()));
        }
        let dispatch = bot.machine.tasks.spawn(dispatch.run(events, parts.stop.clone()));
        Running { shards, progress, records, dispatch, refused }
    }
}

/// How far each shard is, as an earlier process of this pod left it.
fn progress(config: &Config, state: &Path, records: Option<&Source>) -> BTreeMap<u32, Arc<Progress>> {
    let of = |shard| match records {
        Some(Source { session_group, me, .. }) => {
            Progress::kept(state, *session_group, shard, &me.owner.pod_uid)
        }
        None => Progress::unkept(shard),
    };
    config.shards.clone().map(|shard| (shard, of(shard))).collect()
}

/// Which events are parsed.
fn wanted(handlers: &Handlers) -> EventTypeFlags {
    if handlers.on_event.is_some() {
        EventTypeFlags::all()
    } else if handlers.registry.is_empty() {
        ALWAYS
    } else {
        ALWAYS | EventTypeFlags::MESSAGE_CREATE
    }
}

/// Keeps one shard's task alive: one that panics is begun anew, where its progress says.
async fn keep_shard(
    id: ShardId,
    around: Surroundings,
    progress: Arc<Progress>,
    to_dispatch: mpsc::Sender<inbox::Envelope>,
    say_refused: Option<mpsc::UnboundedSender<Refused>>,
) {
    const AFTER_PANIC: Duration = Duration::from_secs(5);
    loop {
        let inbox = inbox::Inbox::new(to_dispatch.clone(), inbox::HELD);
        match contained(ShardTask::new(id, around.clone(), Arc::clone(&progress), inbox).run()).await {
            Ok(Ok(())) => return,
            Ok(Err(refused)) => {
                if let Some(say_refused) = say_refused {
                    _ = say_refused.send(refused);
                }
                return around.stop.cancelled().await;
            }
            Err(error) => {
                tracing::error!(shard = id.number(), %error, "the shard's task ended, beginning it anew");
            }
        }
        tokio::select! {
            biased;
            () = around.stop.cancelled() => return,
            () = tokio::time::sleep(AFTER_PANIC) => {}
        }
    }
}

/// Runs something in a task of its own, so that its panic stays its own; it ends with whoever waits for it.
pub(crate) async fn contained<T: Send + 'static>(
    run: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let mut task = JoinSet::new();
    task.spawn(run);
    match task.join_next().await {
        Some(ended) => ended,
        // There is one.
        None => std::future::pending().await,
    }
}

async fn hold<T>(_held: T, until: CancellationToken) {
    until.cancelled().await;
}

impl Running {
    /// The orderly stop.
    async fn end(mut self, parts: &Parts, deadline: Instant, signals: &mut Signals) {
        parts.stop.cancel();
        // From here on nothing begins, so that what the records say of it stays true.
        self.progress.values().for_each(|progress| progress.close());
        stop::close(&mut self.shards, deadline).await;
        let parking = stop::park(self.records.as_ref(), deadline);
        let draining = async {
            match self.dispatch.await {
                Ok(running) => stop::drain(running, &parts.jobs, deadline, signals).await,
                Err(error) => tracing::error!(%error, "dispatch had ended"),
            }
        };
        tokio::join!(parking, draining);
    }
}
