//! Programs of the system: looked for on the search path, installed from Debian's packages where that can be done.
//!
//! For what this cluster needs (`packages.rs`) and for tests that need others: each says what it needs as [`Need`]s, and
//! [`ensure`] is the one step that brings them, before anything uses them. Installing takes root and Debian; elsewhere the
//! error says what is missing and the command that gets it. Deliberately absent: versions; whoever needs one checks it.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use crate::error::Error;
use crate::place::cache;
use crate::run::run;

/// The search path of the system's own programs, whatever the caller's is.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const INSTALL: [&str; 3] = ["install", "-y", "--no-install-recommends"];

/// Something that the machine must have, and the packages of Debian that bring it.
#[derive(Clone)]
pub struct Need<'a> {
    packages: &'a [&'a str],
    missing: Rc<dyn Fn() -> Option<String> + 'a>,
}

impl<'a> Need<'a> {
    /// `missing` looks whether it is there: nothing when it is, else its name, and why what is there will not do.
    pub fn new(packages: &'a [&'a str], missing: impl Fn() -> Option<String> + 'a) -> Self {
        Self { packages, missing: Rc::new(missing) }
    }

    /// A program of the system, of any version.
    pub fn program(name: &'a str, packages: &'a [&'a str]) -> Self {
        Self::new(packages, move || program(name).is_none().then(|| name.to_owned()))
    }
}

impl fmt::Debug for Need<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Need").field("packages", &self.packages).finish_non_exhaustive()
    }
}

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

/// Looks for everything, and installs the packages of what is missing, all at once. Callers side by side, in this process or
/// in others, wait for one another, so that each finds what it needs when this returns.
///
/// # Errors
/// When something is missing and this is not Debian or not root, apt fails, or it is missing even then.
pub fn ensure(needs: &[Need<'_>], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let is_debian = Path::new("/etc/debian_version").exists() && program("apt-get").is_some();
    if !is_debian || !rustix::process::geteuid().is_root() {
        let remedy = format!("{} (as root, names as on Debian 12)", remedy(&packages(needs)));
        return Err(Error::Packages { missing, remedy });
    }
    let _held = lock(progress)?;
    // Whoever held the lock may have installed the same.
    let packages = packages(needs);
    if packages.is_empty() {
        return Ok(());
    }
    progress(&format!("installing Debian packages: {}", packages.join(" ")));
    install(&packages)?;
    match self::missing(needs) {
        still if still.is_empty() => Ok(()),
        still => Err(Error::Packages { missing: still, remedy: remedy(&packages) }),
    }
}

fn remedy(packages: &[&str]) -> String {
    format!("apt-get update && apt-get {} {}", INSTALL.join(" "), packages.join(" "))
}

/// Two updates at once are an error to apt: it waits for others' installations and not for their updates.
fn lock(progress: &mut dyn FnMut(&str)) -> Result<File, Error> {
    let cache = cache()?;
    fs::create_dir_all(&cache).map_err(Error::io("create", &cache))?;
    let path = cache.join("packages.lock");
    let held = File::create(&path).map_err(Error::io("create", &path))?;
    if held.try_lock().is_err() {
        progress("waiting for another program that installs packages");
        held.lock().map_err(Error::io("lock", &path))?;
    }
    Ok(held)
}

/// What is not there, for people.
#[must_use]
pub fn missing(needs: &[Need<'_>]) -> Vec<String> {
    needs.iter().filter_map(|need| (need.missing)()).collect()
}

/// The packages of what is not there, each once.
#[must_use]
pub fn packages<'a>(needs: &[Need<'a>]) -> Vec<&'a str> {
    let mut packages = Vec::new();
    for package in needs.iter().filter(|need| (need.missing)().is_some()).flat_map(|need| need.packages) {
        if !packages.contains(package) {
            packages.push(*package);
        }
    }
    packages
}

fn install(packages: &[&str]) -> Result<(), Error> {
    let apt = || {
        let mut apt = Command::new("apt-get");
        // Programs only: RUNLEVEL=1 keeps sysvinit from starting what comes as a service.
        apt.envs([("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")]);
        apt.args(["-o", "DPkg::Lock::Timeout=300"]);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(INSTALL).args(packages)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_what_is_missing_are_named_once_and_no_others() {
        let lacks = |name: &'static str| move || Some(name.to_owned());
        let needs = [
            Need::new(&["util-linux"], lacks("nsenter")),
            Need::new(&["there"], || None),
            Need::new(&["runc"], lacks("runc")),
            Need::new(&["util-linux", "mount"], lacks("unshare")),
        ];
        assert_eq!(packages(&needs), ["util-linux", "runc", "mount"]);
        assert_eq!(missing(&needs), ["nsenter", "runc", "unshare"]);
    }

    #[test]
    fn what_is_there_needs_neither_debian_nor_root() {
        let needs = [Need::program("sh", &["dash"])];
        ensure(&needs, &mut |line| panic!("nothing is to be done, and it says: {line}")).unwrap();
    }
}
