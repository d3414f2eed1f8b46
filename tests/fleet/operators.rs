//! An operator whose process is stopped, and goes on as if no time had passed.
//!
//! Deliberately absent: what needs no process (`tests/virtual/operators.rs`).

use crate::life::TWO_OPERATORS;
use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, How};
use shard_tests::fleet::schedule::Shape;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};

/// The leader's process is stopped for longer than its lease is good for, another leads, and then it goes on.
pub fn leader_hangs(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 4, shards: 12, buckets: 1, ..TWO_OPERATORS };
    stage.on_a_fleet("leader-hangs", &shape, Way::Straight, async |fleet| {
        let hung = leader(fleet).await?;
        fleet.discord.drop_connections(DropConnections::all(How::Invalid))?;
        fleet.replicas.hold(hung, true);
        fleet
            .until("an IDENTIFY by the other", PATIENCE, |ledger| {
                if ledger.identifies > 16 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.replicas.hold(hung, false);
        fleet.online().await?;
        let leading = leader(fleet).await?;
        ensure!(leading != hung, "the one that hung leads on");
        Ok(())
    })
}

/// The place of the replica that leads, once one does.
async fn leader(fleet: &Fleet) -> Result<usize> {
    let mut found = None;
    fleet
        .wait("one replica to lead", PATIENCE, async || {
            let doors = fleet.doors().await?;
            found = doors.iter().position(|door| door.leads());
            Ok(if found.is_some() { Ok(()) } else { Err(format!("{doors:?}")) })
        })
        .await?;
    found.context("nobody leads")
}
