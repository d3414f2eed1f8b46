//! Programs of the system: looked for on the search path, installed from Debian's packages where that can be done.
//!
//! For what this cluster needs (`packages.rs`) and for tests that need others. Installing takes root and Debian; elsewhere
//! the error says what is missing and the command that gets it. Deliberately absent: versions; whoever needs one checks it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::run::run;

/// The search path of the system's own programs, whatever the caller's is.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const INSTALL: [&str; 3] = ["install", "-y", "--no-install-recommends"];

/// The path of a program of the system; of the caller's search path only where the system has none.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let callers = std::env::var_os("PATH").unwrap_or_default();
    first_in(&[OsString::from(PATH), callers], name)
}

/// The path of a program as the caller would run it; of the system only where the search path has none.
#[must_use]
pub fn callers_program(name: &str) -> Option<PathBuf> {
    let callers = std::env::var_os("PATH").unwrap_or_default();
    first_in(&[callers, OsString::from(PATH)], name)
}

fn first_in(paths: &[OsString; 2], name: &str) -> Option<PathBuf> {
    let folders = paths.iter().flat_map(std::env::split_paths);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Installs packages because of what is missing; `still_missing` looks again afterwards.
///
/// # Errors
/// When this is not Debian or not root, apt fails, or something is missing even then.
pub fn install(
    missing: Vec<String>,
    packages: &[&str],
    progress: &mut dyn FnMut(&str),
    still_missing: impl FnOnce() -> Vec<String>,
) -> Result<(), Error> {
    let remedy = format!("apt-get update && apt-get {} {}", INSTALL.join(" "), packages.join(" "));
    let is_debian = Path::new("/etc/debian_version").exists() && program("apt-get").is_some();
    if !is_debian || !rustix::process::geteuid().is_root() {
        return Err(Error::Packages {
            missing,
            remedy: format!("{remedy} (as root, names as on Debian 12)"),
        });
    }
    progress(&format!("installing Debian packages: {}", packages.join(" ")));
    let apt = || {
        let mut apt = Command::new("apt-get");
        // Programs only: RUNLEVEL=1 keeps sysvinit from starting what comes as a service.
        apt.envs([("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")]);
        apt.args(["-o", "DPkg::Lock::Timeout=300"]);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(INSTALL).args(packages))?;
    match still_missing() {
        still if still.is_empty() => Ok(()),
        still => Err(Error::Packages { missing: still, remedy }),
    }
}
