//! What must be there before anything is started: packages of the system, and the programs that are built from source.
//!
//! For [`crate::Cluster::up`], which calls both steps itself, and for callers that have more to prepare: they call
//! [`machine`] before all else, [`build`] when it suits them, and find everything done later. What is missing can be asked
//! for beforehand ([`missing`]), so that a person learns at the start what will take long. Deliberately absent: what runs.

use std::path::{Path, PathBuf};

use crate::debian::{self, Need};
use crate::error::Error;
use crate::place::cache;
use crate::programs::Programs;
use crate::run::Stop;
use crate::{images, packages};

pub use crate::packages::check_machine;

/// What is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Packages of Debian.
    pub packages: Vec<String>,
    /// Whether Kubernetes, etcd, containerd, CoreDNS and Helm are still to be built.
    pub kubernetes: bool,
}

/// Looks what a cluster needs and these others bring; changes nothing.
///
/// # Errors
/// When this machine will not do at all: not Linux, not root, or without the Go that a build would need.
pub fn missing(others: &[Need<'_>]) -> Result<Missing, Error> {
    packages::check_machine()?;
    let built = Programs::check(&cache()?)?;
    let packages = debian::packages(&packages::with(others)).into_iter().map(str::to_owned).collect();
    Ok(Missing { packages, kubernetes: !built })
}

/// Checks the machine and installs what a cluster and these others need of the system. Everything that can be known to be
/// missing is told by this, in seconds, and not by whoever stumbles over it after minutes of building.
///
/// # Errors
/// Names what is missing and the remedy.
pub fn machine(others: &[Need<'_>], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    packages::check_machine()?;
    Programs::check(&cache()?)?;
    packages::ensure(others, progress)
}

/// Builds Kubernetes' programs and the images that are made from them, once; minutes the first time. `stop` ends it early,
/// with every compiler that it has started.
///
/// # Errors
/// When a build fails or was stopped.
pub fn build(stop: &Stop, progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    programs(&cache()?, stop, progress).map(drop)
}

pub(crate) fn programs(
    cache: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(&str),
) -> Result<(Programs, Vec<PathBuf>), Error> {
    let programs = Programs::ensure(cache, stop, progress)?;
    let archives = images::ensure(&programs, progress)?;
    Ok((programs, archives))
}
