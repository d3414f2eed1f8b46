//! What bots are made of: installed from the registries at pinned versions, once for each language, then found in the cache.
//!
//! A kit is a folder whose name carries a hash of its pins, so that changed pins are another folder and unchanged ones are never
//! installed twice; it is made beside its place and renamed when complete, under a lock that a second caller waits for. Every
//! package is held to a hash that stands in the pins. A test gets the kit of its own library, so a language that nobody asked
//! for is not needed. Deliberately absent: what each kit is (the files below), and what the machine must have (`machine.rs`).

pub mod go;
pub mod java;
pub mod node;
pub mod python;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest as _, Sha256};

use test_cluster::run_logged;

/// One language's folder, and how it comes to be.
#[derive(Debug)]
pub struct Kit {
    /// Part of the folder's name.
    name: &'static str,
    /// What is installed and how long that takes, for a person who waits.
    told: &'static str,
    /// What is installed, by name and content; in the folder before it is filled.
    pins: &'static [(&'static str, &'static str)],
    /// How it is installed, which is as good as a pin.
    how: &'static [&'static [&'static str]],
    /// Whether what is in a folder still runs, which may lean on programs of the machine.
    works: fn(&Path) -> bool,
    /// Fills a folder.
    fill: fn(&Path) -> Result<()>,
    /// Found or made, for all tests of this process together.
    folder: OnceLock<Result<PathBuf, String>>,
}

impl Kit {
    /// Its folder: found in the cache, or made.
    pub fn folder(&self) -> Result<&Path> {
        let found = self.folder.get_or_init(|| self.ensure().map_err(|error| format!("{error:#}")));
        match found {
            Ok(folder) => Ok(folder),
            Err(error) => Err(anyhow!("the kit {} is not there: {error}", self.name)),
        }
    }

    fn ensure(&self) -> Result<PathBuf> {
        let cache = test_cluster::cache()?;
        let folder = cache.join(format!("clients-{}-{}", self.name, self.hash()));
        if (self.works)(&folder) {
            return Ok(folder);
        }
        fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let lock = cache.join(format!("clients-{}.lock", self.name));
        let held = File::create(&lock).with_context(|| format!("create {}", lock.display()))?;
        if held.try_lock().is_err() {
            tell(&format!("{}: waiting for another program that installs the same", self.name));
            held.lock().with_context(|| format!("lock {}", lock.display()))?;
        }
        if !(self.works)(&folder) {
            self.make(&folder)?;
        }
        Ok(folder)
    }

    /// Fills a folder beside `target`, then renames it.
    fn make(&self, target: &Path) -> Result<()> {
        let part = target.with_extension("part");
        for old in [part.as_path(), target] {
            if old.exists() {
                fs::remove_dir_all(old).with_context(|| format!("remove {}", old.display()))?;
            }
        }
        fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
        for (name, content) in self.pins {
            fs::write(part.join(name), content).with_context(|| format!("write {name}"))?;
        }
        tell(&format!("installing {}, once", self.told));
        (self.fill)(&part)?;
        fs::rename(&part, target).with_context(|| format!("rename {}", part.display()))
    }

    /// Sixteen hex digits over the pins and the ways of installing.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in self.pins {
            hash.update(format!("{name} {}\n{content}", content.len()));
        }
        hash.update(format!("{:?}", self.how));
        format!("{:x}", hash.finalize()).chars().take(16).collect()
    }
}

/// Says it on standard error; kits that are made at once share one place there.
pub fn tell(line: &str) {
    type Printer = Box<dyn FnMut(&str) + Send>;
    static PRINTER: LazyLock<Mutex<Printer>> =
        LazyLock::new(|| Mutex::new(Box::new(test_cluster::printer())));
    PRINTER.lock().unwrap_or_else(PoisonError::into_inner)(line);
}

/// Runs a command in the folder, telling how long it takes; a failure quotes what it said.
fn run(what: &str, command: &mut Command, folder: &Path) -> Result<()> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let name = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let log = folder.join("install.log");
    let how_long = |time: Duration| tell(&format!("  {what}: {} s", time.as_secs()));
    let ended = run_logged(command.current_dir(folder), &log, how_long)?;
    if ended.success() {
        return Ok(());
    }
    let said = fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(15)..].join("\n    ");
    bail!("{name} failed ({ended}):\n    {last}")
}
