//! Two long pieces of work, side by side or one after the other; the first failure is the end of both.
//!
//! From `setup.rs`. The other one is told to stop, and what is returned is the failure that came first, never the complaint of
//! the one that was stopped for it. Deliberately absent: how work is stopped, which is that of commands (`test_cluster::Stop`).

use anyhow::Result;
use std::sync::{Mutex, PoisonError};
use std::thread;
use test_cluster::Stop;

/// Raised unless the work beside it was done: also by a panic.
struct Unless<'a> {
    done: bool,
    stop: &'a Stop,
}

impl Drop for Unless<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.stop.raise();
        }
    }
}

/// Does both.
///
/// # Errors
/// The first failure.
pub(super) fn both<A: Send, B: Send>(
    side_by_side: bool,
    first: impl FnOnce(&Stop) -> Result<A> + Send,
    second: impl FnOnce(&Stop) -> Result<B> + Send,
) -> Result<(A, B)> {
    let stop = Stop::default();
    if !side_by_side {
        return Ok((first(&stop)?, second(&stop)?));
    }
    let failure = Mutex::new(None);
    let (a, b) = thread::scope(|scope| {
        let beside = scope.spawn(|| one(second, &stop, &failure));
        let a = one(first, &stop, &failure);
        (a, beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        // Without a failure there are both.
        None => a.zip(b).ok_or_else(|| anyhow::anyhow!("was stopped for no reason")),
    }
}

fn one<T>(
    work: impl FnOnce(&Stop) -> Result<T>,
    stop: &Stop,
    failure: &Mutex<Option<anyhow::Error>>,
) -> Option<T> {
    let mut unless = Unless { done: false, stop };
    match work(stop) {
        Ok(done) => {
            unless.done = true;
            Some(done)
        }
        Err(error) => {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::process::Command;
    use test_cluster::run_shown;

    /// Ends in 1000 s by itself.
    fn build(stop: &Stop) -> Result<()> {
        let ended = run_shown(stop, Command::new("sleep").arg("1000"))?;
        bail!("it was not stopped: {ended}")
    }

    #[test]
    fn a_failure_on_either_side_ends_the_other_at_once_and_is_the_one_that_is_told() {
        let fail = |_: &Stop| -> Result<()> { bail!("no buildah") };
        assert_eq!(both(true, fail, build).unwrap_err().to_string(), "no buildah");
        assert_eq!(both(true, build, fail).unwrap_err().to_string(), "no buildah");
    }

    #[test]
    fn a_panic_on_one_side_ends_the_other() {
        let panics = |_: &Stop| -> Result<()> { panic!("a mistake") };
        std::panic::catch_unwind(|| both(true, panics, build)).unwrap_err();
        std::panic::catch_unwind(|| both(true, build, panics)).unwrap_err();
    }

    #[test]
    fn one_after_the_other_the_second_is_not_begun_when_the_first_fails() {
        let fail = |_: &Stop| -> Result<()> { bail!("no cargo") };
        let never = |_: &Stop| -> Result<()> { panic!("it was begun") };
        assert_eq!(both(false, fail, never).unwrap_err().to_string(), "no cargo");
    }

    #[test]
    fn both_results_are_there_either_way() {
        for side_by_side in [false, true] {
            assert_eq!(both(side_by_side, |_| Ok(1), |_| Ok("two")).unwrap(), (1, "two"));
        }
    }
}
