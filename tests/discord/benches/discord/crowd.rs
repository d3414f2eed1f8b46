//! A crowd: ten thousand connections at once, each a shard of one fleet, all of them READY in a world of many guilds.
//!
//! From: as many connections as the limit of open files allows. For: the table. They come a few hundred at a time, as the
//! backlog of a listener allows. Deliberately absent: events to them; what idle connections cost is what is asked here.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use discord_sim::LedgerQuery;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::decoder::Transport;
use super::server::Server;
use shard_bench::Scale;
use shard_bench::table::{Row, Target};

/// Connections that are wanted.
const CONNECTIONS: u32 = 10_000;
/// Guilds of each.
const GUILDS_PER_SHARD: u32 = 10;
/// Those that are on their way in at once.
const AT_ONCE: usize = 256;
/// Open files that a process needs beside its connections.
const OTHERS: u32 = 100;

/// How long they take to enter, and what they cost.
pub async fn measure(scale: Scale, open_files: u64) -> anyhow::Result<Vec<Row>> {
    let wanted = scale.of(CONNECTIONS);
    let open_files = u32::try_from(open_files).unwrap_or(u32::MAX);
    let total = wanted.min(open_files.saturating_sub(OTHERS));
    let shortage = (total < wanted).then(|| {
        format!(
            "only {open_files} files may be open; for all {wanted}, allow {}: ulimit -Hn",
            wanted + OTHERS
        )
    });
    let guilds = (total * GUILDS_PER_SHARD).to_string();
    let server = Arc::new(Server::start(&["--guilds", &guilds]).await?);
    let (before, cpu, begun) = (server.memory()?, server.cpu_time()?, Instant::now());
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut entering = JoinSet::new();
    for shard in 0..total {
        let (server, gate) = (Arc::clone(&server), Arc::clone(&gate));
        entering.spawn(async move {
            let _turn = gate.acquire().await?;
            server.enter(Transport::Plain, (shard, total)).await
        });
    }
    let mut clients = Vec::new();
    while let Some(entered) = entering.join_next().await {
        clients.push(entered?.context("a shard of the crowd")?);
    }
    let (time, cpu) = (begun.elapsed(), server.cpu_time()?.saturating_sub(cpu));
    let whole = server.memory()?;
    let found: usize = clients.iter().map(|(_, guilds)| guilds).sum();
    ensure!(found.to_string() == guilds, "{found} of {guilds} guilds came");
    let ledger = server.control.ledger(&LedgerQuery::default()).await?;
    let connected = ledger.sessions.iter().filter(|session| session.connected).count();
    ensure!(connected == total as usize, "only {connected} of {total} sessions are still connected");
    Ok(rows(total, wanted, shortage, (time.as_secs_f64(), cpu.as_secs_f64()), (before, whole)))
}

fn rows(
    total: u32,
    wanted: u32,
    shortage: Option<String>,
    (time, cpu): (f64, f64),
    (before, whole): (u64, u64),
) -> Vec<Row> {
    let kib = |bytes: u64| f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX));
    let grown = kib(whole.saturating_sub(before));
    vec![
        Row {
            what: "connections at once, all READY".to_owned(),
            measured: total.into(),
            unit: "connections",
            target: Some(Target::AtLeast(wanted.into())),
            note: shortage.unwrap_or_else(|| "each with its READY and 10 GUILD_CREATEs".to_owned()),
        },
        Row {
            what: "... until the last was READY".to_owned(),
            measured: time,
            unit: "s",
            target: None,
            note: format!("the client's work included; {cpu:.2} s of the simulator's CPU time"),
        },
        Row {
            what: "... and the memory of each".to_owned(),
            measured: grown / f64::from(total.max(1)),
            unit: "KiB",
            target: Some(Target::AtMost(60.0)),
            note: format!("{:.0} MiB in all", kib(whole) / 1024.0),
        },
    ]
}
