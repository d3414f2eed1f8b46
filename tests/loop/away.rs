//! An API server that is stopped and started again.
//!
//! Deliberately absent: leases and ways to it, which need no process (`tests/virtual/leaders.rs`).

use anyhow::{Result, ensure};
use discord_sim::{DropConnections, How as End};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::PATIENCE;
use shard_tests::fleet::schedule::{ONE, Shape};
use shard_tests::fleet::stage::{Stage, Way};
use std::time::Duration;

const TWO: Shape = Shape { operators: 2, ..ONE };
/// How long it is stopped, for everybody: longer than any lease is good for.
const STOPPED: Duration = Duration::from_secs(25);

pub fn server_stopped(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("server-stopped", &TWO, Way::ProxiesAlone, async |fleet| {
        let before = fleet.uids().await?;
        fleet.talk(10.0)?;
        fleet.ground.api().stop()?;
        let gone = tokio::time::Instant::now();
        let answered = fleet.ledger().events.answered;
        tokio::time::sleep_until(gone + STOPPED).await;
        let ledger = fleet.ledger();
        ensure!(ledger.events.answered > answered, "nobody was answered while it was away");
        ensure!(ledger.sessions.iter().all(|session| session.connected), "connections were lost");
        fleet.ground.api().start()?;
        fleet.leader().await?;
        // The gate grants again, and everybody is answered.
        fleet.discord.drop_connections(DropConnections::all(End::Invalid))?;
        fleet
            .until("an IDENTIFY by the gate", PATIENCE, |ledger| {
                if ledger.identifies == 2 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.online().await?;
        fleet.hush();
        fleet.settled().await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}
