//! `cargo soak`: random faults by seed for as long as one likes, judged by Discord's ledger.
//!
//! Each run is a fleet of random shape with random faults; what a seed means is `harness/fleet/schedule.rs`. Runs are virtual: each in one
//! thread on a paused clock, until the first that is not good, which is made smaller and said with the command that has it again. With `--real`
//! they are processes side by side on one API server. Ends with 0 when every run was good, 1 with the reasons when not, 2 for wrong arguments.
//! Deliberately absent: what the tests assert by name (`tests/fleet`).

use anyhow::{Context, Result, ensure};
use clap::Parser;
use shard_tests::fleet::ground::Ground;
use shard_tests::fleet::row::{Ends, Row};
use shard_tests::fleet::schedule::Schedule;
use shard_tests::fleet::verdict::Report;
use shard_tests::thread::change::Change;
use shard_tests::thread::inject::Injection;
use shard_tests::thread::{each, row, storm, trace};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use test_cluster::Release;

/// A quarter of the time went into the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Random faults by seed on real operators and bots, judged by the simulated Discord's ledger. Needs root on Linux.
#[derive(Debug, Parser)]
#[command(name = "cargo soak")]
struct Arguments {
    /// How long runs are begun; those that have begun are finished. Without it and without --runs: 5
    #[arg(long)]
    minutes: Option<u32>,
    /// How many runs there are at most
    #[arg(long)]
    runs: Option<u64>,
    /// What all runs are made from; the first run has this very seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the report goes, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Runs at a time; left out: as many as there are cores, with --real 4
    #[arg(long)]
    parallel: Option<NonZeroU32>,
    /// Processes on a real API server, in real time
    #[arg(long)]
    real: bool,
    /// One run, with these of its faults alone, by their places, as in 0,3; without a place: with none
    #[arg(long, value_delimiter = ',', num_args = 0.., conflicts_with_all = ["real", "runs", "minutes"])]
    faults: Option<Vec<usize>>,
    /// One story of `tests/virtual/each.rs`: this change, as in more-shards
    #[arg(long, conflicts_with_all = ["real", "runs", "minutes", "faults"])]
    change: Option<Change>,
    /// With it, who dies or misses an event, and at which moment, as in operator-dies:3
    #[arg(long, requires = "change")]
    inject: Option<Injection>,
    /// Writes what operators and pods log, with the story's time
    #[arg(long, conflicts_with = "real")]
    trace: bool,
}

fn main() -> ExitCode {
    match soak(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(arguments: &Arguments) -> Result<()> {
    if arguments.trace {
        trace::begin();
    }
    if let Some(change) = arguments.change {
        let told = each::one(change, arguments.inject)?;
        say(&format!("it ends as it should; IDENTIFYs: {}, moments: {:?}", told.identifies, told.moments));
        return Ok(());
    }
    let minutes = arguments.minutes.or(arguments.runs.is_none().then_some(5));
    let after = minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes)));
    let ends = Ends { runs: arguments.runs, after };
    let (report, line) = match &arguments.faults {
        Some(places) => one(arguments.seed, places),
        None if arguments.real => real(arguments, ends)?,
        None => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = arguments.parallel.map_or(cores, |parallel| parallel.get() as usize);
            let summary = row::run(arguments.seed, ends, threads, &say);
            let line = summary.line();
            (summary.report, line)
        }
    };
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    say(&line);
    ensure!(report.failed.is_empty(), "{} of {} runs failed", report.failed.len(), report.runs);
    Ok(())
}

/// A closed output ends nothing.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// One virtual run with some of its faults.
fn one(seed: u64, places: &[usize]) -> (Report, String) {
    let schedule = Schedule::of(seed).only(places);
    say(&format!("seed {seed}: {schedule}"));
    let ended = storm::run(&schedule);
    let line = format!("{}; sent: {}", ended.run.line(), ended.digest());
    let mut report = Report::new(seed);
    report.add(ended.run);
    (report, line)
}

fn real(arguments: &Arguments, ends: Ends) -> Result<(Report, String)> {
    let ground = Arc::new(Ground::up("soak", Release::Newest)?);
    let parallel = arguments.parallel.map_or(4, NonZeroU32::get);
    let row = Row { seed: arguments.seed, ends, parallel };
    // After the ground is up: threads that are started now are in its network.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(row.run(&ground, &say));
    drop(runtime);
    Arc::into_inner(ground).context("a run still holds the ground")?.down()?;
    let line = report.line();
    Ok((report, line))
}
