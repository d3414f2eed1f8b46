//! The programs that come from the system: etcd, runc, the CNI plugins, iptables and a few more.
//!
//! Looks for each, and on Debian, as root, installs what is missing; elsewhere says what is missing and the
//! command that gets it. Also the first check of all: Linux and root, since namespaces, mounts and cgroups
//! need both. Deliberately absent: versions (Debian 12's serve) and what `programs.rs` builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, program};
use crate::error::Error;
use crate::run::run;

/// Each program and Debian's package of it.
const PROGRAMS: [(&str, &str); 12] = [
    ("etcd", "etcd-server"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("catatonit", "catatonit"),
    ("buildah", "buildah"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("flock", "util-linux"),
];

/// Where distributions put the CNI plugins; Debian's package is containernetworking-plugins.
const CNI_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
const CNI_PLUGINS: [&str; 4] = ["loopback", "ptp", "portmap", "host-local"];

/// Linux and root, or an error that says so.
pub(crate) fn check_machine() -> Result<(), Error> {
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

/// Finds every program, installing what is missing where that can be done.
pub(crate) fn ensure(progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let (missing, packages) = missing();
    if missing.is_empty() {
        return Ok(());
    }
    debian::install(missing, &packages, progress, || self::missing().0)?;
    if packages.contains(&"etcd-server") && Path::new("/run/systemd/system").exists() {
        progress("disabling Debian's own etcd service, which came with the package");
        run(Command::new("systemctl").args(["disable", "--now", "etcd.service"]))?;
    }
    Ok(())
}

/// The folder that has the CNI plugins.
pub(crate) fn cni_folder() -> Option<PathBuf> {
    let complete = |folder: &&Path| CNI_PLUGINS.iter().all(|plugin| folder.join(plugin).exists());
    CNI_FOLDERS.iter().map(Path::new).find(complete).map(Path::to_owned)
}

/// The programs that are not here, and the packages that have them.
fn missing() -> (Vec<String>, Vec<&'static str>) {
    let mut names = Vec::new();
    let mut packages = Vec::new();
    for (name, package) in PROGRAMS {
        if program(name).is_none() {
            names.push(name.to_owned());
            packages.push(package);
        }
    }
    if cni_folder().is_none() {
        names.push(format!("the CNI plugins {}", CNI_PLUGINS.join(", ")));
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    (names, packages)
}
