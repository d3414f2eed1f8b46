//! Where the browser is: found on this machine, or installed where that can be done.
//!
//! From: the search path; on Debian, as root, its package. For: `browser.rs`. Never a reason to skip a test: without a
//! browser they fail, with the command that gets one. Deliberately absent: a version; any that speaks DevTools serves.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use test_cluster::debian;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser's program. Tests run side by side; one of them installs it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| found().unwrap_or_else(install))
}

fn found() -> Option<PathBuf> {
    NAMES.into_iter().find_map(debian::callers_program)
}

fn install() -> PathBuf {
    let missing = || if found().is_some() { Vec::new() } else { vec![NAMES.join(" or ")] };
    let installed = debian::install(missing(), &["chromium"], &mut test_cluster::printer(), missing);
    installed.unwrap_or_else(|error| panic!("no browser: {error}"));
    found().unwrap_or_else(|| panic!("the package has no browser of these names: {}", NAMES.join(", ")))
}
