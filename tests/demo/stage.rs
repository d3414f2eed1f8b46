//! Stages with their times, as the person in front of the terminal sees them.
//!
//! One line a stage when it ends, and what it does meanwhile below it. Deliberately absent: colours and cursor tricks, so
//! that a log reads as well as a terminal.

use anyhow::{Context, Result};
use std::io::Write;
use std::time::{Duration, Instant};

/// The stages so far.
#[derive(Debug)]
pub struct Stages {
    started: Instant,
    number: usize,
}

impl Stages {
    /// The clock starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), number: 0 }
    }

    /// Runs a stage: says what it is, lets it say what it does, and how long it took.
    ///
    /// # Errors
    /// The stage's own, with its name.
    pub fn run<T>(&mut self, what: &str, stage: impl FnOnce(&mut dyn FnMut(&str)) -> Result<T>) -> Result<T> {
        self.number += 1;
        let began = Instant::now();
        print(&format!("\n[{}] {what}\n", self.number));
        let mut say = |line: &str| print(&format!("    {line}\n"));
        let outcome = stage(&mut say).with_context(|| format!("could not {what}"));
        if outcome.is_ok() {
            print(&format!("    done in {:.1} s\n", began.elapsed().as_secs_f64()));
        }
        outcome
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Shows text; a closed output is not the demo's failure.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
