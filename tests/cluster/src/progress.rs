//! How progress is shown: a line for each step with the time since the start.
//!
//! The library tells steps to a closure of its caller; [`printer`] is the closure for people, on standard
//! error. A line that begins with two spaces says how far the step above it is: on a terminal it overwrites
//! the one before, in a log it is written every 15 s. Deliberately absent: bars and colours.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a log is told that a step is still under way.
const IN_A_LOG: Duration = Duration::from_secs(15);

/// A progress closure for [`crate::Cluster::up`] that writes to standard error.
pub fn printer() -> impl FnMut(&str) {
    let start = Instant::now();
    let terminal = io::stderr().is_terminal();
    let mut overwritable = false;
    let mut last = start;
    move |line| {
        let still = line.starts_with("  ");
        if still && !terminal && last.elapsed() < IN_A_LOG {
            return;
        }
        last = Instant::now();
        let over = if overwritable { "\r\x1b[K" } else { "" };
        let end = if still && terminal { "" } else { "\n" };
        overwritable = still && terminal;
        let seconds = start.elapsed().as_secs_f32();
        // Nobody to read it is no reason to stop.
        let _ = write!(io::stderr(), "{over}{seconds:6.1} s  {line}{end}");
    }
}
