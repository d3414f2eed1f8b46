//! A fleet's life: online, in time, answering.

use anyhow::{Result, ensure};
use shard_tests::fleet::schedule::{HEARTBEAT_MS, Shape};
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE, TIME_FACTOR};

/// Two pods, four shards, two buckets, one operator.
pub const SMALL: Shape =
    Shape { seed: 1, pods: 2, shards: 4, buckets: 2, operators: 1, heartbeat_ms: HEARTBEAT_MS };
/// The same with two operators.
pub const TWO_OPERATORS: Shape = Shape { operators: 2, ..SMALL };

/// Waits until users have been answered so many more times.
pub async fn answers(fleet: &Fleet, more: u64) -> Result<()> {
    let before = fleet.ledger().events.answered;
    fleet
        .until("answers", PATIENCE, |ledger| {
            let answered = ledger.events.answered - before;
            if answered >= more { Ok(()) } else { Err(format!("{answered} of {more} answered")) }
        })
        .await
        .map(drop)
}

/// Users write no more, everything is answered, every shard is online.
pub async fn quiet(fleet: &Fleet) -> Result<()> {
    fleet.online().await?;
    fleet.hush();
    fleet.settled(PATIENCE).await.map(drop)
}

/// Waits until so many RESUMEs have succeeded in all.
pub async fn resumes(fleet: &Fleet, all: u64) -> Result<()> {
    fleet
        .until("RESUMEs", PATIENCE, |ledger| {
            if ledger.resumes >= all { Ok(()) } else { Err(format!("{} of {all}", ledger.resumes)) }
        })
        .await
        .map(drop)
}

pub fn comes_online(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("comes-online", &SMALL, Way::Straight, async |fleet| {
        let identifies = fleet.ledger().identifies;
        ensure!(identifies == 4, "{identifies} IDENTIFYs for 4 shards");
        fleet.talk(20.0)?;
        answers(fleet, 20).await?;
        quiet(fleet).await
    })
}

pub fn comes_online_in_time(stage: &Stage) -> Result<()> {
    let shape = Shape { pods: 4, shards: 12, ..SMALL };
    stage.on_a_fleet("in-time", &shape, Way::Straight, async |fleet| {
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 12, "{} IDENTIFYs for 12 shards", ledger.identifies);
        let log = &ledger.identify_log;
        let span = log.last().zip(log.first()).map_or(0, |(last, first)| last.at_ms - first.at_ms);
        // Five windows lie between the first and the last of six in a bucket, each with its 120 ms for the way. What
        // one machine with all cores busy adds is allowed twice that; benchmarks measure it.
        let least = 5 * 5_000 / u64::from(TIME_FACTOR);
        ensure!(
            span <= 2 * (least + 5 * 120),
            "{span} ms from the first IDENTIFY to the last; {least} at the least"
        );
        Ok(())
    })
}
