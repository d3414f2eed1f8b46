//! What can go wrong on the way to a cluster, each with what was found and the remedy.
//!
//! One enum for the crate, since its callers do the same with all of them: show it and stop. A message that
//! has a daemon's log behind it quotes the log's tail and says where the whole of it is. Deliberately absent:
//! retries and codes; whoever meets a condition that passes by itself waits for it in `ready.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine cannot run one at all.
    #[error("a cluster needs {needs}, and this is {found}; {remedy}")]
    Unsuitable {
        /// What is needed.
        needs: &'static str,
        /// What was found.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An option has a value that cannot be used.
    #[error("{option} is {found:?}; it must be {rule}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Debian packages are missing and cannot be installed from here.
    #[error("these programs are missing: {}; get them with: {remedy}", .missing.join(", "))]
    Packages {
        /// The programs' names.
        missing: Vec<String>,
        /// The command that gets them.
        remedy: String,
    },
    /// Go is missing, or too old for `programs/go.mod`.
    #[error("building Kubernetes needs Go {wanted} or newer, and {found}; get it from https://go.dev/dl")]
    Go {
        /// The version `go.mod` names.
        wanted: String,
        /// What was found instead.
        found: String,
    },
    /// A command ended with an error.
    #[error("{what} failed ({status}):\n{output}")]
    Command {
        /// The command, as typed.
        what: String,
        /// How it ended.
        status: String,
        /// The tail of what it said.
        output: String,
    },
    /// A command was ended because something beside it has failed.
    #[error("{what} was stopped")]
    Stopped {
        /// The command, as typed.
        what: String,
    },
    /// A file, folder or program could not be used.
    #[error("cannot {attempt} {}", .path.display())]
    Io {
        /// What was tried, a verb.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The cluster did not come up.
    #[error("{what} after {seconds} s; {logs}")]
    NotReady {
        /// What was waited for and how far it came.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The tails of the logs that tell why, and where they are.
        logs: String,
    },
    /// A cluster of that name belongs to a program that is running.
    #[error(
        "cluster {name:?} is used by another program (its keeper runs); wait for its end or choose another name"
    )]
    InUse {
        /// The cluster's name.
        name: String,
    },
    /// A cluster of that name is up, but not the one asked for.
    #[error(
        "cluster {name:?} is up with {found}; take it down first (`cargo cluster down`) or choose another name"
    )]
    Differs {
        /// The cluster's name.
        name: String,
        /// What it has.
        found: String,
    },
    /// There is no cluster of that name.
    #[error("cluster {name:?} is not up; start it with `cargo cluster up`")]
    NotUp {
        /// The cluster's name.
        name: String,
    },
}

impl Error {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { attempt, path, source }
    }
}

/// The last lines of a log, indented for quoting; says so if there is none.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let Ok(bytes) = fs::read(log) else { return "    (no log)\n".to_owned() };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut quoted = String::new();
    for line in &all[all.len().saturating_sub(lines)..] {
        let _ = writeln!(quoted, "    {}", line.chars().take(400).collect::<String>());
    }
    if quoted.is_empty() { "    (empty log)\n".to_owned() } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_last_lines_that_say_something() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "one\ntwo\n\nthree\n\n").unwrap();
        assert_eq!(tail(&log, 2), "    two\n    three\n");
        assert_eq!(tail(&folder.path().join("none"), 2), "    (no log)\n");
    }
}
