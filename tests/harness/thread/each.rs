//! Each change with a blow at each of its moments, all of them: wherever somebody dies or misses an event, it ends as without.
//!
//! From changes to a summary. A moment that ends otherwise is told with the command that has it again. Deliberately absent: samples
//! (`row.rs`), and two blows in one story.

use super::blow::{Blow, Kind};
use super::change::{self, Change, Changed};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Tells each change without a blow, then with each.
#[must_use]
pub fn run(changes: &[Change], threads: usize) -> Summary {
    let begun = Instant::now();
    let summary = Mutex::new(Summary::default());
    let told = |problem: Result<()>, what: String| {
        if let Err(error) = problem {
            summary.lock().unwrap_or_else(PoisonError::into_inner).failed.push(format!("{what}: {error:#}"));
        }
    };
    let plain: Vec<_> = side_by_side(threads, changes, |change| match change::run(*change, None, None) {
        Ok(told) => Some((*change, told)),
        Err(error) => {
            told(Err(error), again(*change, None));
            None
        }
    });
    let plain: Vec<_> = plain.into_iter().flatten().collect();
    let stories: Vec<_> = plain
        .iter()
        .flat_map(|(change, plain)| {
            let blows = Kind::iter().flat_map(|kind| {
                let moments = plain.moments.get(&kind).copied().unwrap_or(0);
                (1..=moments).map(move |at| Blow { kind, at })
            });
            blows.map(move |blow| (*change, plain, blow))
        })
        .collect();
    side_by_side(threads, &stories, |(change, plain, blow)| {
        told(with_a_blow(*change, plain, *blow), again(*change, Some(*blow)));
        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        *summary.stories.entry(blow.kind).or_default() += 1;
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.took = begun.elapsed();
    summary
}

/// One story with a blow; its end is the one without.
///
/// # Errors
/// When it is not, or when it took IDENTIFYs that were not needed.
pub fn with_a_blow(change: Change, plain: &Changed, blow: Blow) -> Result<()> {
    let changed = change::run(change, Some(blow), Some(&plain.standing))?;
    let more = match blow.kind {
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

/// One story, as a command names it: what it was without a blow, and that it ended so with it.
///
/// # Errors
/// When it ends otherwise.
pub fn one(change: Change, blow: Option<Blow>) -> Result<Changed> {
    let plain = change::run(change, None, None).context("without a blow")?;
    if let Some(blow) = blow {
        with_a_blow(change, &plain, blow)?;
    }
    Ok(plain)
}

/// The command that has it again.
fn again(change: Change, blow: Option<Blow>) -> String {
    let blow = blow.map(|blow| format!(" --blow {blow}")).unwrap_or_default();
    format!("cargo soak --change {change}{blow} --trace")
}

/// Does all of these, so many at a time; what came of each, in order.
pub fn side_by_side<T: Sync, R: Send>(threads: usize, all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(at) else { return };
            let came = each(one);
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, came);
        }
    };
    std::thread::scope(|scope| {
        (0..threads.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_side_by_side_comes_in_order() {
        assert_eq!(side_by_side(2, &[1, 2, 3, 4], |one| one * 2), [2, 4, 6, 8]);
        assert!(
            again(Change::MoreShards, Some(Blow { kind: Kind::PodDies, at: 3 }))
                .contains("more-shards --blow pod-dies:3")
        );
    }
}
