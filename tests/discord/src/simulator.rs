//! The simulator as a whole: one listener for REST, gateway, control and the page; started, asked, stopped.
//!
//! From: options. For: tests in-process and the binary. It stops when it is dropped.
//! Deliberately absent: TLS; every client is pointed at `http://` and `ws://` (see `main.rs` for how).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::accept;
use crate::arrival::Arrival;
use crate::close_answer::CloseAnswer;
use crate::control::http as control_http;
use crate::control::page;
use crate::discord::{Discord, generate};
use crate::gateway::{self, Client};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::rest;

/// How often sessions are looked at whose time may be over.
const SWEEP: Duration = Duration::from_secs(1);

/// Why the simulator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened at.
    #[error("--listen: cannot listen at {address}; {}", remedy(source.kind()))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// There is no token.
    #[error("no token is known; give at least one")]
    NoToken,
}

/// What to do where an address cannot be listened at.
fn remedy(why: ErrorKind) -> &'static str {
    match why {
        ErrorKind::AddrInUse => {
            "something else listens there, perhaps another simulator: end it, or choose another port (0 takes a free one)"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for root: choose one from 1024 on, or 0 for a free one"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address: use 127.0.0.1 for this machine alone, 0.0.0.0 for every network"
        }
        _ => "choose another address or port (0 takes a free one)",
    }
}

/// A running simulator.
#[derive(Debug)]
pub struct Simulator {
    discord: Arc<Discord>,
    address: SocketAddr,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts one; it answers as soon as this returns.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if options.tokens.is_empty() {
            return Err(StartError::NoToken);
        }
        let address = options.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
        let discord = Arc::new(Discord::new(options));
        let stop = discord.stop.clone();
        let router = router(&discord);
        let stamps = discord.options.paused_at.is_none();
        let serving = accept::accept(listener, router, stamps, stop.clone());
        let (sweeper, courier) = (sweep(Arc::clone(&discord)), deliver(Arc::clone(&discord)));
        let generator = generate::run(Arc::clone(&discord));
        let server = tokio::spawn(async move {
            tokio::join!(serving, sweeper, courier, generator);
        });
        Ok(Self { discord, address, stop, server: Some(server) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `host:port`, as `twilight_http::ClientBuilder::proxy` wants it.
    pub fn rest_proxy(&self) -> String {
        self.address.to_string()
    }

    /// `ws://host:port`, as `twilight_gateway::ConfigBuilder::proxy_url` wants it.
    pub fn gateway_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Everything that happened so far.
    pub fn ledger(&self) -> Ledger {
        self.discord.ledger()
    }

    /// The simulated Discord, with the control methods.
    pub fn control(&self) -> &Arc<Discord> {
        &self.discord
    }

    /// Waits until the ledger satisfies a condition; the ledger then, or as it is when the time is over.
    pub async fn wait_for(
        &self,
        time: Duration,
        mut condition: impl FnMut(&Ledger) -> bool,
    ) -> Result<Ledger, Box<Ledger>> {
        let deadline = tokio::time::Instant::now() + time;
        let mut changes = self.discord.changes();
        loop {
            changes.mark_unchanged();
            let ledger = self.ledger();
            if condition(&ledger) {
                return Ok(ledger);
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(Box::new(ledger));
            }
        }
    }

    /// Ends every connection and waits until the listener is gone.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // Calls that wait for replies may last a minute; nobody is interested in them any more.
            let abort = server.abort_handle();
            if tokio::time::timeout(Duration::from_secs(2), server).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn router(discord: &Arc<Discord>) -> Router {
    let others = Router::new().fallback(others).with_state(Arc::clone(discord));
    let all = rest::router(discord).merge(control_http::router(discord)).merge(page::router()).merge(others);
    // Around the whole: a layer of the router's own would change the path only after it was routed.
    Router::new().fallback_service(MapRequestLayer::new(rest::version::routed).layer(all))
}

/// The gateway at any number of slashes, the page for people, and what does not exist.
async fn others(State(discord): State<Arc<Discord>>, request: Request) -> Response {
    let is_root = request.uri().path().chars().all(|character| character == '/');
    if !is_root {
        let is_api = request.uri().path().starts_with("/api");
        if is_api {
            return rest::unknown_route(&discord, &request);
        }
        return (StatusCode::NOT_FOUND, "There is /, /api/v10, /ledger, /control and /healthz.\n")
            .into_response();
    }
    if !request.headers().contains_key(header::UPGRADE) {
        return page::page();
    }
    if discord.gateway_is_down() {
        return (StatusCode::SERVICE_UNAVAILABLE, "The gateway is down.\n").into_response();
    }
    let query = Query::try_from_uri(request.uri()).map(|Query(query)| query);
    let query = query.map(gateway::Query::of).unwrap_or_default();
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost")
        .to_owned();
    let (mut parts, _) = request.into_parts();
    let arrival = parts.extensions.get::<Arrival>().cloned().unwrap_or_default();
    let close_answer = parts.extensions.get::<CloseAnswer>().cloned().unwrap_or_default();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => {
            let client = Client { host, version: 10, arrival, close_answer };
            gateway::bounded(upgrade).on_upgrade(move |socket| gateway::serve(socket, query, client, discord))
        }
        Err(rejection) => rejection.into_response(),
    }
}

async fn sweep(discord: Arc<Discord>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => discord.sweep(),
            () = discord.stop.cancelled() => return,
        }
    }
}

/// Moves events on to the sessions that get them later than others.
async fn deliver(discord: Arc<Discord>) {
    let bell = Arc::clone(&discord.read().transit.bell);
    loop {
        let next = discord.deliver_arrived();
        let wait = next.map(|next| next.saturating_sub(discord.now()));
        tokio::select! {
            biased;
            () = bell.notified() => {}
            () = tokio::time::sleep(wait.unwrap_or(SWEEP)), if wait.is_some() => {}
            () = discord.stop.cancelled() => return,
        }
    }
}
