//! A fleet's life: online, answering, killed, deleted, and online again.

use crate::Stage;
use anyhow::{Context, Result, ensure};
use discord_sim::Ledger;
use shard_tests::fleet::schedule::Shape;
use shard_tests::fleet::{Fleet, PATIENCE};

/// Two pods, four shards, two buckets, one operator.
pub const SMALL: Shape = Shape { seed: 1, pods: 2, shards: 4, buckets: 2, operators: 1 };
/// The same with two operators.
pub const TWO_OPERATORS: Shape = Shape { operators: 2, ..SMALL };

/// Runs a test on a fleet of this shape that is online, judges it, ends it, and keeps its logs when it failed.
pub fn on_a_fleet(
    stage: &Stage,
    name: &str,
    shape: &Shape,
    test: impl AsyncFnOnce(&Fleet) -> Result<()>,
) -> Result<()> {
    stage.runtime.block_on(async {
        let fleet = Fleet::start(&stage.ground, shape.clone()).await?;
        let outcome = async {
            fleet.online().await.context("come online")?;
            test(&fleet).await?;
            rules_were_kept(&fleet.ledger())
        };
        let outcome: Result<()> = outcome.await;
        let kept = outcome.is_err().then(|| fleet.keep(name));
        fleet.stop().await;
        match kept {
            None => outcome,
            Some(Ok(kept)) => outcome.with_context(|| format!("logs: {}", kept.display())),
            Some(Err(error)) => outcome.with_context(|| format!("no logs: {error:#}")),
        }
    })
}

/// Nothing that is never right happened.
pub fn rules_were_kept(ledger: &Ledger) -> Result<()> {
    let verdict = ledger.verdict();
    ensure!(verdict.keeps_the_rules(), "{verdict}: {:?}", ledger.violation_details);
    ensure!(verdict.lost == 0 && verdict.doubled == 0 && verdict.unknown_routes == 0, "{verdict}");
    Ok(())
}

pub fn comes_online(stage: &Stage) -> Result<()> {
    on_a_fleet(stage, "comes-online", &SMALL, async |fleet| {
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 4, "{} IDENTIFYs for 4 shards", ledger.identifies);
        fleet.talk(20.0)?;
        fleet
            .until("answers", PATIENCE, |ledger| {
                let answered = ledger.events.answered;
                if answered >= 20 { Ok(()) } else { Err(format!("{answered} answered")) }
            })
            .await?;
        fleet.hush();
        fleet.settled(PATIENCE).await.map(drop)
    })
}

pub fn a_killed_container(stage: &Stage) -> Result<()> {
    on_a_fleet(stage, "a-killed-container", &SMALL, async |fleet| {
        fleet.talk(20.0)?;
        let pods = fleet.kubelet.pods();
        fleet.kubelet.kill(&pods[0]);
        fleet
            .until("the container's shards to resume", PATIENCE, |ledger| {
                if ledger.resumes >= 2 { Ok(()) } else { Err(format!("{} resumes", ledger.resumes)) }
            })
            .await?;
        fleet.online().await?;
        fleet.hush();
        let ledger = fleet.settled(PATIENCE).await?;
        ensure!(ledger.identifies == 4, "{} IDENTIFYs: a crash cost some", ledger.identifies);
        Ok(())
    })
}
