//! Open files: a fleet of thousands of connections needs more of them than a process may have by default.
//!
//! From: the process's limits. For: the binary and its benchmark, at their start. What may be had without being root is
//! taken. Deliberately absent: more than the system's own limit (`ulimit -Hn`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that this process may have open as far as it may; how many that are.
pub fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // No number means no limit.
    (if raised.is_ok() { maximum } else { current }).unwrap_or(u64::MAX)
}
