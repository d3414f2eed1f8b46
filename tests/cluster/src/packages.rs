//! The programs that come from the system: runc, the CNI plugins, iptables and a few more.
//!
//! Says which they are and Debian's packages of them; `debian.rs` installs what is missing. Also the first check of all:
//! Linux and root, since namespaces, mounts and cgroups need both. Deliberately absent: versions (Debian 12's serve) and
//! what `programs.rs` builds.

use std::path::{Path, PathBuf};

use crate::debian::{self, Need};
use crate::error::Error;

/// Each program and Debian's package of it.
const PROGRAMS: [(&str, &[&str]); 11] = [
    ("runc", &["runc"]),
    ("iptables", &["iptables"]),
    ("ip", &["iproute2"]),
    ("conntrack", &["conntrack"]),
    ("catatonit", &["catatonit"]),
    ("buildah", &["buildah"]),
    ("mount", &["mount"]),
    ("nsenter", &["util-linux"]),
    ("unshare", &["util-linux"]),
    ("setsid", &["util-linux"]),
    ("flock", &["util-linux"]),
];

/// Where distributions put the CNI plugins.
const CNI_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
const CNI_PLUGINS: [&str; 4] = ["loopback", "ptp", "portmap", "host-local"];

/// Linux and root, or an error that says so.
///
/// # Errors
/// When it is not, with the remedy.
pub fn check_machine() -> Result<(), Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::Unsuitable {
            needs: "Linux (namespaces and cgroups)",
            found: std::env::consts::OS.to_owned(),
            remedy: "run it in a Linux machine, or set KUBECONFIG to a cluster of your own where that is offered",
        });
    }
    let user = rustix::process::geteuid();
    if !user.is_root() {
        return Err(Error::Unsuitable {
            needs: "root (namespaces, mounts, cgroups)",
            found: format!("user {}", user.as_raw()),
            remedy: "run it as root, for example in a container with --privileged",
        });
    }
    Ok(())
}

/// Everything that a cluster needs of the system, and these.
pub(crate) fn with<'a>(others: &[Need<'a>]) -> Vec<Need<'a>> {
    let programs = PROGRAMS.into_iter().map(|(name, packages)| Need::program(name, packages));
    let cni = Need::new(&["containernetworking-plugins"], || {
        cni_folder().is_none().then(|| format!("the CNI plugins {}", CNI_PLUGINS.join(", ")))
    });
    programs.chain([cni]).chain(others.iter().cloned()).collect()
}

/// Finds everything, these too, installing what is missing where that can be done.
pub(crate) fn ensure(others: &[Need<'_>], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    debian::ensure(&with(others), progress)
}

/// The folder that has the CNI plugins.
pub(crate) fn cni_folder() -> Option<PathBuf> {
    let complete = |folder: &&Path| CNI_PLUGINS.iter().all(|plugin| folder.join(plugin).exists());
    CNI_FOLDERS.iter().map(Path::new).find(complete).map(Path::to_owned)
}
