//! `/livez`, `/readyz`, `/metrics` and `/peer` over plain HTTP.
//!
//! Live means that the event loop answers, and nothing more: a pod that Discord refuses is not helped by a restart,
//! which would cost IDENTIFYs. Ready means that users can count on every shard; else the answer names those they
//! cannot count on, and why. `/peer` says which pod this is and which it knows to be taken for gone, for [`crate::session::peers`] of others. In a pod all interfaces
//! are listened on, in a local run only loopback; what an unrecognised caller can hold there is bounded ([`shard_serve`]). Deliberately absent:
//! anything secret, and any way to change something.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use shard_contract::{
    env::{HEALTH_PORT, PEER_PATH, Peer},
    report::ShardState,
};
use shard_machine::Tasks;
use shard_serve::ConnectionLimits;
use tokio_util::sync::CancellationToken;

use crate::{
    edges::close_codes::remedy,
    seen::{
        metrics::Metrics,
        status::{ShardStatus, Status},
    },
};

/// Connections at a time: the kubelet and Prometheus need one each, and the other pods, of which each asks at most 64 drawn by
/// lot, some 64; few enough for a small pod's memory. It takes sixteen addresses to lock the kubelet out.
const CONNECTIONS: ConnectionLimits =
    ConnectionLimits { total: 256, unrecognised: 256, per_address: 16, per_caller: 16 };

/// What the pages are made of.
pub(crate) struct Health {
    pub(crate) status: Arc<Status>,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    /// Which pod this is; none in a local run.
    pub(crate) me: Option<Peer>,
}

/// Begins to answer. The address is taken when this returns.
pub(crate) fn serve(health: Health, address: IpAddr, tasks: &Tasks) -> io::Result<SocketAddr> {
    let listener = shard_serve::listen(SocketAddr::new(address, HEALTH_PORT))?;
    let address = listener.local_addr()?;
    // As long as the process: while it stops, too, the pages say so.
    tasks.spawn(shard_serve::serve(listener, pages(health), CONNECTIONS, CancellationToken::new()));
    Ok(address)
}

fn pages(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(PEER_PATH, get(peer))
        .with_state(Arc::new(health))
}

async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    if health.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the pod is stopping\n".to_owned());
    }
    let not_ready = health.status.not_ready();
    if not_ready.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines: String = not_ready.iter().map(why_not).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

/// One line about a shard that is not ready.
fn why_not(shard: &ShardStatus) -> String {
    let why = match (shard.state, shard.fatal_close) {
        (_, Some(code)) => format!("closed for good with {code}, {}", remedy(code)),
        (ShardState::Waiting, _) => "waiting to connect or to identify".to_owned(),
        (ShardState::Identifying, _) => "waiting for READY".to_owned(),
        (ShardState::Resuming, _) => "resuming for too long".to_owned(),
        (state, _) => format!("{state:?}").to_lowercase(),
    };
    format!("shard {}: {why}\n", shard.id)
}

async fn peer(State(health): State<Arc<Health>>) -> Result<Json<Peer>, StatusCode> {
    let me = health.me.clone().ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(Peer { gone: health.status.gone(), ..me }))
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match health.metrics.text() {
        Ok(text) => (StatusCode::OK, [("content-type", OPEN_METRICS)], text),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain")], error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::{job_counts::JobCounts, metrics::Counters};

    #[tokio::test]
    async fn a_peer_is_told_who_this_is_and_whom_it_knows_to_be_taken_for_gone() {
        let status = Arc::new(Status::new(0..1, 1));
        status.set_gone(&["a".to_owned()]);
        let me = Peer { pod_uid: "u".into(), node: "n".into(), gone: Vec::new() };
        let metrics = Metrics::new(Arc::clone(&status), Arc::new(JobCounts::new()), &Counters::default());
        let health = Health { status, metrics, stop: CancellationToken::new(), me: Some(me.clone()) };
        let Json(told) = peer(State(Arc::new(health))).await.unwrap();
        assert_eq!(told, Peer { gone: vec!["a".into()], ..me });
    }

    #[tokio::test]
    async fn ready_only_when_every_shard_is_and_the_answer_names_the_others() {
        let status = Arc::new(Status::new(0..3, 3));
        let metrics = Metrics::new(Arc::clone(&status), Arc::new(JobCounts::new()), &Counters::default());
        let stop = CancellationToken::new();
        let health = Arc::new(Health { status: Arc::clone(&status), metrics, stop: stop.clone(), me: None });
        status.update(0, |shard| shard.enter(ShardState::Online));
        status.update(2, |shard| {
            shard.fatal_close = Some(4014);
            shard.enter(ShardState::Refused);
        });
        let (code, said) = readyz(State(Arc::clone(&health))).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!said.contains("shard 0"), "{said}");
        assert!(
            said.contains("shard 1: waiting to connect")
                && said.contains("shard 2: closed for good with 4014"),
            "{said}"
        );

        for id in 1..3 {
            status.update(id, |shard| {
                shard.fatal_close = None;
                shard.enter(ShardState::Online);
            });
        }
        assert_eq!(readyz(State(Arc::clone(&health))).await, (StatusCode::OK, "ok\n".to_owned()));
        stop.cancel();
        assert_eq!(readyz(State(health)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
