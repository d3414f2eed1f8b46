//! Runs by seed beside the cluster, which mostly waits: they have no time but their own, so they can use what its machines leave of
//! the cores.
//!
//! From the cluster's beginning to one verdict at its end. `cargo soak` is the same by itself. Deliberately absent: what a run is
//! (`tests/harness/thread/storm.rs`).

use crate::ground::Ground;
use anyhow::{Context, Result, ensure};
use shard_tests::kube::Kube;
use std::process::{Child, Command, Stdio};
use tempfile::NamedTempFile;

/// How many, and what they are made from.
const RUNS: &str = "2000";
const SEED: &str = "16";
/// Of the lines of a row that failed, so many of the last are shown.
const SHOWN: usize = 12;

pub fn runs_end_well(ground: &Ground) -> Result<()> {
    ground.beside().context("runs by seed have not begun")?.end()
}

/// A row that runs.
pub struct Beside {
    row: Child,
    told: NamedTempFile,
}

impl Beside {
    pub fn begin(kube: &Kube) -> Result<Self> {
        let mut command = match kube {
            Kube::Embedded(cluster) => cluster.beside()?,
            // Another machine's cluster.
            Kube::Users(_) => Command::new("env"),
        };
        let told = NamedTempFile::new().context("a file for what runs by seed tell")?;
        command.args([env!("CARGO_BIN_EXE_soak"), "--runs", RUNS, "--seed", SEED]);
        command.stdin(Stdio::null()).stdout(told.reopen()?).stderr(told.reopen()?);
        let row = command.spawn().context("begin runs by seed")?;
        Ok(Self { row, told })
    }

    /// Waits for the last of them.
    fn end(mut self) -> Result<()> {
        let status = self.row.wait().context("wait for runs by seed")?;
        let told = std::fs::read_to_string(self.told.path())?;
        let lines: Vec<_> = told.lines().collect();
        let last = lines.iter().rev().take(SHOWN).rev().copied().collect::<Vec<_>>().join("\n");
        ensure!(status.success(), "{last}");
        eprintln!("  {}", lines.last().context("runs by seed told nothing")?);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It has ended, or nobody wants to know how it would have.
        let _ = self.row.kill();
        let _ = self.row.wait();
    }
}
