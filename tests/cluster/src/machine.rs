//! A machine is one process: started here with all its daemons in namespaces of its own, and ended with all
//! of them.
//!
//! That process is `unshare … --kill-child` around `machine/init.sh`, the first process of a process
//! namespace: when it dies the kernel ends every daemon, shim and container in it and takes its mounts away.
//! It belongs to no terminal and to no caller. Deliberately absent: which daemons (`config/`), networks
//! (`network.rs`), and whether they are well (`ready.rs`).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Hierarchies;
use crate::config::{Daemon, File};
use crate::debian::PATH;
use crate::error::{Error, tail};
use crate::place::{MachineName, Place};
use crate::run::run;

/// Enters the machine's cgroup, then its network, then becomes the machine.
const BOOT: &str = r#"echo $$ >"$MEMBERS/cgroup.procs" &&
exec nsenter --net="$NETWORK" unshare --mount --pid --fork --kill-child=SIGKILL --mount-proc sh "$MACHINE/init.sh""#;

/// How long the start of the one process may take.
const START: Duration = Duration::from_secs(10);
/// How long the kernel may take to end what was killed.
const END: Duration = Duration::from_secs(10);

/// Lays out a machine's folder.
pub(crate) fn prepare(
    place: &Place,
    machine: MachineName,
    daemons: &[Daemon],
    files: &[File],
) -> Result<(), Error> {
    let folder = place.machine(machine);
    for name in ["daemons", "disk", "log"] {
        fs::create_dir_all(folder.join(name)).map_err(Error::io("create", folder.join(name)))?;
    }
    write(&folder.join("init.sh"), include_str!("machine/init.sh"))?;
    for daemon in daemons {
        write(&folder.join("daemons").join(daemon.name), &daemon.script())?;
    }
    for file in files {
        if let Some(parent) = file.path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        write(&file.path, &file.content)?;
    }
    Ok(())
}

/// Starts a prepared machine whose network and cgroups are there; returns when its first process runs.
pub(crate) fn start(place: &Place, hierarchies: &Hierarchies, machine: MachineName) -> Result<(), Error> {
    let folder = place.machine(machine);
    let log = folder.join("log/machine.log");
    let output = || fs::File::options().create(true).append(true).open(&log).map_err(Error::io("open", &log));
    let mut boot = Command::new("setsid");
    boot.args(["--fork", "sh", "-c", BOOT]);
    boot.env_clear().current_dir("/").env("PATH", PATH).env("LANG", "C");
    boot.env("CACHE", place.cache()).env("MACHINE", &folder);
    boot.env("MEMBERS", hierarchies.members_of(place, machine)).env("NETWORK", place.network_file(machine));
    boot.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
    boot.status().map_err(Error::io("run", "setsid"))?;
    let start = Instant::now();
    while first_process(place, hierarchies, machine).is_none() {
        if start.elapsed() > START {
            return Err(Error::NotReady {
                what: format!("{machine} did not start"),
                seconds: START.as_secs(),
                logs: format!("its log ends with:\n{}", tail(&log, 10)),
            });
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Ends a machine at once, as a power cut does; returns when nothing of it runs.
pub(crate) fn kill(place: &Place, hierarchies: &Hierarchies, machine: MachineName) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        let members = hierarchies.members(place, machine);
        if members.is_empty() {
            return Ok(());
        }
        if start.elapsed() > END {
            return Err(Error::NotReady {
                what: format!("processes {members:?} of {machine} do not end"),
                seconds: END.as_secs(),
                logs: "the kernel holds them; see /proc/PID/stack".to_owned(),
            });
        }
        for pid in members.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
            // It may have ended since the list was read.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Those processes of a machine that run this program and have this in their environment.
pub(crate) fn processes(
    place: &Place,
    hierarchies: &Hierarchies,
    machine: MachineName,
    program: &str,
    variable: Option<&str>,
) -> Vec<u32> {
    let is_meant = |member: &u32| {
        // It may end while it is looked at.
        let read = |file: &str| fs::read(format!("/proc/{member}/{file}")).unwrap_or_default();
        let (line, environment) = (read("cmdline"), read("environ"));
        let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let runs = Path::new(OsStr::from_bytes(first)).file_name() == Some(OsStr::new(program));
        let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
        runs && variable.is_none_or(has)
    };
    hierarchies.all(place, machine).into_iter().filter(is_meant).collect()
}

/// Ends processes.
pub(crate) fn kill_processes(processes: &[u32]) -> Result<(), Error> {
    for process in processes {
        if let Some(pid) = i32::try_from(*process).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL)
                .map_err(|error| Error::io("end process", process.to_string())(error.into()))?;
        }
    }
    Ok(())
}

/// Writes to a file of a process until there is no more room for it, and on account of the process's own memory; how long it is then.
pub(crate) fn fill(hierarchies: &Hierarchies, process: u32, file: &str) -> Result<u64, Error> {
    let seen = format!("/proc/{process}/root{file}");
    let cgroup = hierarchies.memory_of(process)?;
    // Whoever touches a page first has it on his account.
    let script = r#"echo $$ > "$1/cgroup.procs" && LC_ALL=C dd if=/dev/zero of="$2" bs=64k 2>&1 | grep -F 'No space left on device'"#;
    run(Command::new("sh").args(["-c", script, "sh"]).arg(cgroup).arg(&seen))?;
    Ok(fs::metadata(&seen).map_err(Error::io("look at", &seen))?.len())
}

pub(crate) fn is_running(place: &Place, hierarchies: &Hierarchies, machine: MachineName) -> bool {
    first_process(place, hierarchies, machine).is_some()
}

/// Imports a docker-archive into the containerd of a running node.
pub(crate) fn import(
    place: &Place,
    hierarchies: &Hierarchies,
    node: MachineName,
    ctr: &Path,
    archive: &Path,
) -> Result<(), Error> {
    let pid = first_process(place, hierarchies, node).ok_or_else(|| Error::NotReady {
        what: format!("{node} does not run"),
        seconds: 0,
        logs: format!("its logs are in {}", place.machine(node).join("log").display()),
    })?;
    // The archive is read out here, the socket is the node's.
    let socket = format!("/proc/{pid}/root/run/containerd/containerd.sock");
    run(Command::new(ctr)
        .args(["--address", &socket, "--namespace", "k8s.io", "images", "import"])
        .arg(archive))?;
    Ok(())
}

/// Whether the node's containerd has its socket.
pub(crate) fn has_containerd(place: &Place, hierarchies: &Hierarchies, node: MachineName) -> bool {
    first_process(place, hierarchies, node)
        .is_some_and(|pid| Path::new(&format!("/proc/{pid}/root/run/containerd/containerd.sock")).exists())
}

/// The process that is number 1 in the machine, by its number out here.
fn first_process(place: &Place, hierarchies: &Hierarchies, machine: MachineName) -> Option<u32> {
    hierarchies
        .members(place, machine)
        .into_iter()
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| is_first(&status)))
}

/// Whether a process of `/proc/PID/status` is the first of a process namespace directly below ours.
fn is_first(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().skip(1).eq(["1"]))
}

fn write(path: &Path, content: &str) -> Result<(), Error> {
    fs::write(path, content).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_is_number_one_one_level_down() {
        assert!(is_first("Name:\tsh\nNSpid:\t4711\t1\n"));
        for other in ["NSpid:\t4711\n", "NSpid:\t4711\t7\n", "NSpid:\t4711\t9\t1\n", "Name:\tx\n"] {
            assert!(!is_first(other), "{other}");
        }
    }
}
