//! The programs that come from the system: etcd, runc, the CNI plugins, iptables and a few more.
//!
//! Looks for each, and on Debian, as root, installs what is missing; elsewhere says what is missing and the
//! command that gets it. Also the first check of all: Linux and root, since namespaces, mounts and cgroups
//! need both. Deliberately absent: versions (Debian 12's serve) and what `programs.rs` builds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::run::run;

/// The search path of the machines' daemons, whatever the caller's is.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    let install = ["install", "-y", "--no-install-recommends"];
    let remedy = format!("apt-get update && apt-get {} {}", install.join(" "), packages.join(" "));
    if !Path::new("/etc/debian_version").exists() || program("apt-get").is_none() {
        return Err(Error::Packages { missing, remedy: format!("{remedy} (names as on Debian 12)") });
    }
    progress(&format!("installing Debian packages: {}", packages.join(" ")));
    let apt = || {
        let mut apt = Command::new("apt-get");
        // etcd is wanted as a program only; RUNLEVEL=1 keeps sysvinit from starting its service.
        apt.envs([("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")]);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(install).args(&packages))?;
    if packages.contains(&"etcd-server") && Path::new("/run/systemd/system").exists() {
        progress("disabling Debian's own etcd service, which came with the package");
        run(Command::new("systemctl").args(["disable", "--now", "etcd.service"]))?;
    }
    match self::missing().0 {
        still if still.is_empty() => Ok(()),
        still => Err(Error::Packages { missing: still, remedy }),
    }
}

/// The folder that has the CNI plugins.
pub(crate) fn cni_folder() -> Option<PathBuf> {
    let complete = |folder: &&Path| CNI_PLUGINS.iter().all(|plugin| folder.join(plugin).exists());
    CNI_FOLDERS.iter().map(Path::new).find(complete).map(Path::to_owned)
}

/// The path of a program of the system.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let callers = std::env::var_os("PATH").unwrap_or_default();
    let paths = [OsString::from(PATH), callers];
    paths.iter().flat_map(std::env::split_paths).map(|folder| folder.join(name)).find(|path| path.is_file())
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
