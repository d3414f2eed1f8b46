//! An operator whose process is stopped, and goes on as if no time had passed.
//!
//! Deliberately absent: what needs no process (`tests/virtual/operators.rs`).

use anyhow::{Result, ensure};
use discord_sim::{DropConnections, How};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::PATIENCE;
use shard_tests::fleet::schedule::{Shape, TWO_OPERATORS};
use shard_tests::fleet::stage::{Stage, Way};

/// The leader's process is stopped for longer than its lease is good for, another leads, and then it goes on.
pub fn leader_hangs(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 4, shards: 12, buckets: 1, ..TWO_OPERATORS };
    stage.on_a_fleet("leader-hangs", &shape, Way::Straight, async |fleet| {
        let hung = fleet.leader().await?;
        fleet.discord.drop_connections(DropConnections::all(How::Invalid))?;
        fleet.replicas.hold(hung as usize, true);
        fleet
            .until("an IDENTIFY by the other", PATIENCE, |ledger| {
                if ledger.identifies > 16 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.replicas.hold(hung as usize, false);
        fleet.online().await?;
        let leading = fleet.leader().await?;
        ensure!(leading != hung, "the one that hung leads on");
        Ok(())
    })
}
