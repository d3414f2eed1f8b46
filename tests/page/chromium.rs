//! Where the browser is: found on this machine, or installed where that can be done.
//!
//! From: the search path; on Debian, as root, its package. For: `browser.rs`. Never a reason to skip a test: without a
//! browser they fail, with the command that gets one. Deliberately absent: a version; any that speaks DevTools serves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const REMEDY: &str =
    "apt-get update && apt-get install --no-install-recommends chromium (name as on Debian 12)";

/// The browser's program. Tests run side by side; one of them installs it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| found().unwrap_or_else(install))
}

fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(["/usr/bin".into()]).collect();
    NAMES.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

fn install() -> PathBuf {
    let can = rustix::process::geteuid().is_root() && Path::new("/etc/debian_version").exists();
    assert!(
        can,
        "no browser was found ({}), and only root on Debian gets one here: {REMEDY}",
        NAMES.join(", ")
    );
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", "chromium"]] {
        let mut apt = Command::new("apt-get");
        apt.args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        let output = apt.output().unwrap_or_else(|error| panic!("apt-get: {error}; do by hand: {REMEDY}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "apt-get {}: {said}; do by hand: {REMEDY}", arguments.join(" "));
    }
    found().unwrap_or_else(|| panic!("the package has no browser; do by hand: {REMEDY}"))
}
