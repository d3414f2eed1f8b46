//! Where the browser is: found on this machine, or installed where that can be done.
//!
//! From: the search path; on Debian, as root, its package. For: `browser.rs`. Never a reason to skip a test: without a
//! browser they fail, with the command that gets one. Deliberately absent: a version; any that speaks DevTools serves.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use test_cluster::debian::{self, Need};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser's program. Tests run side by side; one of them installs it, or finds out for all that it cannot be had.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(ensure).as_ref().unwrap_or_else(|error| panic!("no browser: {error}"))
}

fn found() -> Option<PathBuf> {
    NAMES.into_iter().find_map(debian::callers_program)
}

fn ensure() -> Result<PathBuf, String> {
    let missing = || NAMES.join(" or ");
    let need = Need::new(&["chromium"], || found().is_none().then(missing));
    debian::ensure(&[need], &mut test_cluster::printer()).map_err(|error| error.to_string())?;
    found().ok_or_else(missing)
}
