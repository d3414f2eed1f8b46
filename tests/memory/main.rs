//! The memory benchmark: what an operator takes at its peak for what outsiders may write, beside another build in the same run.
//!
//! From: a real API server, a thousand ordinary bots, the largest template that is taken, and one that is not. For: a table, and JSON with `--report FILE`.
//! `--before PROGRAM` measures an older operator with ordinary bots as well, in namespaces of its own; `--quick` takes a tenth of the bots. Each figure is the
//! kernel's peak (`VmHWM`) of a process that was started when the objects were there, read when it has had a round for each. Discord is
//! an endpoint that knows every token. Deliberately absent: pods, of which there are none.

mod bots;
mod operator;

use anyhow::{Context, Result};
use clap::Parser;
use operator::Operator;
use shard_bench::options::Options;
use shard_bench::table::{Row, Table, Target};
use shard_tests::fleet::ground::Ground;
use std::path::PathBuf;
use test_cluster::Release;

/// Ordinary bots.
const BOTS: u32 = 1_000;
/// The most that the worst allowed object may lead to, in MiB.
const WORST: f64 = 128.0;
/// The most for the ordinary ones, as a part of what the build before takes.
const PART: f64 = 0.5;

#[derive(Parser)]
#[command(name = "memory")]
struct Arguments {
    /// An operator that was built before, to be measured beside this one.
    #[arg(long)]
    before: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let ground = Ground::up("memory-bench", Release::Newest)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(measure(&ground, &arguments));
    drop(runtime);
    ground.down()?;
    measured
}

async fn measure(ground: &Ground, arguments: &Arguments) -> Result<()> {
    let scale = arguments.options.scale();
    let count = scale.of(BOTS);
    let mut table = Table::begin("Peak memory of an operator", "", scale);
    let discord = operator::discord().await?;
    let this = ground.program("shard-operator");
    let programs = arguments.before.iter().map(|before| ("before", before)).chain([("this build", &this)]);
    let mut ordinary: Option<f64> = None;
    for (name, program) in programs {
        let client = ground.client().await?;
        let measure = async |what: &str, texts: Vec<String>| -> Result<f64> {
            let namespace = format!("{}-{what}", name.replace(' ', "-"));
            bots::create(&client, &namespace, &texts).await.with_context(|| format!("create {what}"))?;
            // The first makes what the bots need; the second finds it, as a fresh leader does.
            Operator::start(ground, program, &namespace, &discord)?.rounds(texts.len()).await?;
            let second = Operator::start(ground, program, &namespace, &discord)?;
            second.rounds(texts.len()).await?;
            second.peak()
        };
        let one = measure("one", vec![bots::ordinary(0)]).await?;
        let many = measure("ordinary", (0..count).map(bots::ordinary).collect()).await?;
        let is_this = name == "this build";
        let part = ordinary.filter(|_| is_this).map(|before| Target::AtMost(before * PART));
        let mut rows =
            vec![("one ordinary bot".to_owned(), one, None), (format!("{count} ordinary bots"), many, part)];
        // An operator that knows no bound may never come to an end with these.
        if is_this {
            let worst = Some(Target::AtMost(WORST));
            let largest = measure("largest", vec![bots::largest()]).await?;
            rows.push(("the largest template that is taken".to_owned(), largest, worst));
            let too_large = measure("too-large", vec![bots::too_large()]).await?;
            rows.push(("a bot of 1.4 MB, 450,000 tiny maps".to_owned(), too_large, worst));
        }
        for (what, measured, target) in rows {
            let row =
                Row { what: format!("{name}: {what}"), measured, unit: "MiB", target, note: String::new() };
            table.add(row);
        }
        ordinary = Some(many);
    }
    arguments.options.end(&table, "memory", env!("CARGO_TARGET_TMPDIR"))
}
