//! The checkout: where it is, and its programs, built when needed.
//!
//! Built by the cargo that runs, with the profile of the tests, so that what is compiled already is used. Deliberately
//! absent: release builds.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use test_cluster::{Stop, run_shown};

/// The checkout's root.
#[must_use]
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Builds all programs of the workspace; cargo shows its own progress. Returns the folder that holds them.
///
/// # Errors
/// When cargo cannot be run or the build fails; cargo has said why.
pub fn programs() -> Result<PathBuf> {
    programs_until(&Stop::default(), Cargo::Shown)
}

/// What cargo says while it builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cargo {
    /// What it always says.
    Shown,
    /// Only what is wrong.
    Quiet,
}

/// The same, until it is told to stop.
///
/// # Errors
/// As [`programs`], or when it was stopped.
pub fn programs_until(stop: &Stop, says: Cargo) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo told this program about its package would reach the build scripts of others, which then run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|one| name.starts_with(one))
        {
            command.env_remove(&*name);
        }
    }
    if says == Cargo::Quiet {
        command.env("CARGO_TERM_QUIET", "true");
    }
    command.args(["build", "--workspace", "--bins"]).current_dir(root());
    let status = run_shown(stop, &mut command).context("run cargo; install Rust from https://rustup.rs")?;
    if !status.success() {
        bail!("cargo build failed: {status}");
    }
    folder()
}

/// The folder of the workspace's programs, built or not.
///
/// # Errors
/// When this program's own path cannot be found.
pub fn folder() -> Result<PathBuf> {
    let mut folder = std::env::current_exe().context("find this program's folder")?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder)
}
