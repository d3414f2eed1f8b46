//! Each change with an injected fault at each of its moments, all of them: wherever somebody dies or misses an event, it ends as without.
//!
//! From changes to a summary. A moment that ends otherwise is told with the command that has it again. Deliberately absent: samples
//! (`row.rs`), and two faults in one story.

use super::change::{self, Change, Changed};
use super::inject::{Injection, Kind};
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use strum::IntoEnumIterator as _;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Stories told, by what happened in them.
    pub stories: BTreeMap<Kind, u64>,
    /// Those that ended otherwise, and how.
    pub failed: Vec<String>,
    /// Real time.
    pub took: Duration,
}

impl Summary {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let each: Vec<_> = self.stories.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("{}; {} failed; {:.0} s", each.join(", "), self.failed.len(), self.took.as_secs_f64())
    }
}

/// Tells each change without a fault, then with each.
#[must_use]
pub fn run(changes: &[Change]) -> Summary {
    let begun = Instant::now();
    let summary = Mutex::new(Summary::default());
    let told = |problem: Result<()>, what: String| {
        if let Err(error) = problem {
            summary.lock().unwrap_or_else(PoisonError::into_inner).failed.push(format!("{what}: {error:#}"));
        }
    };
    let without = |change: &Change| match change::run(*change, None, None) {
        Ok(told) => Some((*change, told)),
        Err(error) => {
            told(Err(error), again(*change, None));
            None
        }
    };
    let plain: Vec<_> = changes.par_iter().filter_map(without).collect();
    let stories: Vec<_> = plain
        .iter()
        .flat_map(|(change, plain)| {
            let injections = Kind::iter().flat_map(|kind| {
                let moments = plain.moments.get(&kind).copied().unwrap_or(0);
                (1..=moments).map(move |at| Injection { kind, at })
            });
            injections.map(move |injection| (*change, plain, injection))
        })
        .collect();
    stories.par_iter().for_each(|(change, plain, injection)| {
        told(with_a_fault(*change, plain, *injection), again(*change, Some(*injection)));
        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        *summary.stories.entry(injection.kind).or_default() += 1;
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.took = begun.elapsed();
    summary
}

/// One story with a fault; its end is the one without.
///
/// # Errors
/// When it is not, or when it took IDENTIFYs that were not needed.
pub fn with_a_fault(change: Change, plain: &Changed, injection: Injection) -> Result<()> {
    let changed = change::run(change, Some(injection), Some(&plain.standing))?;
    let more = match injection.kind {
        // A container that dies in the midst of an IDENTIFY has to ask for another: one for each shard of its pod.
        Kind::PodDies => 2,
        // A layout was made that the next operator does not see: it makes another, and stops the first when it sees it.
        Kind::OperatorDiesAndTheNextReadsOld => plain.shards,
        _ => 0,
    };
    ensure!(
        (plain.identifies..=plain.identifies + more).contains(&changed.identifies),
        "{} IDENTIFYs, {} without",
        changed.identifies,
        plain.identifies
    );
    Ok(())
}

/// One story, as a command names it: what it was without a fault, and that it ended so with it.
///
/// # Errors
/// When it ends otherwise.
pub fn one(change: Change, injection: Option<Injection>) -> Result<Changed> {
    let plain = change::run(change, None, None).context("without a fault")?;
    if let Some(injection) = injection {
        with_a_fault(change, &plain, injection)?;
    }
    Ok(plain)
}

/// The command that has it again.
fn again(change: Change, injection: Option<Injection>) -> String {
    let injection = injection.map(|injection| format!(" --inject {injection}")).unwrap_or_default();
    format!("cargo soak --change {change}{injection} --trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_that_fails_names_its_command() {
        let injection = Injection { kind: Kind::PodDies, at: 3 };
        let command = "cargo soak --change more-shards --inject pod-dies:3 --trace";
        assert_eq!(again(Change::MoreShards, Some(injection)), command);
    }
}
