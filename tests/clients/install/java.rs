//! The kit of Java: JDA with all that it needs, and a bot of it, compiled.
//!
//! From Maven Central. Maven checks what it downloads against the hashes beside it there; what it hands over is then held to the
//! hashes that stand here. For: `library.rs`. Deliberately absent: a build by Maven, whose plug-ins would be more to pin than
//! one call of the compiler is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::{Kit, run};
use crate::machine;

/// JDA and its bot.
pub static JAVA: Kit = Kit {
    name: "java",
    told: "JDA, compiling its bot: about half a minute",
    pins: &[
        ("pom.xml", include_str!("../java/pom.xml")),
        ("jars.sha256", JARS),
        ("JdaBot.java", include_str!("../bots/JdaBot.java")),
    ],
    how: &[&MAVEN, &JAVAC],
    works: |folder| machine::is_good_java(&java(folder)),
    fill,
    folder: OnceLock::new(),
};
/// The hash and the name of each jar, as sha256sum writes them.
const JARS: &str = include_str!("../java/jars.sha256");
const MAVEN: [&str; 7] = [
    "--batch-mode",
    "--strict-checksums",
    "--no-transfer-progress",
    "-Dstyle.color=never",
    "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
    "-DincludeScope=runtime",
    "-DoutputDirectory=lib",
];
const JAVAC: [&str; 9] =
    ["--release", "17", "-Xlint:all", "-Werror", "-classpath", "lib/*", "-d", "classes", "JdaBot.java"];
/// A start that takes little of the processors: many bots run at once, and none of them for long.
const JVM: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"];

pub fn java(made: &Path) -> PathBuf {
    made.join("java")
}

/// What Java is started with to be the bot.
pub fn arguments(made: &Path) -> Vec<OsString> {
    let mut classpath = made.join("classes").into_os_string();
    classpath.push(":");
    classpath.push(made.join("lib/*"));
    let options = JVM.map(OsString::from).into_iter();
    options.chain(["-classpath".into(), classpath, "JdaBot".into()]).collect()
}

fn fill(part: &Path) -> Result<()> {
    let programs = machine::java(&mut |line| super::tell(line))?;
    run("pom.xml, from Maven Central", Command::new(programs.maven).args(MAVEN), part).context(
        "Maven did not give what is pinned; is Maven Central reached, with this machine's settings of Maven?",
    )?;
    are_pinned(&part.join("lib"))?;
    run("compiling the bot", Command::new(programs.javac).args(JAVAC), part)?;
    symlink(programs.java, java(part)).context("link java")
}

/// The jars in a folder are those of the pins, each and no other.
fn are_pinned(folder: &Path) -> Result<()> {
    let mut pinned: BTreeMap<_, _> =
        JARS.lines().filter_map(|line| line.split_once("  ")).map(|(hash, name)| (name, hash)).collect();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let jar = entry?.path();
        let content = fs::read(&jar).with_context(|| format!("read {}", jar.display()))?;
        let found = format!("{:x}", Sha256::digest(content));
        let name = jar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match pinned.remove(name) {
            Some(hash) if hash == found => {}
            Some(hash) => bail!("{name} from Maven Central has the hash {found}; pinned is {hash}"),
            None => bail!("Maven Central gave {name}, which is not in jars.sha256"),
        }
    }
    match pinned.keys().next() {
        None => Ok(()),
        Some(name) => bail!("Maven Central did not give {name}, which is in jars.sha256"),
    }
}
