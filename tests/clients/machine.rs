//! What the machine itself has to have: Python with venv, Node.js with npm, and a JDK with Maven.
//!
//! From: the search path. For: `install.rs`. Python and Java that are missing are installed where that can be done, on Debian as
//! root; elsewhere an error says what is missing and how to get it. Node.js that is missing is none of this file's business: it
//! comes as a package of Python. Deliberately absent: what the bots are made of, and versions that are pinned.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};
use test_cluster::debian::{self, Need, callers_program};

/// What hikari 2.7 runs on.
const PYTHONS: &str = "Python 3.11 to 3.15 with venv";
/// Says why it will not do, if it will not. Debian has ensurepip, without which there is no venv, in a package of its own.
const IS_GOOD: &str = "import sys\n\
    if not (3, 11) <= sys.version_info[:2] <= (3, 15): sys.exit('it is ' + sys.version.split()[0])\n\
    import ensurepip, venv; ensurepip.version()";
/// What @discordjs/ws 2 runs on.
const OLDEST_NODE: u32 = 20;
/// Debian 12's, for which the bot of JDA is compiled.
const OLDEST_JAVA: u32 = 17;

/// What makes a bot of Java, and runs it.
#[derive(Debug)]
pub struct Jdk {
    pub java: PathBuf,
    pub javac: PathBuf,
    pub maven: PathBuf,
}

/// A Python that will do; installs one where there is none.
pub fn python(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let missing = || find_python().err().map(|refused| format!("{PYTHONS} ({refused})"));
    debian::ensure(&[Need::new(&["python3", "python3-venv"], missing)], progress)?;
    find_python().map_err(|refused| anyhow!("{PYTHONS} is missing ({refused})"))
}

/// A JDK that will do, and a Maven that runs; installs them where they are not.
pub fn java(progress: &mut dyn FnMut(&str)) -> Result<Jdk> {
    let missing = || find_java().err();
    debian::ensure(&[Need::new(&["default-jdk-headless", "maven"], missing)], progress)?;
    find_java().map_err(|missing| anyhow!("missing: {missing}"))
}

/// Whether this is a Java that will do.
pub fn is_good_java(java: &Path) -> bool {
    let said = output(Command::new(java).arg("--version")).unwrap_or_default();
    major_of(&said).is_some_and(|major| major >= OLDEST_JAVA)
}

fn find_java() -> Result<Jdk, String> {
    let is_good_javac = |javac: &Path| {
        let said = output(Command::new(javac).arg("--version")).unwrap_or_default();
        major_of(&said).is_some_and(|major| major >= OLDEST_JAVA)
    };
    let runs = |maven: &Path| output(Command::new(maven).arg("--version")).is_some();
    let [java, javac, maven] = ["java", "javac", "mvn"].map(callers_program);
    let good = (
        java.filter(|java| is_good_java(java)),
        javac.filter(|javac| is_good_javac(javac)),
        maven.filter(|maven| runs(maven)),
    );
    match good {
        (Some(java), Some(javac), Some(maven)) => Ok(Jdk { java, javac, maven }),
        (Some(_), Some(_), None) => Err("Maven (mvn)".to_owned()),
        _ => Err(format!("a JDK of Java {OLDEST_JAVA} or newer (java and javac), with Maven (mvn)")),
    }
}

/// The first number of a version such as `openjdk 17.0.15 2025-04-15` or `javac 21-ea`.
fn major_of(said: &str) -> Option<u32> {
    let version = said.split_whitespace().nth(1)?;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
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
