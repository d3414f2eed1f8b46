//! The first command on a fresh machine: a Debian on which nothing was ever installed, built or cached.
//!
//! What the demo does before its story runs there by itself: the packages come from Debian, the images from buildah, and a
//! cluster starts on them. Our programs and Kubernetes' are lent to it as they are built out here, since building them takes a
//! quarter of an hour; `cargo fresh` builds them there as well. Deliberately absent: the story, which is the same everywhere.

#![expect(clippy::unwrap_used, reason = "a test's own functions fail like the test")]

use shard_tests::checkout::{programs, root};
use shard_tests::fresh::{Fresh, HOME};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use test_cluster::{Stop, printer};

/// Whatever this prints on the way is nothing that a machine with packages would.
const NOTHING_IS_THERE: &str = "set -eu
for program in runc iptables ip conntrack catatonit buildah curl python3; do
  if command -v $program; then echo 'and it should not be there' >&2; exit 1; fi
done
";

/// A fresh machine with the checkout and what is built of it, at the same places, but for every image.
fn with_programs() -> Fresh {
    test_cluster::setup::build(&Stop::default(), &mut printer()).unwrap();
    let programs = programs().unwrap();
    let mut machine = Fresh::new(&mut printer()).unwrap();
    machine.show(root(), root()).unwrap();
    machine.lend(&programs, &programs).unwrap();
    let cache = test_cluster::cache().unwrap();
    for built in kubernetes(&cache) {
        let there = Path::new(HOME).join(".cache/shard-operator").join(built.file_name().unwrap());
        machine.lend(&built, &there).unwrap();
    }
    machine.env("PROGRAMS", &programs);
    // Our programs are built, so that cargo has nothing to do.
    machine.env("CARGO", "/bin/true");
    machine
}

fn kubernetes(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap());
    let built = entries.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with("programs-") && entry.path().join("helm").exists()
    });
    built.map(|entry| entry.path()).collect()
}

/// Runs a script there; returns how it ended and all that was said.
fn run(machine: Fresh, script: &str) -> (bool, String) {
    let said = tempfile::NamedTempFile::new().unwrap();
    let output = || Stdio::from(File::options().append(true).open(said.path()).unwrap());
    let ended = machine.run(&["sh", "-c", script], output(), output()).unwrap();
    (ended.success(), fs::read_to_string(said.path()).unwrap())
}

#[test]
fn on_a_fresh_machine_the_demo_finds_or_makes_all_that_it_needs_and_a_cluster_starts() {
    let script = format!(
        "{NOTHING_IS_THERE}
        rm -rf $PROGRAMS/images {HOME}/.cache/shard-operator/programs-*/*.tar
        $PROGRAMS/demo --prepare
        ls $PROGRAMS/images {HOME}/.cache/shard-operator/programs-*/*.tar
        $PROGRAMS/cluster --name fresh up
        $PROGRAMS/cluster --name fresh down
        $PROGRAMS/demo --prepare | sed 's/^/again: /'"
    );
    let (ended_well, said) = run(with_programs(), &script);
    assert!(ended_well, "{said}");
    for expected in [
        "missing here, and made once",
        "Debian packages: runc",
        "\nshard-operator-",
        "shard-bot-",
        "discord-sim-",
        "pause.tar",
        "coredns.tar",
        "the cluster's DNS is ready",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
    // What was told to happen once did.
    let again: Vec<_> = said.lines().filter(|line| line.starts_with("again: ")).collect();
    assert!(!again.is_empty() && !again.iter().any(|line| line.contains("missing here")), "{said}");
}

#[test]
fn what_cannot_be_installed_is_told_before_anything_is_built() {
    let mut machine = Fresh::new(&mut printer()).unwrap();
    let programs = programs().unwrap();
    machine.show(root(), root()).unwrap();
    // They may stand elsewhere, by CARGO_TARGET_DIR.
    machine.show(&programs, &programs).unwrap();
    machine.env("DEMO", programs.join("demo"));
    // No cargo: whatever is built before the packages are there has another error.
    machine.env("CARGO", "/nowhere/cargo");
    let (ended_well, said) = run(machine, &format!("{NOTHING_IS_THERE} $DEMO --prepare"));
    assert!(!ended_well, "{said}");
    assert!(said.contains("building Kubernetes needs Go"), "{said}");
    assert!(!said.contains("/nowhere/cargo"), "{said}");
}

#[test]
fn a_fresh_machine_is_gone_with_its_caller_and_all_that_it_ran() {
    let machine = Fresh::new(&mut printer()).unwrap();
    let folder = machine.folder().to_owned();
    let (mut reader, writer) = std::io::pipe().unwrap();
    // It leaves its session and its parent, and holds the pipe open as long as it lives.
    let script = "setsid sh -c 'exec sleep 1000' & echo started; wait";
    let running = machine.start(&["sh", "-c", script], writer.into(), Stdio::null()).unwrap();
    let mut started = [0; 8];
    reader.read_exact(&mut started).unwrap();
    assert_eq!(&started, b"started\n");
    assert!(folder.exists());
    // As the kernel does for a caller that ends, however it ends.
    drop(running);
    assert_eq!(reader.read(&mut started).unwrap(), 0, "a process is left");
    assert!(!folder.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
}
