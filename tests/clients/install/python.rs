//! The kits of Python: an environment with discord.py and hikari, one with py-cord, and the package zstandard beside them.
//!
//! From PyPI, wheels only, each held to its hash. py-cord has an environment of its own since its package is called `discord`,
//! as discord.py's is. For: `library.rs`, and `node.rs` where the machine has no Node.js. Deliberately absent: packages that are
//! compiled here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::{Kit, run};
use crate::machine;

/// discord.py and hikari, and zstandard in a folder of its own.
pub static PYTHON: Kit = Kit {
    name: "python",
    told: "discord.py and hikari: about half a minute",
    pins: &[
        ("requirements.txt", include_str!("../python/requirements.txt")),
        ("zstandard.txt", include_str!("../python/zstandard.txt")),
    ],
    how: &[&PIP],
    works,
    fill: |part| {
        environment(part)?;
        pip(part, &python(part), &["requirements.txt"])?;
        pip(part, &python(part), &["zstandard.txt", "--target", "zstandard"])
    },
    folder: OnceLock::new(),
};
/// py-cord.
pub static PYCORD: Kit = Kit {
    name: "pycord",
    told: "py-cord: about half a minute",
    pins: &[("pycord.txt", include_str!("../python/pycord.txt"))],
    how: &[&PIP],
    works,
    fill: |part| {
        environment(part)?;
        pip(part, &python(part), &["pycord.txt"])
    },
    folder: OnceLock::new(),
};
/// How it is installed: each hash is checked, nothing is compiled.
pub const PIP: [&str; 8] = [
    "-m",
    "pip",
    "install",
    "--disable-pip-version-check",
    "--no-input",
    "--require-hashes",
    "--only-binary=:all:",
    "--requirement",
];
/// The Python of a kit's environment.
pub fn python(made: &Path) -> PathBuf {
    made.join("python/bin/python")
}

/// The folder of the package zstandard, which is in no environment.
pub fn zstandard() -> Result<PathBuf> {
    Ok(PYTHON.folder()?.join("zstandard"))
}

/// Installs what a file of pins in the folder names, with a Python that has pip.
pub fn pip(folder: &Path, python: &Path, arguments: &[&str]) -> Result<()> {
    let what = format!("{}, from PyPI", arguments[0]);
    run(&what, Command::new(python).args(PIP).args(arguments), folder)
        .context("PyPI did not give what is pinned; is it reached, with this machine's settings of pip?")
}

fn environment(part: &Path) -> Result<()> {
    let what = "making an environment of Python";
    run(
        what,
        Command::new(machine::python(&mut |line| super::tell(line))?)
            .args(["-m", "venv"])
            .arg(part.join("python")),
        part,
    )
}

fn works(folder: &Path) -> bool {
    machine::is_good_python(&python(folder))
}
