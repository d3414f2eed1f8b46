//! Pods that are killed, told to end, and cut off: what a signal, a file and a link that is down really do.
//!
//! Deliberately absent: what needs no process (`tests/virtual/pods.rs`).

use crate::life::{SMALL, answers, quiet, resumes};
use anyhow::{Context, Result, ensure};
use shard_tests::fleet::schedule::Shape;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};
use std::time::Duration;

/// The longest that the replacement of a lost node's pod may take: it has to be silent for 90 s first.
const REPLACED: Duration = Duration::from_secs(180);

pub fn killed(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("killed", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        answers(fleet, 5).await?;
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        resumes(fleet, 2).await?;
        answers(fleet, 20).await?;
        quiet(fleet).await?;
        no_more_identifies(fleet, 4)
    })
}

pub fn evicted(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("evicted", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        answers(fleet, 5).await?;
        replace(fleet, 0).await?;
        resumes(fleet, 2).await?;
        answers(fleet, 20).await?;
        quiet(fleet).await?;
        no_more_identifies(fleet, 4)
    })
}

/// It goes on running where nobody can reach it; another takes its place; then its link is joined again.
pub fn partitioned(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 3, shards: 3, buckets: 3, ..SMALL };
    stage.on_a_fleet("partitioned", &shape, Way::Straight, async |fleet| {
        let pod = fleet.kubelet.pods().remove(0);
        let before = fleet.uids().await?;
        fleet.talk(10.0)?;
        fleet.kubelet.lose(&pod, false).await?;
        fleet.replaced(&pod, &before, REPLACED).await?;
        fleet.online().await?;
        fleet.kubelet.find_again().await?;
        answers(fleet, 20).await?;
        quiet(fleet).await
    })
}

/// Deletes a pod and waits until another stands in its place.
pub async fn replace(fleet: &Fleet, place: usize) -> Result<()> {
    let pod = fleet.kubelet.pods().into_iter().nth(place).context("no such pod")?;
    let before = fleet.uids().await?;
    fleet.delete(&pod).await?;
    fleet.replaced(&pod, &before, PATIENCE).await
}

pub fn no_more_identifies(fleet: &Fleet, than: u64) -> Result<()> {
    let identifies = fleet.ledger().identifies;
    ensure!(identifies == than, "{identifies} IDENTIFYs, {than} of them at the start");
    Ok(())
}
