//! A fresh machine: Debian as it is installed and nothing else, in namespaces of its own, gone when its command ends.
//!
//! For proofs that need a machine on which nothing was ever run. Its root file system is one that debootstrap made, never
//! written to; what is installed into it is memory, and its home folder and `/tmp` are on the disk. Guarantees: whatever ends
//! the command or its caller, every process, mount, cgroup and file of it goes (`fresh/machine.sh`). How packages, crates and
//! modules are fetched is as on this machine (`fresh/host.rs`). Deliberately absent: a network and a kernel of its own.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::io::{PipeWriter, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, fs};
use test_cluster::debian::{self, Need};

mod base;
mod host;

/// Its home folder.
pub const HOME: &str = "/root";
/// Where the system's own programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What makes it.
const SCRIPT: &str = include_str!("fresh/machine.sh");
/// Programs of this machine, and Debian's packages of them, with which another one is made.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("debootstrap", &["debootstrap"]),
    ("unshare", &["util-linux"]),
    ("pivot_root", &["util-linux"]),
    ("setsid", &["util-linux"]),
];

/// One that is being furnished; nothing of it runs yet.
#[derive(Debug)]
pub struct Fresh {
    folder: PathBuf,
    mounts: Vec<String>,
    command: Command,
}

impl Fresh {
    /// Makes one. The first on a machine runs debootstrap, about a minute, and keeps what that makes.
    ///
    /// # Errors
    /// Without root and Linux, or when Debian cannot be had; says what is missing and the remedy.
    pub fn new(progress: &mut dyn FnMut(&str)) -> Result<Self> {
        test_cluster::setup::check_machine()?;
        let needs = PROGRAMS.map(|(name, packages)| Need::program(name, packages));
        debian::ensure(&needs, progress)?;
        let cache = test_cluster::cache()?;
        let root = base::ensure(&cache, progress)?;
        let folder =
            tempfile::Builder::new().prefix("fresh-").tempdir_in(&cache).context("make a folder")?.keep();
        let mut fresh = Self { folder, mounts: Vec::new(), command: Command::new("setsid") };
        let script = fresh.folder.join("machine.sh");
        for name in ["memory", "home", "tmp"] {
            fs::create_dir(fresh.folder.join(name)).with_context(|| format!("create {name}"))?;
        }
        fs::write(&script, SCRIPT).context("write the script")?;
        fresh.command.arg("sh").arg(&script).arg("keep").current_dir("/").env_clear();
        let own = [("PATH", PATH), ("HOME", HOME), ("HOME_OF", HOME), ("LANG", "C.UTF-8")];
        fresh.command.envs(own).env("ROOT", &root).env("FOLDER", &fresh.folder);
        host::copy(&mut fresh)?;
        Ok(fresh)
    }

    /// Its home folder, as it is found out here until it runs.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The folder of all its files that are on the disk; gone with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Shows it a folder or a file of this machine, which it cannot change.
    ///
    /// # Errors
    /// When a path cannot be told to it, as one with blanks.
    pub fn show(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.mount("ro", from, to)
    }

    /// Gives it a folder of this machine as its own: what it changes there goes with it and is not changed out here.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn lend(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.mount("over", from, to)
    }

    fn mount(&mut self, how: &str, from: &Path, to: &Path) -> Result<()> {
        for path in [from, to] {
            let text = path.to_str().filter(|text| !text.contains([' ', '\t', '\n', ',', ':']));
            text.with_context(|| format!("{}: such a path cannot be mounted", path.display()))?;
        }
        self.mounts.push(format!("{how} {} {}", from.display(), to.display()));
        Ok(())
    }

    /// Tells it where this machine's go fetches modules.
    ///
    /// # Errors
    /// Without go.
    pub fn fetches_modules(&mut self) -> Result<()> {
        host::go(self)
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.command.env(name, value);
    }

    /// Puts folders in front of its search path.
    ///
    /// # Errors
    /// When a folder's name has a colon.
    pub fn search(&mut self, folders: &[PathBuf]) -> Result<()> {
        let path = env::join_paths(folders.iter().cloned().chain(env::split_paths(PATH)))?;
        self.command.env("PATH", path);
        Ok(())
    }

    /// Starts a command in it, with no input and its output where that is told to be.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut self, words: &[&str], output: Stdio, errors: Stdio) -> Result<Running> {
        // Only this process holds the other end: however it ends, the machine does too.
        let (reader, writer) = pipe().context("make a pipe")?;
        self.command.env("MOUNTS", self.mounts.join("\n")).args(words);
        let machine =
            self.command.stdin(reader).stdout(output).stderr(errors).spawn().context("run setsid")?;
        // Who reads the outputs to their end is not to wait for copies in this process.
        self.command = Command::new("true");
        Ok(Running { machine, pipe: Some(writer), _fresh: self })
    }

    /// Runs a command in it; returns when nothing of the machine is left.
    ///
    /// # Errors
    /// When it cannot be started; how the command ended is what is returned.
    pub fn run(self, words: &[&str], output: Stdio, errors: Stdio) -> Result<ExitStatus> {
        self.start(words, output, errors)?.wait()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Where it ran, it is gone already.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One whose command runs. Dropped, it ends, and nothing of it is left.
#[derive(Debug)]
pub struct Running {
    machine: Child,
    pipe: Option<PipeWriter>,
    _fresh: Fresh,
}

impl Running {
    /// Waits until the command has ended and nothing of the machine is left.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(mut self) -> Result<ExitStatus> {
        self.machine.wait().context("wait for the machine")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.machine.wait();
    }
}
