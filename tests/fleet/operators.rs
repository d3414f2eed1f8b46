//! Operators that are down, killed, hung, and installed elsewhere.

use crate::life::{SMALL, TWO_OPERATORS, answers, quiet, resumes};
use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, How, ShardOf};
use shard_tests::fleet::schedule::Shape;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE, TIME_FACTOR};
use std::time::Duration;

pub fn both_down(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("both-down", &TWO_OPERATORS, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        (0..2).for_each(|place| fleet.replicas.kill(place));
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        resumes(fleet, 2).await?;
        fleet.discord.drop_connections(DropConnections::all(How::Tcp))?;
        resumes(fleet, 6).await?;
        fleet.online().await?;
        answers(fleet, 20).await?;
        let identifies = fleet.ledger().identifies;
        ensure!(identifies == 4, "{identifies} IDENTIFYs, 4 of them at the start");
        quiet(fleet).await
    })
}

/// Ten minutes of Discord's time with no operator, a tenth of the shards without sessions and a tenth of the pods killed.
pub fn ten_minutes(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 4, shards: 10, ..TWO_OPERATORS };
    stage.on_a_fleet("ten-minutes", &shape, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        (0..2).for_each(|place| fleet.replicas.kill(place));
        let away = tokio::time::Instant::now();
        let lost = ShardOf { id: 3, total: 10 };
        fleet.discord.drop_connections(DropConnections::of(lost, How::Invalid))?;
        fleet.kubelet.kill(&fleet.kubelet.pods()[3]);
        // The shard without a session can come back by its pod's turn alone.
        fleet.online().await.context("come online by the fallback schedule")?;
        answers(fleet, 20).await?;
        let rest = Duration::from_secs(600) / TIME_FACTOR;
        tokio::time::sleep_until(away + rest).await;
        fleet.online().await.context("stay online")?;
        (0..2).try_for_each(|place| fleet.replicas.revive(place))?;
        leader(fleet).await?;
        fleet.discord.drop_connections(DropConnections::of(lost, How::Invalid))?;
        fleet
            .until("an IDENTIFY by the gate", PATIENCE, |ledger| {
                if ledger.identifies >= 12 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        quiet(fleet).await
    })
}

pub fn leader_killed(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 4, shards: 12, buckets: 1, ..TWO_OPERATORS };
    stage.on_a_fleet("leader-killed", &shape, Way::Straight, async |fleet| {
        let before = fleet.ledger().identifies;
        // Everything has to be identified anew, one after the other, and the leader goes in the midst of it.
        fleet.discord.drop_connections(DropConnections::all(How::Invalid))?;
        fleet
            .until("some of the IDENTIFYs", PATIENCE, |ledger| {
                let more = ledger.identifies - before;
                if more >= 4 { Ok(()) } else { Err(format!("{more}")) }
            })
            .await?;
        let leading = leader(fleet).await?;
        fleet.replicas.kill(leading);
        fleet.online().await?;
        fleet.replicas.revive(leading)
    })
}

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

pub fn elsewhere(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("elsewhere", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        let before = fleet.uids().await?;
        fleet.replicas.reinstall().await?;
        leader(fleet).await?;
        // A shard that has to be identified finds the gate at its new address.
        let shard = ShardOf { id: 1, total: 4 };
        fleet.discord.drop_connections(DropConnections::of(shard, How::Invalid))?;
        fleet
            .until("an IDENTIFY by the new gate", PATIENCE, |ledger| {
                if ledger.identifies == 5 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        quiet(fleet).await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

/// The place of the replica that leads, once one does.
pub async fn leader(fleet: &Fleet) -> Result<usize> {
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
