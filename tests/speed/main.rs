//! The speed benchmark: how fast stories on the virtual clock are.
//!
//! From: an hour of a fleet of 4 pods and 16 shards on one core, and runs by seed on as many cores as there are. For: a table, and JSON with
//! `--report FILE`. `--quick` takes a tenth. Deliberately absent: what is right; the tests say that.

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::json;
use shard_bench::Scale;
use shard_bench::options::Options;
use shard_bench::table::{Row, Table, Target};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::row::Ends;
use shard_tests::fleet::schedule::{SMALL, Shape};
use shard_tests::thread::{World, row, run, stage};
use std::time::{Duration, Instant};

/// How long the fleet is told, in minutes.
const MINUTES: u32 = 60;
/// Of Discord's time in a second of one core.
const TIMES: f64 = 300.0;
/// Runs by seed.
const RUNS: u32 = 200;
/// In a minute of two cores: twenty times as many as processes did.
const PER_MINUTE: f64 = 540.0;
/// Messages a second that ask for an answer.
const RATE: f64 = 2.0;

#[derive(Parser)]
#[command(name = "speed")]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> Result<()> {
    let Arguments { options } = Arguments::parse();
    let scale = options.scale();
    let mut table = Table::begin("Stories on the virtual clock", "", scale);
    for (what, rate) in [("nobody talks", None), ("users talk", Some(RATE))] {
        table.add(Row {
            what: format!("4 pods, 16 shards, {what}"),
            measured: hour(scale, rate)?,
            unit: "times Discord's",
            target: Some(Target::AtLeast(TIMES)),
            note: "one core".to_owned(),
        });
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = row::run(1, Ends { runs: Some(scale.of(RUNS).into()), after: None }, threads, &|_| {});
    ensure!(summary.report.failed.is_empty(), "{}", summary.line());
    table.add(Row {
        what: format!("{} runs by seed", summary.report.runs),
        measured: summary.per_minute(),
        unit: "a minute",
        target: Some(Target::AtLeast(PER_MINUTE)),
        note: format!("{threads} cores, {} faults", summary.report.faults.values().sum::<u64>()),
    });
    options.end(&table, "speed", env!("CARGO_TARGET_TMPDIR"))
}

/// How many times as fast as Discord a fleet is that is online.
fn hour(scale: Scale, rate: Option<f64>) -> Result<f64> {
    let shape = Shape { pods: 4, shards: 16, buckets: 16, ..SMALL };
    run(shape.seed, async {
        let world = World::begin(stage::making(&shape)).await?;
        world.apply(json!({ "shards": 16, "shardsPerPod": 4 })).await?;
        world.online().await?;
        if let Some(rate) = rate {
            world.talk(rate)?;
        }
        let (begun, from) = (Instant::now(), world.elapsed());
        tokio::time::sleep(60 * Duration::from_secs(scale.of(MINUTES).into())).await;
        let lasted = world.elapsed().saturating_sub(from);
        Ok(lasted.as_secs_f64() / begun.elapsed().as_secs_f64())
    })
}
