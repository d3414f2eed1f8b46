//! What every benchmark takes on its command line: how much is done, and where its report goes.
//!
//! From: cargo's arguments. For: a [`Scale`], and the end of a table. Deliberately absent: what only one of them takes.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::Scale;
use crate::table::Table;

/// Flattened into each benchmark's own arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the figures are written as JSON [default: target/bench/NAME.json]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// A tenth of everything: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Cargo gives it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Cargo gives the names to be run to every benchmark; each always runs whole.
    #[arg(hide = true)]
    names: Vec<String>,
}

impl Options {
    /// How much is done.
    #[must_use]
    pub const fn scale(&self) -> Scale {
        Scale { quick: self.quick }
    }

    /// Writes the report of the benchmark of this name; `inside`: its `CARGO_TARGET_TMPDIR`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&self, table: &Table, name: &str, inside: &str) -> anyhow::Result<()> {
        let usual = || target(Path::new(inside)).join(format!("bench/{name}.json"));
        let report = self.report.clone().unwrap_or_else(usual);
        table
            .end(&report)
            .with_context(|| format!("cannot write {}; choose another with --report", report.display()))
    }
}

/// Cargo's folder of what it builds; it may have one in it for each target.
fn target(inside: &Path) -> &Path {
    let is_cargos = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let outwards = inside.ancestors().skip_while(|folder| !is_cargos(folder));
    outwards.take_while(is_cargos).last().unwrap_or(inside)
}
