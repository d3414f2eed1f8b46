//! Pods that are killed, evicted, lost and cut off.

use crate::life::{SMALL, answers, quiet, resumes};
use anyhow::{Context, Result, ensure};
use shard_tests::fleet::schedule::Shape;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};
use std::time::Duration;

/// The longest that the replacement of a lost node's pod may take: it has to be silent for 90 s first.
const REPLACED: Duration = Duration::from_secs(180);

/// Four pods on three nodes: the first and the last share one.
const FOUR: Shape = Shape { pods: 4, buckets: 4, ..SMALL };

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

pub fn all_killed(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 4, shards: 8, ..SMALL };
    stage.on_a_fleet("all-killed", &shape, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        answers(fleet, 5).await?;
        fleet.kubelet.pods().iter().for_each(|pod| fleet.kubelet.kill(pod));
        resumes(fleet, 8).await?;
        answers(fleet, 20).await?;
        quiet(fleet).await?;
        no_more_identifies(fleet, 8)
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

pub fn drained(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 3, shards: 6, ..SMALL };
    stage.on_a_fleet("drained", &shape, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        for place in 0..3 {
            let resumed = fleet.ledger().resumes;
            replace(fleet, place).await?;
            resumes(fleet, resumed + 2).await?;
            fleet.online().await?;
        }
        quiet(fleet).await?;
        no_more_identifies(fleet, 6)
    })
}

pub fn restarts_without_api(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("without-api", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        answers(fleet, 5).await?;
        fleet.api.set(false);
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        resumes(fleet, 2).await.context("resume by the file alone")?;
        answers(fleet, 20).await?;
        fleet.api.set(true);
        quiet(fleet).await?;
        no_more_identifies(fleet, 4)
    })
}

pub fn api_away(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("api-away", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        fleet.api.set(false);
        answers(fleet, 60).await?;
        let before = fleet.ledger();
        ensure!(before.resumes == 0 && before.sessions.iter().all(|session| session.connected));
        fleet.api.set(true);
        quiet(fleet).await?;
        no_more_identifies(fleet, 4)
    })
}

pub fn node_lost(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 3, shards: 3, buckets: 3, ..SMALL };
    stage.on_a_fleet("node-lost", &shape, Way::Straight, async |fleet| {
        let pod = fleet.kubelet.pods().remove(0);
        let before = fleet.uids().await?;
        fleet.kubelet.lose(&pod, true).await?;
        fleet.replaced(&pod, &before, REPLACED).await?;
        fleet.talk(20.0)?;
        quiet(fleet).await
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

/// Two nodes are gone at once, and half of the fleet with them.
pub fn two_nodes_lost(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("two-lost", &FOUR, Way::Straight, async |fleet| {
        let pods = on_two_nodes(fleet)?;
        let before = fleet.uids().await?;
        fleet.talk(10.0)?;
        for pod in &pods {
            fleet.kubelet.lose(pod, true).await?;
        }
        for pod in &pods {
            fleet.replaced(pod, &before, REPLACED).await?;
        }
        answers(fleet, 20).await?;
        quiet(fleet).await?;
        no_more_identifies(fleet, 4 + 2)
    })
}

/// They go on running, reach each other and Discord and nobody else; others take their places; then they are back.
pub fn two_partitioned(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("two-partitioned", &FOUR, Way::Straight, async |fleet| {
        let pods = on_two_nodes(fleet)?;
        let before = fleet.uids().await?;
        fleet.talk(10.0)?;
        fleet.kubelet.lose_together(&pods).await?;
        fleet
            .wait("others in their places", REPLACED, async || {
                one_session_a_shard(fleet)?;
                let now = fleet.uids().await?;
                let replaced =
                    pods.iter().all(|pod| now.contains_key(pod) && now.get(pod) != before.get(pod));
                Ok(if replaced { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        // Discord heard them say so: they were connected until they saw how alone they are.
        let closes = fleet.ledger().closes.get("4000").copied().unwrap_or_default();
        ensure!(closes == 2, "{closes} of 2 shards were let go");
        fleet.online().await?;
        one_session_a_shard(fleet)?;
        fleet.kubelet.find_again().await?;
        answers(fleet, 20).await?;
        one_session_a_shard(fleet)?;
        quiet(fleet).await?;
        no_more_identifies(fleet, 4 + 2)
    })
}

/// Two pods of the fleet that are not on one node, nor on the node of any other.
fn on_two_nodes(fleet: &Fleet) -> Result<[String; 2]> {
    let mut pods = fleet.kubelet.pods().into_iter();
    let [first, second] = [pods.nth(1), pods.next()];
    Ok([first.context("no second pod")?, second.context("no third pod")?])
}

/// Nobody has a session beside another's.
fn one_session_a_shard(fleet: &Fleet) -> Result<()> {
    let sessions = fleet.ledger().sessions;
    for shard in 0..fleet.shape.shards {
        let connected = sessions.iter().filter(|one| one.shard == shard && one.connected).count();
        ensure!(connected <= 1, "shard {shard} has {connected} sessions with a connection");
    }
    Ok(())
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
