//! The simulator's benchmark: how many events it sends for a core's work, and what a session and a guild cost in memory.
//!
//! From: the real binary in a process of its own, asked over HTTP and read over raw WebSockets. For: people who want to know
//! whether the simulator is in the way of what they measure with it. Speed never fails it, only what is missing or wrong.
//! Time is CPU time of the simulator's process (user and system), so that a busy machine changes little.
//! Deliberately absent: comparisons; there is no other simulator to compare with.

mod client;
mod crowd;
mod decoder;
mod memory;
mod server;
mod throughput;

use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;

use decoder::Transport;
use shard_bench::options::Options;
use shard_bench::table::Table;

/// Files that must be open at once for all measurements but the crowd, which takes what there is.
const OPEN_FILES: u64 = 1200;

/// Measures the simulator and prints a table; it fails only where something is missing or wrong.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p discord-sim --")]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scale = arguments.options.scale();
    let open_files = discord_sim::raise_open_files();
    ensure!(
        open_files >= OPEN_FILES,
        "only {open_files} files may be open, {OPEN_FILES} are needed; allow more with ulimit -Hn"
    );
    let mut table = Table::begin("discord-sim", "; events are counted by the simulator's CPU time", scale);
    for transport in [Transport::Plain, Transport::Zstd] {
        for sessions in [1, 16, 256] {
            table.add(throughput::measure(transport, sessions, scale).await?);
        }
    }
    for transport in [Transport::Plain, Transport::Zlib, Transport::Zstd] {
        table.add(memory::per_session(transport, scale).await?);
    }
    for row in memory::of_guilds(scale).await? {
        table.add(row);
    }
    for row in crowd::measure(scale, open_files).await? {
        table.add(row);
    }
    arguments.options.end(&table, "discord", env!("CARGO_TARGET_TMPDIR"))
}

#[expect(clippy::print_stderr, reason = "the benchmark's own word to a person")]
fn say_error(error: &anyhow::Error) {
    eprintln!("cargo bench: {error:#}");
}
