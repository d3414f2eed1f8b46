//! Pods that are killed, told to end, and cut off: what a signal, a file and a link that is down really do.
//!
//! Deliberately absent: what needs no process (`tests/virtual/pods.rs`).

use anyhow::Result;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{SMALL, Shape};
use shard_tests::fleet::stage::{Stage, Way};
use std::time::Duration;

/// The longest that the replacement of a lost node's pod may take: it has to be silent for 90 s first.
const REPLACED: Duration = Duration::from_secs(180);

pub fn killed(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("killed", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        fleet.answers(5).await?;
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

pub fn evicted(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("evicted", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        fleet.answers(5).await?;
        fleet.replace(0).await?;
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
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
        fleet.answers(20).await?;
        fleet.quiet().await
    })
}
