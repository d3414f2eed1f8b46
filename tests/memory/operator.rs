//! One operator as a process, on a namespace, with a Discord that knows every token.
//!
//! From a program to a process that has had a round for each bot, and the kernel's peak of its memory. Deliberately absent: the lease of others;
//! each namespace has one of its own.

use anyhow::{Context, Result, ensure};
use axum::routing::get;
use axum::{Json, Router};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use shard_bench::process::peak_memory;
use shard_tests::fleet::ground::Ground;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use test_cluster::GATEWAY;
use tokio::net::TcpListener;

/// The longest that all rounds may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the metrics say of rounds.
const ROUNDS: &str = "shard_operator_reconcile_total{result=\"success\"}";

/// A running one; it ends when it is dropped.
pub(crate) struct Operator {
    child: Child,
    health: String,
}

/// Discord's one route that an operator asks, for whoever asks.
pub(crate) async fn discord() -> Result<String> {
    let answer = json!({
        "url": "wss://gateway.discord.gg", "shards": 2,
        "session_start_limit": { "total": 1000, "remaining": 1000, "reset_after": 3_600_000, "max_concurrency": 1 },
    });
    let router =
        Router::new().route("/api/v10/gateway/bot", get(move || std::future::ready(Json(answer.clone()))));
    let listener = TcpListener::bind(format!("{GATEWAY}:0")).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

impl Operator {
    pub(crate) fn start(ground: &Ground, program: &Path, namespace: &str, discord: &str) -> Result<Self> {
        let kubeconfig = ground.api().cluster().kubeconfig();
        let gate = format!("{GATEWAY}:{}", ground.port());
        let mut command = ground.api().command(program)?;
        let health = format!("{GATEWAY}:{}", ground.port());
        command.arg("run").args([
            format!("--gate-url=http://{gate}"),
            format!("--discord-api={discord}"),
            format!("--watch-namespaces={namespace}"),
            format!("--listen-gate={gate}"),
            format!("--listen-health={health}"),
        ]);
        command.env("KUBECONFIG", kubeconfig).env("POD_NAMESPACE", namespace).env("RUST_LOG", "error");
        command.env("POD_NAME", "operator").env("GATE_ADVERTISE_URL", format!("http://{gate}"));
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start an operator")?;
        Ok(Self { child, health })
    }

    /// Waits until it has had so many rounds that did not fail.
    pub(crate) async fn rounds(&self, wanted: usize) -> Result<()> {
        let begun = Instant::now();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        loop {
            // It is asked before it listens, and while it is busy.
            let text = match http.get(format!("http://{}/metrics", self.health)).send().await {
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            let counts =
                text.lines().filter_map(|line| line.strip_prefix(ROUNDS)?.trim().parse::<f64>().ok());
            let rounds: f64 = counts.sum();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            if rounds >= wanted as f64 {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{rounds} of {wanted} rounds after {} s", PATIENCE.as_secs());
            // The pace of asking.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// In MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let bytes = peak_memory(self.child.id())? as f64;
        Ok(bytes / f64::from(1 << 20))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default()) {
            // It gives its lease back, so that the next one leads at once.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
