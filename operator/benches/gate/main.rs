//! The gate's benchmark: what a waiting caller costs, how soon after its turn it is granted, what reports cost, and how long a
//! cold start takes.
//!
//! From: the gate and the store of reports inside this process. For: people who want to know what a fleet costs its operator.
//! Speed never fails it, only what is missing or wrong. The cold start runs on a clock that jumps to whatever happens next,
//! with 5 ms from a grant to the word that its IDENTIFY went out. Deliberately absent: TLS, the API server's reviews of tokens
//! (one a pod and five minutes).

mod callers;
mod crowd;
mod reports;
mod stage;
mod start;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use shard_bench::options::Options;
use shard_bench::table::Table;

/// Measures the gate and prints a table; it fails only where something is missing or wrong.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p shard-operator --")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// The process of the callers over HTTP: address, pods, seconds
    #[arg(long, hide = true, num_args = 3)]
    crowd: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let [address, pods, seconds] = &arguments.crowd[..] {
        return be_crowd(address, pods, seconds);
    }
    let scale = arguments.options.scale();
    let mut table = Table::begin("gate", "", scale);
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for row in threads.block_on(callers::measure(scale))? {
        table.add(row);
    }
    for row in threads.block_on(wire::measure(scale))? {
        table.add(row);
    }
    drop(threads);
    table.add(reports::measure(scale)?);
    for (total, max_concurrency) in [(16, 1), (256, 1), (256, 16), (2_048, 1), (2_048, 16)] {
        table.add(start::measure(scale, total, max_concurrency)?);
    }
    arguments.options.end(&table, "gate", env!("CARGO_TARGET_TMPDIR"))
}

#[expect(clippy::print_stdout, reason = "what the benchmark's own process reads")]
fn be_crowd(address: &str, pods: &str, seconds: &str) -> anyhow::Result<()> {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let late = threads.block_on(crowd::run(address.parse()?, pods.parse()?, seconds.parse()?))?;
    println!("{}", serde_json::to_string(&late)?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the benchmark's own word to a person")]
fn say_error(error: &anyhow::Error) {
    eprintln!("cargo bench: {error:#}");
}
