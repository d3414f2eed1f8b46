//! The cluster's cgroups: made before a machine starts, read to know what runs on it, removed after it.
//!
//! Both forms, v1 (a tree for each controller) and v2 (one tree); kubelet makes the pods' own below a node's.
//! In one tree the machine's daemons are members too (`MACHINE/machine`), which is how they are all found,
//! whoever started them. Deliberately absent: limits (kubelet sets the pods') and the removal of the whole
//! cluster's (`removal.sh`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::place::{MachineName, Place};

const ROOT: &str = "/sys/fs/cgroup";

/// The hierarchies of this host.
pub(crate) struct Hierarchies {
    roots: Vec<PathBuf>,
    /// The one that tells which processes are a machine's.
    members: PathBuf,
}

impl Hierarchies {
    pub fn find() -> Result<Self, Error> {
        Self::below(Path::new(ROOT))
    }

    fn below(root: &Path) -> Result<Self, Error> {
        if root.join("cgroup.controllers").exists() {
            return Ok(Self { roots: vec![root.to_owned()], members: root.to_owned() });
        }
        let mut roots = Vec::new();
        for entry in fs::read_dir(root).map_err(Error::io("read", root))? {
            let entry = entry.map_err(Error::io("read", root))?;
            // Links such as `cpu` to `cpu,cpuacct` name a tree twice.
            let real = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if real && entry.path().join("cgroup.procs").exists() {
                roots.push(entry.path());
            }
        }
        let members = [root.join("pids"), root.join("systemd")].into_iter().find(|path| roots.contains(path));
        let members = members.or_else(|| roots.first().cloned()).ok_or_else(|| Error::Unsuitable {
            needs: "cgroups mounted at /sys/fs/cgroup",
            found: "a system without them there".to_owned(),
            remedy: "mount them, or in a container give it --privileged",
        })?;
        Ok(Self { roots, members })
    }

    /// Makes a machine's cgroups in every tree.
    pub fn make(&self, place: &Place, machine: MachineName) -> Result<(), Error> {
        let path = place.cgroup().join(machine.to_string());
        for root in &self.roots {
            let mut level = root.clone();
            for part in &path {
                enable_controllers(&level)?;
                let below = level.join(part);
                make_one(&below)?;
                copy_cpuset(&level, &below)?;
                level = below;
            }
            enable_controllers(&level)?;
        }
        make_one(&self.members_of(place, machine))
    }

    /// Makes a cgroup beside the machines' whose processes run while nobody else wants to; where it is, in every tree.
    pub fn make_idle(&self, place: &Place) -> Result<Vec<String>, Error> {
        let path = place.cgroup().join("beside");
        let mut made = Vec::new();
        for root in &self.roots {
            let below = root.join(&path);
            make_one(&below)?;
            copy_cpuset(root, &below)?;
            // Since Linux 5.15, in both forms; only the tree of the controller `cpu` has it.
            let idle = below.join("cpu.idle");
            if idle.exists() {
                fs::write(&idle, "1").map_err(Error::io("write", &idle))?;
            }
            made.push(below.display().to_string());
        }
        Ok(made)
    }

    /// The cgroup that a machine's daemons are members of.
    pub fn members_of(&self, place: &Place, machine: MachineName) -> PathBuf {
        self.members.join(place.cgroup()).join(machine.to_string()).join("machine")
    }

    /// The daemons' process ids; none if the machine does not run.
    pub fn members(&self, place: &Place, machine: MachineName) -> Vec<u32> {
        processes(&self.members_of(place, machine))
    }

    /// The ids of all its processes, those of a node's pods included.
    pub fn all(&self, place: &Place, machine: MachineName) -> Vec<u32> {
        let mut found = Vec::new();
        let mut trees = vec![self.members.join(place.cgroup()).join(machine.to_string())];
        while let Some(tree) = trees.pop() {
            found.extend(processes(&tree));
            // A pod's may go while it is looked at.
            let below = fs::read_dir(&tree).into_iter().flatten().flatten();
            trees.extend(
                below.filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir())).map(|one| one.path()),
            );
        }
        found
    }

    /// The cgroup whose memory a process's is.
    pub fn memory_of(&self, process: u32) -> Result<PathBuf, Error> {
        let file = PathBuf::from(format!("/proc/{process}/cgroup"));
        let text = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        let path = |line: &str| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let tree = if controllers.is_empty() { "" } else { "memory" };
            let is_it = controllers.split(',').any(|controller| controller == tree);
            let root = Path::new(ROOT).join(tree);
            (is_it && self.roots.contains(&root)).then(|| root.join(path.trim_start_matches('/')))
        };
        text.lines().find_map(path).ok_or_else(|| Error::Unsuitable {
            needs: "a cgroup for memory",
            found: text.clone(),
            remedy: "enable the controller `memory`",
        })
    }

    /// Removes a machine's cgroups after its end, for up to a second: the kernel lets go of them a little
    /// later.
    pub fn remove(&self, place: &Place, machine: MachineName) -> Result<(), Error> {
        let path = place.cgroup().join(machine.to_string());
        let deadline = Instant::now() + Duration::from_secs(1);
        for root in &self.roots {
            let tree = root.join(&path);
            while let Err(error) = remove_tree(&tree) {
                if Instant::now() > deadline {
                    return Err(Error::io("remove", tree)(error));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

fn make_one(path: &Path) -> Result<(), Error> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("create", path)(error)),
        _ => Ok(()),
    }
}

/// v1: a fresh cpuset is empty, and no process may enter it.
fn copy_cpuset(from: &Path, to: &Path) -> Result<(), Error> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(value) = fs::read_to_string(from.join(name)) else { continue };
        let file = to.join(name);
        // v2 inherits by itself, and there the file may not even exist at the root.
        if !to.join("cgroup.controllers").exists() {
            fs::write(&file, value.trim()).map_err(Error::io("write", &file))?;
        }
    }
    Ok(())
}

/// v2: what is made below has the controllers that are named here.
fn enable_controllers(level: &Path) -> Result<(), Error> {
    let Ok(controllers) = fs::read_to_string(level.join("cgroup.controllers")) else { return Ok(()) };
    let file = level.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    for name in missing(&controllers, &enabled) {
        fs::write(&file, format!("+{name}")).map_err(Error::io("enable a controller in", &file))?;
    }
    Ok(())
}

/// The controllers that kubelet needs and that are there but not enabled.
fn missing<'a>(controllers: &'a str, enabled: &str) -> Vec<&'a str> {
    let needed = ["cpu", "cpuset", "io", "memory", "pids"];
    let is_enabled = |name: &&str| enabled.split_whitespace().any(|other| other == *name);
    controllers.split_whitespace().filter(|name| needed.contains(name) && !is_enabled(name)).collect()
}

fn processes(cgroup: &Path) -> Vec<u32> {
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    members.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Deepest first; a tree that is not there is removed already.
fn remove_tree(tree: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(tree) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_has_a_tree_for_each_controller_and_links_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cpu,cpuacct", "pids", "not-a-cgroup"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("cpu,cpuacct/cgroup.procs"), "").unwrap();
        fs::write(root.path().join("pids/cgroup.procs"), "").unwrap();
        std::os::unix::fs::symlink("cpu,cpuacct", root.path().join("cpu")).unwrap();
        let found = Hierarchies::below(root.path()).unwrap();
        assert_eq!(found.roots.len(), 2);
        let place = Place::of("x").unwrap();
        assert_eq!(
            found.members_of(&place, MachineName::Node(1)),
            root.path().join("pids/shard-operator/x/node-1/machine")
        );
    }

    #[test]
    fn v2_is_one_tree() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu io").unwrap();
        assert_eq!(Hierarchies::below(root.path()).unwrap().roots, [root.path()]);
    }

    #[test]
    fn only_needed_controllers_are_enabled() {
        assert_eq!(missing("cpuset cpu io memory hugetlb pids\n", "cpu memory\n"), ["cpuset", "io", "pids"]);
    }

    #[test]
    fn a_tree_goes_deepest_first() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("a");
        fs::create_dir_all(tree.join("b/c")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
