//! The ten thousand callers again, over real HTTP: each with a connection of its own to the gate's own server.
//!
//! From: the server in this process on loopback, and the pods in another one ([`super::crowd`]), so that the memory is the
//! server's alone. A stand-in for the API server accepts each pod's token; the pods are in the store that watches would fill.
//! Deliberately absent: TLS, which the gate does not speak, and a network.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::http::{Request, Response};
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};
use shard_bench::table::{Row, Target};
use shard_bench::{Scale, process};
use shard_contract::names::{BOT_LABEL, GATE_AUDIENCE, LAYOUT_LABEL};
use shard_operator::callers::Callers;
use shard_operator::crd::Listed;
use shard_operator::gate::Gate;
use shard_operator::http::{AppState, gate_router};
use shard_operator::metrics::Metrics;
use shard_operator::reports::Reports;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::callers::BUCKETS;
use super::crowd::Late;
use super::stage;

/// Until so many pods are connected and wait.
const ARRIVE_WITHIN: Duration = Duration::from_mins(2);
/// A cold start may take 1.03 of 5 s for each turn (see [`super::start`]), and a bucket is free after 5.12 s.
const MOST_LATE_MS: f64 = 30.0;

pub async fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let pods = scale.of(10_000);
    let (gate, leadership) = stage::open(pods, pods, BUCKETS).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server =
        tokio::spawn(axum::serve(listener, gate_router(state(&gate, &leadership, pods)?)).into_future());
    let before = process::memory(std::process::id())?;
    let seconds = scale.of(40).max(8);
    let crowd = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--crowd", &address.to_string(), &pods.to_string(), &seconds.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the callers")?;
    let by = Instant::now() + ARRIVE_WITHIN;
    while gate.totals().calls + u64::from(BUCKETS) < u64::from(pods) {
        ensure!(Instant::now() < by, "only {} of {pods} callers wait", gate.totals().calls);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let each = process::memory(std::process::id())?.saturating_sub(before) / u64::from(pods);
    let said = crowd.wait_with_output().await?;
    ensure!(said.status.success(), "the callers ended with {}", said.status);
    let late: Late = serde_json::from_slice(&said.stdout).context("the callers said no figures")?;
    server.abort();
    let note = format!("{} grants, {BUCKETS} buckets", late.grants);
    let row =
        |what: &str, measured, unit, target, note| Row { what: what.into(), measured, unit, target, note };
    Ok(vec![
        row(
            "... over HTTP: memory of each",
            f64::from(u32::try_from(each)?),
            "bytes",
            None,
            "with its connection, at the server".into(),
        ),
        row("... grant after its turn, p50", late.p50_ms, "ms", None, note.clone()),
        row("... grant after its turn, p99", late.p99_ms, "ms", Some(Target::AtMost(MOST_LATE_MS)), note),
    ])
}

/// All that the server hands on to.
fn state(
    gate: &Gate,
    leadership: &tokio::sync::watch::Sender<shard_operator::lease::Leadership>,
    pods: u32,
) -> anyhow::Result<AppState> {
    let (store, mut watched) = reflector::store::<Listed<Pod>>();
    watched.apply_watcher_event(&watcher::Event::Init);
    for ordinal in 0..pods {
        watched.apply_watcher_event(&watcher::Event::InitApply(pod(ordinal)?));
    }
    watched.apply_watcher_event(&watcher::Event::InitDone);
    let reviewer = tower::service_fn(|request: Request<Body>| async move {
        let body = request.into_body().collect_bytes().await?;
        let answer = review(&serde_json::from_slice(&body)?);
        Ok::<_, anyhow::Error>(Response::new(Body::from(answer.to_string().into_bytes())))
    });
    let [calls, report_rates] = shard_operator::http::rates();
    Ok(AppState {
        callers: Arc::new(Callers::new(kube::Client::new(reviewer, "bots"), vec![store])),
        bodies: Arc::default(),
        gate: gate.clone(),
        reports: Reports::new().0,
        calls,
        report_rates,
        metrics: Arc::new(Metrics::default()),
        leadership: leadership.subscribe(),
        ready: Arc::new(|| true),
    })
}

/// The pod as the API server has it.
fn pod(ordinal: u32) -> anyhow::Result<Listed<Pod>> {
    let caller = stage::pod(ordinal);
    let set = format!("{}-{}", caller.bot, caller.layout);
    let labels = BTreeMap::from([(BOT_LABEL, caller.bot), (LAYOUT_LABEL, caller.layout.to_string())]);
    let owner = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set, "uid": "s", "controller": true });
    Ok(serde_json::from_value(json!({ "metadata": {
        "name": caller.pod, "namespace": caller.namespace, "uid": caller.uid, "labels": labels, "ownerReferences": [owner],
    } }))?)
}

/// A pod's token is its ordinal.
fn review(asked: &Value) -> Value {
    let ordinal = asked["spec"]["token"].as_str().and_then(|token| token.parse().ok()).unwrap_or_default();
    let caller = stage::pod(ordinal);
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": asked["spec"],
        "status": {
            "authenticated": true,
            "audiences": [GATE_AUDIENCE],
            "user": {
                "username": "system:serviceaccount:bots:bench-shards",
                "extra": {
                    "authentication.kubernetes.io/pod-name": [caller.pod],
                    "authentication.kubernetes.io/pod-uid": [caller.uid],
                },
            },
        },
    })
}
