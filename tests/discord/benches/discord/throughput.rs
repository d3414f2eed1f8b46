//! Events a second and core: the generator makes messages, sessions get them, the simulator's CPU time is what it took.
//!
//! From: a paced burst, so that no session falls out of its log. For: the table. Each event goes to one session, since there
//! is one total; the sessions share them. What is made, numbered, written down in the ledger, compressed and sent is all in
//! the figure, as is the kernel's work for both ends of the loopback. Deliberately absent: the client's own time.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use discord_sim::{Generate, LedgerQuery};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::Client;
use super::decoder::Transport;
use super::server::Server;
use shard_bench::Scale;
use shard_bench::table::{Row, Target};

/// A thousand or so for each of a typical bot's shards, and less than 2,500 for the only one.
const GUILDS: usize = 2048;
/// So many are made before it counts.
const WARM_UP: u32 = 20_000;
/// Events of a measurement.
const EVENTS: u32 = 300_000;
/// Messages of each session that are decoded and looked at.
const LOOKED_AT: usize = 4;
/// Nothing may stand still for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures one row.
pub async fn measure(transport: Transport, sessions: u32, scale: Scale) -> anyhow::Result<Row> {
    let guilds = GUILDS.to_string();
    let server = Server::start(&["--guilds", &guilds]).await?;
    let (count, mut counted) = mpsc::unbounded_channel();
    let mut readers = JoinSet::new();
    let mut found = 0;
    for shard in 0..sessions {
        let (client, guilds) = server.enter(transport, (shard, sessions)).await?;
        found += guilds;
        readers.spawn(read(client, count.clone()));
    }
    ensure!(found == GUILDS, "{found} of {GUILDS} guilds came");
    let events = scale.of(EVENTS);
    send(&server, scale.of(WARM_UP).max(sessions * 100), &mut counted, &mut readers).await?;
    let (cpu, begun) = (server.cpu_time()?, Instant::now());
    send(&server, events, &mut counted, &mut readers).await?;
    let (cpu, wall) = (server.cpu_time()?.saturating_sub(cpu), begun.elapsed());
    let ledger = server.control.ledger(&LedgerQuery::default()).await?;
    ensure!(ledger.cut_off == 0, "{} connections were cut off", ledger.cut_off);
    ensure!(ledger.events.replays == 0, "{} events were sent twice", ledger.events.replays);
    Ok(Row {
        what: format!(
            "events to {sessions} session{}, {}",
            if sessions == 1 { "" } else { "s" },
            transport.name()
        ),
        measured: f64::from(events) / cpu.as_secs_f64().max(0.01),
        unit: "events/s a core",
        target: (transport == Transport::Plain).then_some(Target::AtLeast(100_000.0)),
        note: format!(
            "{events} events in {:.2} s of CPU time, {:.2} s in all",
            cpu.as_secs_f64(),
            wall.as_secs_f64()
        ),
    })
}

/// Has events made and waits until every one of them has come.
async fn send(
    server: &Server,
    events: u32,
    counted: &mut mpsc::UnboundedReceiver<u64>,
    readers: &mut JoinSet<anyhow::Error>,
) -> anyhow::Result<()> {
    let content = "A message of some length, as people write them: {n}".to_owned();
    let request = Generate { count: Some(events.into()), paced: true, content, ..Generate::default() };
    server.control.generate(&request).await?;
    let mut missing = u64::from(events);
    while missing > 0 {
        tokio::select! {
            count = tokio::time::timeout(PATIENCE, counted.recv()) => match count {
                Ok(Some(count)) if count <= missing => missing -= count,
                Ok(Some(count)) => bail!("{} more events came than were made", count - missing),
                Ok(None) | Err(_) => bail!("{missing} of {events} events are missing"),
            },
            Some(ended) = readers.join_next() => return Err(ended?),
        }
    }
    Ok(())
}

/// Looks at the first messages and counts the others; ends only with what went wrong.
async fn read(mut client: Client, count: mpsc::UnboundedSender<u64>) -> anyhow::Error {
    let reading = async {
        let mut last = 0;
        for _ in 0..LOOKED_AT {
            let message = client.next().await?;
            let sequence = message["s"].as_u64().unwrap_or_default();
            let content = message["d"]["content"].as_str().unwrap_or_default();
            ensure!(
                message["t"] == "MESSAGE_CREATE" && content.starts_with("A message of") && sequence > last,
                "a message of the generator was expected: {message}"
            );
            last = sequence;
            count.send(1)?;
        }
        loop {
            count.send(client.count().await?)?;
        }
    };
    let ended: anyhow::Result<()> = reading.await;
    ended.err().unwrap_or_else(|| anyhow::anyhow!("reading ended"))
}
