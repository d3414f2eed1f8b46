//! What the machine itself has to have: Python with venv, and Node.js with npm.
//!
//! From: the search path. For: `install.rs`. Python that is missing is installed where that can be done, on Debian as root;
//! elsewhere an error says what is missing and how to get it. Node.js that is missing is none of this file's business: it
//! comes as a package of Python. Deliberately absent: what the bots are made of, and versions that are pinned.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};
use test_cluster::debian::{self, callers_program};

/// What hikari 2.7 runs on.
const PYTHONS: &str = "Python 3.11 to 3.15 with venv";
/// Says why it will not do, if it will not. Debian has ensurepip, without which there is no venv, in a package of its own.
const IS_GOOD: &str = "import sys\n\
    if not (3, 11) <= sys.version_info[:2] <= (3, 15): sys.exit('it is ' + sys.version.split()[0])\n\
    import ensurepip, venv; ensurepip.version()";
/// What @discordjs/ws 2 runs on.
const OLDEST_NODE: u32 = 20;

/// A Python that will do; installs one where there is none.
pub fn python(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let refused = match find_python() {
        Ok(python) => return Ok(python),
        Err(refused) => refused,
    };
    let missing = |refused: String| format!("{PYTHONS} ({refused})");
    let still = || find_python().err().map(missing).into_iter().collect();
    debian::install(vec![missing(refused)], &["python3", "python3-venv"], progress, still)?;
    find_python().map_err(|refused| anyhow!("{PYTHONS} is missing ({refused})"))
}

/// Node.js that will do, with its npm; none where there is none.
pub fn node() -> Option<(PathBuf, PathBuf)> {
    let (node, npm) = (callers_program("node")?, callers_program("npm")?);
    let has_npm = output(Command::new(&npm).arg("--version")).is_some();
    (is_good_node(&node) && has_npm).then_some((node, npm))
}

/// Whether this is a Node.js that will do.
pub fn is_good_node(node: &Path) -> bool {
    let version = output(Command::new(node).arg("--version")).unwrap_or_default();
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= OLDEST_NODE)
}

/// Whether this is a Python that runs.
pub fn is_good_python(python: &Path) -> bool {
    output(Command::new(python).args(["-c", IS_GOOD])).is_some()
}

/// The first that will do, or why each one does not.
fn find_python() -> Result<PathBuf, String> {
    let named = ["python3", "python3.13", "python3.12", "python3.11", "python3.14", "python3.15"];
    let candidates = named.into_iter().filter_map(callers_program).chain(["/usr/bin/python3".into()]);
    let mut refused = Vec::new();
    for python in candidates.filter(|python| python.is_file()) {
        let tried = Command::new(&python).args(["-c", IS_GOOD]).stdin(Stdio::null()).output();
        let why = match tried {
            Ok(tried) if tried.status.success() => return Ok(python),
            Ok(tried) => {
                let said = String::from_utf8_lossy(&tried.stderr);
                said.lines().last().unwrap_or("it failed").to_owned()
            }
            Err(error) => error.to_string(),
        };
        let why = format!("{}: {why}", python.display());
        if !refused.contains(&why) {
            refused.push(why);
        }
    }
    Err(if refused.is_empty() { "there is no python3".to_owned() } else { refused.join("; ") })
}

/// What it wrote, where it ended well.
fn output(command: &mut Command) -> Option<String> {
    let ended = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    ended.status.success().then(|| String::from_utf8_lossy(&ended.stdout).into_owned())
}
