//! Memory: what an idle session costs for each transport, and what a hundred thousand guilds take with a fleet in them.
//!
//! From: the resident size of the simulator's process before and after. For: the table. A few sessions enter before it
//! counts, so that what is there once is not counted. Deliberately absent: the kernel's socket buffers, which are no
//! process's memory.

use anyhow::ensure;
use futures::future::try_join_all;

use super::decoder::Transport;
use super::server::Server;
use shard_bench::Scale;
use shard_bench::table::{Row, Target};

/// Sessions that enter before it counts.
const WARM_UP: u32 = 100;
/// Sessions that are counted.
const SESSIONS: u32 = 1000;
/// Guilds of the large world.
const GUILDS: u32 = 100_000;
/// Guilds of each of its shards.
const GUILDS_PER_SHARD: u32 = 1000;
/// A mebibyte.
const MIB: f64 = 1024.0 * 1024.0;

/// What one more identified session costs.
pub async fn per_session(transport: Transport, scale: Scale) -> anyhow::Result<Row> {
    let server = Server::start(&["--guilds", "10"]).await?;
    let total = WARM_UP + scale.of(SESSIONS);
    let mut clients = enter(&server, transport, 0..WARM_UP, total).await?;
    let before = server.memory()?;
    clients.extend(enter(&server, transport, WARM_UP..total, total).await?);
    let grown = server.memory()?.saturating_sub(before);
    Ok(Row {
        what: format!("memory of a session, {}", transport.name()),
        measured: f64_of(grown) / f64::from(scale.of(SESSIONS)) / 1024.0,
        unit: "KiB",
        target: Some(Target::AtMost(60.0)),
        note: match transport {
            Transport::Plain => format!("of {} that are connected, identified and idle", scale.of(SESSIONS)),
            Transport::Zlib | Transport::Zstd => "the compressor's context is most of it".to_owned(),
        },
    })
}

/// The large world: the whole process with its fleet connected, and what of it a guild costs.
pub async fn of_guilds(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let guilds = scale.of(GUILDS);
    let empty = Server::start(&["--guilds", "0"]).await?.memory()?;
    let server = Server::start(&["--guilds", &guilds.to_string()]).await?;
    let alone = server.memory()?;
    let total = guilds / GUILDS_PER_SHARD;
    let clients = enter(&server, Transport::Plain, 0..total, total).await?;
    let found: usize = clients.iter().map(|(_, guilds)| guilds).sum();
    ensure!(found == guilds as usize, "{found} of {guilds} guilds came");
    let whole = server.memory()?;
    Ok(vec![
        Row {
            what: format!("memory of {guilds} guilds and their {total} shards"),
            measured: f64_of(whole) / MIB,
            unit: "MiB in all",
            target: Some(Target::AtMost(200.0)),
            note: "the whole process after every GUILD_CREATE was sent".to_owned(),
        },
        Row {
            what: "memory of a guild, nobody connected".to_owned(),
            measured: f64_of(alone.saturating_sub(empty)) / f64::from(guilds),
            unit: "bytes",
            target: None,
            note: format!("against the same process without guilds, {:.1} MiB", f64_of(empty) / MIB),
        },
    ])
}

async fn enter(
    server: &Server,
    transport: Transport,
    shards: std::ops::Range<u32>,
    total: u32,
) -> anyhow::Result<Vec<(super::client::Client, usize)>> {
    try_join_all(shards.map(|shard| server.enter(transport, (shard, total)))).await
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn f64_of(bytes: u64) -> f64 {
    bytes as f64
}
