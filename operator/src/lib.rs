//! The operator: keeps every `ShardedBot` as its spec says, by Discord's rules.
//!
//! ```text
//! world ---> observe ---> plan ---> apply ---> world
//!              |           |         |
//!              +-----------+---------+----> report ---> status, events
//! ```
//!
//! Nouns: [`crd`], [`model`], [`names`]. Verbs: [`observe`], [`plan`], [`apply`], [`report`]; only [`reconcile`] knows all
//! four. The gate is part of the world: `observe` reads its figures, `apply` sets its limits, pods ask it over HTTP.
//! Of several
//! replicas one leads, by a [`lease`]; the others answer who. Of several installations one keeps the
//! bots of a namespace, by its [`claims`]. [`run`] wires everything and holds no logic. Deliberately absent: the dashboard, which comes later.

pub mod apply;
pub mod backoff;
pub mod callers;
pub mod claims;
pub mod config;
pub mod context;
pub mod controller;
pub mod crd;
pub mod discord;
pub mod dry_run;
pub mod gate;
pub mod http;
pub mod leader;
pub mod lease;
pub mod metrics;
pub mod model;
pub mod names;
pub mod observe;
pub mod plan;
pub mod rates;
pub mod reads;
pub mod reconcile;
pub mod report;
pub mod reports;
pub mod telemetry;
pub mod watches;
pub mod world;

use callers::Callers;
use claims::Claims;
use config::Config;
use context::{Context, Known, Memory};
use controller::{Filling, Scope};
use crd::Listed;
use discord::{Dated, Discord};
use futures::{Stream, StreamExt, future};
use gate::Gate;
use http::AppState;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use leader::Leader;
use lease::Leadership;
use metrics::Metrics;
use rates::Rates;
use reads::Reads;
use reports::Reports;
use shard_machine::{ClientOptions, Machine, Signals};
use shard_serve::serve;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Rounds of one bot at once, for the steps of a change ...
const ROUNDS_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).expect("it is not 0");
/// ... then one in this time, whoever edits its objects how often.
const ROUND_EVERY: Duration = Duration::from_secs(2);
/// How long rounds may take to end when the process is told to stop, of the 30 s that Kubernetes gives it.
const ROUNDS_END_WITHIN: Duration = Duration::from_secs(10);
/// Bots with large templates that have a round at a time. Each may take some 40 MiB.
const LARGE_AT_A_TIME: usize = 2;

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster to talk to.
    #[error("find the cluster: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] kube::Error),
    /// An address that cannot be listened on.
    #[error("listen on {0}; choose another address with {1}")]
    Listen(std::net::SocketAddr, &'static str, #[source] std::io::Error),
    /// Somebody else may lead now; a fresh process stands by.
    #[error("led, and does no more; the gate was closed first")]
    Lease(#[source] leader::Lost),
    /// No signals.
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or Ctrl-C, then finishes what has begun.
///
/// # Errors
/// When it cannot start; once running, when the lease is lost.
pub async fn run(config: Config, machine: Machine) -> Result<(), Error> {
    let options = ClientOptions { retries: true, ..ClientOptions::default() };
    let client = machine.cluster.client(options).await.map_err(Error::Cluster)?;
    let leases = leader::client(&machine).await.map_err(Error::Cluster)?;
    let (name, url) = (config.addresses.installation.clone(), config.addresses.gate.clone());
    let claims = Claims::new(name, url, leases.clone(), &machine);
    let (leader, leadership) = Leader::new(leases, config.post.clone(), &machine);
    let gate_listener = listen(config.listen_gate, "--listen-gate")?;
    let health_listener = listen(config.listen_health, "--listen-health")?;
    let stop = stop_on_signal(machine.signals.listen().map_err(Error::Signals)?);
    let (reports, changes) = Reports::new();
    let metrics = Arc::new(Metrics::default());
    let memory = Memory::default();
    let scopes = scopes(&client, &config, changes, &metrics, &memory.known);
    let kept = claims.clone();
    let is_kept = move |namespace: &str| kept.holds(namespace, Instant::now());
    let gate = Gate::new(config.addresses.time_factor, leadership.clone(), is_kept, &machine);
    let pods = scopes.iter().map(|scope| scope.pods.clone()).collect();
    let [calls, report_rates] = http::rates();
    let state = AppState {
        callers: Arc::new(Callers::new(client.clone(), pods)),
        bodies: Arc::default(),
        gate: gate.clone(),
        reports: reports.clone(),
        calls,
        report_rates,
        metrics: metrics.clone(),
        ready: ready(&scopes, leadership.clone()),
        leadership,
    };
    tracing::info!(?config, "started");
    let ended = stop.child_token();
    let gate_router = http::gate_router(state.clone());
    let serve_gate = serve(gate_listener, gate_router, http::GATE_CONNECTIONS, ended.clone());
    let health_router = http::health_router(state);
    let serve_health = serve(health_listener, health_router, http::HEALTH_CONNECTIONS, ended.clone());
    let lead = async {
        let handles = Handles { client, gate, claims, reports, memory, metrics, machine };
        let outcome = lead(leader, scopes, handles, &config, &stop).await;
        ended.cancel();
        outcome
    };
    let (ended, (), ()) = future::join3(lead, serve_gate, serve_health).await;
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// What the leader's rounds are made of.
struct Handles {
    client: kube::Client,
    gate: Gate,
    claims: Claims,
    reports: Reports,
    memory: Memory,
    metrics: Arc<Metrics>,
    machine: Machine,
}

/// Waits for the lease, reconciles while it is held, and closes the gate before it is given back or lost for good.
async fn lead(
    mut leader: Leader,
    scopes: Vec<Scope>,
    handles: Handles,
    config: &Config,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let leading_since = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        acquired = leader.acquire() => Some(acquired.since),
    };
    let Some(leading_since) = leading_since else {
        // It may just have been written.
        leader.release().await;
        return Ok(());
    };
    let (gate, claims) = (handles.gate.clone(), handles.claims.clone());
    let ctx = Arc::new(context(handles, config, &scopes, leading_since));
    let rounds = future::join_all(
        scopes.into_iter().map(|scope| scope.run(ctx.clone(), stop.clone().cancelled_owned())),
    );
    let rounds = async {
        tokio::select! {
            biased;
            // The controllers end only when they are stopped; with a list that fails they do not hear it.
            _ = rounds => stop.cancelled().await,
            () = overdue(stop) => tracing::warn!("what was under way is cut off: it did not end in time"),
        }
    };
    let closing = async {
        stop.cancelled().await;
        gate.close().await;
    };
    tokio::select! {
        biased;
        lost = leader.keep() => {
            gate.close().await;
            Err(Error::Lease(lost))
        }
        _ = future::join(closing, rounds) => {
            claims.give_back().await;
            leader.release().await;
            Ok(())
        }
    }
}

/// Comes when rounds have had their time to end after the process was told to.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(ROUNDS_END_WITHIN).await;
}

fn context(handles: Handles, config: &Config, scopes: &[Scope], leading_since: Instant) -> Context {
    let Handles { client, gate, claims, reports, memory, metrics, machine } = handles;
    for scope in scopes {
        memory.watch(scope.bots.clone());
    }
    let reporter =
        Reporter { controller: names::MANAGER.into(), instance: machine.variable(leader::POD_NAME) };
    let addresses = config.addresses.clone();
    let clock = gate.clone();
    let dated = move |token, Dated { said_ms, asked_at, answered_at }| {
        clock.dated(token, said_ms, asked_at, answered_at);
    };
    Context {
        discord: Discord::new(addresses.discord.clone(), addresses.time_factor, machine.wall.clone(), dated),
        gate,
        claims,
        reports,
        recorder: Recorder::new(client.clone(), reporter),
        metrics,
        addresses,
        memory,
        leading_since,
        reads: Reads::new(client.clone()),
        rounds: Rates::new(ROUNDS_AT_ONCE, ROUND_EVERY),
        large: Semaphore::new(LARGE_AT_A_TIME),
        client,
        machine,
    }
}

/// A replica that stands by is ready, so that replicas can be replaced one by one. One that leads is ready when all that it watches is there:
/// of several namespaces those that can be watched at all, for one that is gone keeps nobody from looking after the others.
fn ready(scopes: &[Scope], leadership: watch::Receiver<Leadership>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    let fillings: Vec<_> = scopes.iter().map(Scope::filling).collect();
    Arc::new(move || match *leadership.borrow() {
        Leadership::Standby { .. } => true,
        Leadership::Leading { .. } => {
            let fillings: Vec<Filling> = fillings.iter().map(|filling| filling()).collect();
            fillings.contains(&Filling::Filled) && !fillings.contains(&Filling::Waits)
        }
        Leadership::Over => false,
    })
}

fn scopes(
    client: &kube::Client,
    config: &Config,
    changes: impl Stream<Item = ObjectRef<Listed<crd::ShardedBot>>> + Send + 'static,
    metrics: &Arc<Metrics>,
    known: &Arc<Known>,
) -> Vec<Scope> {
    if config.watch_namespaces.is_empty() {
        return vec![Scope::new(client, None, config.concurrency, changes, metrics, known)];
    }
    let changes = changes.map(|bot| (bot.namespace.clone(), bot));
    let (senders, receivers): (Vec<_>, Vec<_>) = config
        .watch_namespaces
        .iter()
        .map(|namespace| {
            let (sender, receiver) = futures::channel::mpsc::channel(1_024);
            ((namespace.clone(), sender), receiver)
        })
        .unzip();
    tokio::spawn(changes.for_each(move |(namespace, bot)| {
        let mut sender = senders
            .iter()
            .find(|(name, _)| Some(name) == namespace.as_ref())
            .map(|(_, sender)| sender.clone());
        if let Some(sender) = &mut sender {
            let _ = sender.try_send(bot);
        }
        future::ready(())
    }));
    let each = config.watch_namespaces.iter().zip(receivers);
    each.map(|(namespace, changes)| {
        Scope::new(client, Some(namespace), config.concurrency, changes, metrics, known)
    })
    .collect()
}

fn listen(address: std::net::SocketAddr, option: &'static str) -> Result<TcpListener, Error> {
    shard_serve::listen(address).map_err(|source| Error::Listen(address, option, source))
}

fn stop_on_signal(mut signals: Signals) -> CancellationToken {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping");
        stopping.cancel();
    });
    stop
}
