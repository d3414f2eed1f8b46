//! Pods that wait at a gate over HTTP, in a process of their own: when each is granted, against its turn.
//!
//! From an address and a number of pods to a few figures as JSON. Each pod has one connection, which it keeps, and speaks plain
//! HTTP/1.1 on it. A bucket's next turn is 5.12 s after the word about its last grant began to be sent, so its way counts.
//! Deliberately absent: anything that a pod does with its grant.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use shard_contract::identify::{
    IDENTIFIED_PATH, IDENTIFY_PATH, Identified, IdentifyAnswer, IdentifyRequest, Outcome, Priority,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Semaphore};
use tokio::time::Instant;

use super::callers::{BUCKETS, Turns, WINDOW, percentile};

/// Connections that are being made at a time.
const CONNECTING: usize = 128;

/// How late grants came.
#[derive(Debug, Serialize, Deserialize)]
pub struct Late {
    pub grants: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// What all pods share.
struct Crowd {
    address: SocketAddr,
    connecting: Semaphore,
    connected: Barrier,
    turns: Mutex<Turns>,
}

/// Lets so many pods wait there, and times the grants of so many seconds.
pub async fn run(address: SocketAddr, pods: u32, seconds: u32) -> anyhow::Result<Late> {
    let crowd = Arc::new(Crowd {
        address,
        connecting: Semaphore::new(CONNECTING),
        connected: Barrier::new(pods as usize + 1),
        turns: Mutex::new(Turns::default()),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for ordinal in 0..pods {
        tasks.spawn(pod(crowd.clone(), ordinal));
    }
    tokio::select! {
        _ = crowd.connected.wait() => {}
        Some(ended) = tasks.join_next() => ended??,
    }
    // What is timed begins when all wait.
    tokio::time::sleep(Duration::from_secs(3)).await;
    lock(&crowd.turns).late.clear();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds.into())) => {}
        Some(ended) = tasks.join_next() => ended??,
    }
    let mut late = std::mem::take(&mut lock(&crowd.turns).late);
    late.sort_unstable();
    Ok(Late { grants: late.len(), p50_ms: percentile(&late, 50)?, p99_ms: percentile(&late, 99)? })
}

/// Asks, is granted, tells, and asks again; ends only with an error.
async fn pod(crowd: Arc<Crowd>, ordinal: u32) -> anyhow::Result<()> {
    let mut line = {
        let _turn = crowd.connecting.acquire().await?;
        BufReader::new(TcpStream::connect(crowd.address).await?)
    };
    crowd.connected.wait().await;
    let request = IdentifyRequest { layout: 1, shards: vec![ordinal], priority: Priority::Active };
    let request = serde_json::to_string(&request)?;
    loop {
        let answer = call(&mut line, ordinal, IDENTIFY_PATH, &request).await?;
        let IdentifyAnswer::Granted { shard, grant, .. } = serde_json::from_slice(&answer)? else { continue };
        let granted = Instant::now();
        lock(&crowd.turns).granted(shard % BUCKETS, granted, granted + WINDOW);
        for outcome in [Outcome::Sent, Outcome::Ready] {
            let told = serde_json::to_string(&Identified { grant, outcome })?;
            call(&mut line, ordinal, IDENTIFIED_PATH, &told).await?;
        }
    }
}

/// One call and its answer's body.
async fn call(
    line: &mut BufReader<TcpStream>,
    ordinal: u32,
    path: &str,
    body: &str,
) -> anyhow::Result<Vec<u8>> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {ordinal}\r\n");
    let sent = format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    line.get_mut().write_all(sent.as_bytes()).await?;
    let (mut length, mut status) = (0, String::new());
    line.read_line(&mut status).await?;
    loop {
        let mut header = String::new();
        ensure!(line.read_line(&mut header).await? > 0, "the gate closed the connection");
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().context("content-length")?;
        }
    }
    let mut answer = vec![0; length];
    line.read_exact(&mut answer).await?;
    ensure!(status.contains(" 20"), "{path}: {}{}", status, String::from_utf8_lossy(&answer));
    Ok(answer)
}

fn lock(turns: &Mutex<Turns>) -> std::sync::MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}
