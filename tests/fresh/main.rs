//! `cargo fresh`: the first command of a newcomer, on a machine that has Rust and Go and nothing else.
//!
//! The machine is made by debootstrap (`harness/fresh.rs`); the toolchains of this one are shown to it, with the linker that
//! Rust needs, and a clone of the checkout as it is committed. It has no packages, no crates, no modules and no caches, so it
//! takes as long as a newcomer waits. Nothing of it is left. Deliberately absent: another network, another kernel.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use shard_tests::checkout::root;
use shard_tests::fresh::{Fresh, HOME};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Runs a command in a clone of this checkout, on a machine with Rust, Go and nothing else. Needs root on Debian.
#[derive(Debug, Parser)]
#[command(name = "cargo fresh", bin_name = "cargo fresh")]
struct Arguments {
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_values = ["cargo", "demo"])]
    command: Vec<String>,
}

/// What Rust's own documentation asks for beside Rust: a linker. Then the command, in the clone.
const FIRST: &str = "apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null && \
    cd shard-operator && exec \"$@\"";

fn main() -> ExitCode {
    match fresh(&Arguments::parse_from(test_cluster::typed(std::env::args_os()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fresh(arguments: &Arguments) -> Result<()> {
    let mut progress = test_cluster::printer();
    let mut machine = Fresh::new(&mut progress)?;
    machine.fetches_modules()?;
    let mut folders = Vec::new();
    for toolchain in [said("rustc", &["--print", "sysroot"])?, said("go", &["env", "GOROOT"])?] {
        let folder = PathBuf::from(toolchain);
        machine.show(&folder, &folder)?;
        folders.push(folder.join("bin"));
    }
    machine.search(&folders)?;
    machine.env("DEBIAN_FRONTEND", "noninteractive");
    clone(&machine.home().join("shard-operator"))?;
    let words = arguments.command.join(" ");
    progress(&format!("on a fresh machine, in a clone of what is committed: {words}"));
    let script = format!("cd {HOME} && {FIRST}");
    let command =
        ["sh", "-c", &script, "fresh"].into_iter().chain(arguments.command.iter().map(String::as_str));
    let ended = machine.run(&command.collect::<Vec<_>>(), Stdio::inherit(), Stdio::inherit())?;
    ensure!(ended.success(), "{words}, on a fresh machine: {ended}");
    progress("the machine is gone");
    Ok(())
}

fn clone(target: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--no-hardlinks"]).arg(root()).arg(target);
    let ended = git.status().context("run git")?;
    ensure!(ended.success(), "{git:?}: {ended}");
    Ok(())
}

/// What a program printed, without the end of the line.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
