//! `cargo soak`: random faults by seed for as long as one likes, judged by Discord's ledger.
//!
//! Each run is a fleet of random shape with random faults; what a seed means is `harness/fleet/schedule.rs`. Runs go side by
//! side on one API server. Ends with 0 when every run was good, 1 with the reasons when not, 2 for wrong arguments.
//! Deliberately absent: what the tests assert by name (`tests/fleet`).

use anyhow::{Context, Result, ensure};
use clap::Parser;
use shard_tests::fleet::ground::Ground;
use shard_tests::fleet::row::{Ends, Row};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

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
    /// Runs at a time
    #[arg(long, default_value_t = NonZeroU32::MIN.saturating_add(3))]
    parallel: NonZeroU32,
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
    let ground = Arc::new(Ground::up("soak")?);
    let minutes = arguments.minutes.or(arguments.runs.is_none().then_some(5));
    let row = Row {
        seed: arguments.seed,
        ends: Ends {
            runs: arguments.runs,
            after: minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes))),
        },
        parallel: arguments.parallel.get(),
    };
    // After the ground is up: threads that are started now are in its network.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(row.run(&ground, &|line| {
        // A closed output ends nothing.
        let _ = writeln!(io::stdout(), "{line}");
    }));
    drop(runtime);
    Arc::into_inner(ground).context("a run still holds the ground")?.down()?;
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    writeln!(io::stdout(), "{}", report.line())?;
    ensure!(report.failed.is_empty(), "{} of {} runs failed", report.failed.len(), report.runs);
    Ok(())
}
