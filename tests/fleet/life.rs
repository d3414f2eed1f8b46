//! A fleet's life: online, in time, answering.

use anyhow::{Result, ensure};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::TIME_FACTOR;
use shard_tests::fleet::schedule::{SMALL, Shape};
use shard_tests::fleet::stage::{Stage, Way};

pub fn comes_online(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("comes-online", &SMALL, Way::Straight, async |fleet| {
        let identifies = fleet.ledger().identifies;
        ensure!(identifies == 4, "{identifies} IDENTIFYs for 4 shards");
        fleet.talk(20.0)?;
        fleet.answers(20).await?;
        fleet.quiet().await
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
