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

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;

use decoder::Transport;
use shard_bench::Scale;
use shard_bench::table::Table;

/// Files that must be open at once for all measurements but the crowd, which takes what there is.
const OPEN_FILES: u64 = 1200;

/// Measures the simulator and prints a table; it fails only where something is missing or wrong.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p discord-sim --")]
struct Arguments {
    /// Where the figures are written as JSON [default: target/bench/discord.json]
    #[arg(long)]
    report: Option<PathBuf>,
    /// A tenth of everything: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Cargo gives it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Cargo gives the names to be run to every benchmark; this one always runs whole.
    #[arg(hide = true)]
    names: Vec<String>,
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
    let scale = Scale { quick: arguments.quick };
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
    let report = arguments.report.clone().unwrap_or_else(|| target().join("bench/discord.json"));
    table
        .end(&report)
        .with_context(|| format!("cannot write {}; choose another with --report", report.display()))
}

/// Cargo's folder of what it builds; it may have one in it for each target.
fn target() -> &'static Path {
    let inside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let is_cargos = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let outwards = inside.ancestors().skip_while(|folder| !is_cargos(folder));
    outwards.take_while(is_cargos).last().unwrap_or(inside)
}

#[expect(clippy::print_stderr, reason = "the benchmark's own word to a person")]
fn say_error(error: &anyhow::Error) {
    eprintln!("cargo bench: {error:#}");
}
