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
//! [`run`] wires everything and holds no logic. Deliberately absent: leases and the dashboard, which come later.

pub mod apply;
pub mod callers;
pub mod config;
pub mod context;
pub mod controller;
pub mod crd;
pub mod discord;
pub mod gate;
pub mod http;
pub mod metrics;
pub mod model;
pub mod names;
pub mod observe;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod reports;
pub mod telemetry;
pub mod world;

use callers::Callers;
use config::Config;
use context::{Context, Memory};
use controller::Scope;
use discord::Discord;
use futures::{FutureExt, Stream, StreamExt, future};
use gate::Gate;
use http::Doors;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use metrics::Metrics;
use reports::Reports;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster to talk to.
    #[error("find the cluster: run in a pod, or set KUBECONFIG")]
    Cluster(#[source] kube::Error),
    /// An address that cannot be listened on.
    #[error("listen on {0}; choose another address with {1}")]
    Listen(std::net::SocketAddr, &'static str, #[source] std::io::Error),
    /// A server ended.
    #[error("serve {0}")]
    Serve(&'static str, #[source] std::io::Error),
    /// No signals.
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or Ctrl-C, then finishes what has begun.
///
/// # Errors
/// When it cannot start; once running, only when a server ends by itself.
pub async fn run(config: Config) -> Result<(), Error> {
    let client = kube::Client::try_default().await.map_err(Error::Cluster)?;
    let gate_listener = listen(config.listen_gate, "--listen-gate").await?;
    let health_listener = listen(config.listen_health, "--listen-health").await?;
    let stop = stop_on_signal()?;
    let (reports, changes) = Reports::new();
    let scopes = scopes(&client, &config, changes);
    let metrics = Arc::new(Metrics::default());
    let memory = Memory::default();
    for scope in &scopes {
        memory.watch(scope.bots.clone());
    }
    let reporter = Reporter { controller: names::MANAGER.into(), instance: std::env::var("POD_NAME").ok() };
    let ctx = Arc::new(Context {
        discord: Discord::new(config.addresses.discord.clone()),
        gate: Gate::default(),
        reports: reports.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        metrics: metrics.clone(),
        addresses: config.addresses.clone(),
        memory,
        leading_since: tokio::time::Instant::now(),
        client: client.clone(),
    });
    let readiness: Vec<_> = scopes.iter().map(Scope::readiness).collect();
    let ready = Arc::new(move || readiness.iter().all(|filled| filled()));
    let callers = Arc::new(Callers::new(client, scopes.iter().map(|scope| scope.pods.clone()).collect()));
    let doors = Doors { callers, gate: ctx.gate.clone(), reports, metrics, ready };
    tracing::info!(?config, "started");
    let gate = ctx.gate.clone();
    let closing = stop.clone().cancelled_owned().then(|()| async move { gate.close().await });
    let rounds = future::join_all(
        scopes.into_iter().map(|scope| scope.run(ctx.clone(), stop.clone().cancelled_owned())),
    );
    let serve_gate = serve(gate_listener, http::gate_router(doors.clone()), stop.clone(), "the gate");
    let serve_health = serve(health_listener, http::health_router(doors), stop.clone(), "health and metrics");
    let ((), _, gate, health) = future::join4(closing, rounds, serve_gate, serve_health).await;
    gate.and(health)?;
    tracing::info!("stopped");
    Ok(())
}

fn scopes(
    client: &kube::Client,
    config: &Config,
    changes: impl Stream<Item = ObjectRef<crd::ShardedBot>> + Send + 'static,
) -> Vec<Scope> {
    if config.watch_namespaces.is_empty() {
        return vec![Scope::new(client, None, config.concurrency, changes)];
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
    each.map(|(namespace, changes)| Scope::new(client, Some(namespace), config.concurrency, changes))
        .collect()
}

async fn listen(address: std::net::SocketAddr, option: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen(address, option, source))
}

async fn serve(
    listener: TcpListener,
    router: axum::Router,
    stop: CancellationToken,
    what: &'static str,
) -> Result<(), Error> {
    // Held calls are not waited for: their callers ask again, and the next leader answers.
    let server = axum::serve(listener, router).into_future();
    tokio::select! {
        ended = server => ended.map_err(|source| Error::Serve(what, source)),
        () = stop.cancelled() => Ok(()),
    }
}

fn stop_on_signal() -> Result<CancellationToken, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopping.cancel();
    });
    Ok(stop)
}
