//! CPU jobs: the pod's own rayon pool behind a bounded door, so that they never disturb the gateway.
//!
//! Flow: `run(job)` -> a place in the queue, or a refusal the caller sees -> a pool thread -> the result over a
//! oneshot. The pool has as many threads as the process may use CPUs (cgroup limits included), at a lower priority
//! than the rest of the process, so that heartbeats stay on time; inside a job, `rayon::join` and parallel iterators
//! use the same pool. A job that panics is an error for its caller and is counted; one whose caller left before it
//! began is skipped. Caveat of rayon: a job that waits inside `join` may run another queued job meanwhile.
//! Deliberately absent: a time limit, since a computation cannot be stopped from outside.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::available_parallelism,
};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use shard_machine::JobThreads;
use tokio::sync::oneshot;

use crate::seen::job_counts::JobCounts;

/// Jobs that may wait when nothing else is said.
pub(crate) const DEFAULT_QUEUED: u32 = 64;

/// How much nicer job threads are than the rest of the process (0 to 19).
const NICENESS: i32 = 10;

/// The pod's pool. Clones share it.
#[derive(Clone, Debug)]
pub struct Jobs {
    runner: Runner,
    max_queued: u32,
    counts: Arc<JobCounts>,
}

/// What runs jobs.
#[derive(Clone, Debug)]
enum Runner {
    Pool(Arc<ThreadPool>),
    Inline,
}

impl Runner {
    fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        match self {
            Self::Pool(pool) => pool.spawn(job),
            Self::Inline => drop(tokio::spawn(async move { job() })),
        }
    }
}

/// A job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// As many jobs wait already as may wait; nothing was begun.
    #[error("too many jobs are waiting ({queued}), try again in a moment")]
    Full {
        /// How many wait.
        queued: u32,
    },
    /// The job panicked.
    #[error("the job panicked")]
    Panicked,
}

impl Jobs {
    /// A pool of its own, before whose threads at most `max_queued` jobs wait.
    pub(crate) fn new(max_queued: u32, threads: JobThreads) -> Result<Self, ThreadPoolBuildError> {
        let runner = match threads {
            JobThreads::Pool => Runner::Pool(Arc::new(pool()?)),
            JobThreads::Inline => Runner::Inline,
        };
        Ok(Self { runner, max_queued, counts: Arc::new(JobCounts::new()) })
    }

    /// Runs `job` on the pool and waits for its result, without blocking the event loop.
    pub async fn run<T, F>(&self, job: F) -> Result<T, JobError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let counts = Arc::clone(&self.counts);
        counts.queue(self.max_queued).map_err(|queued| JobError::Full { queued })?;
        let (reply, result) = oneshot::channel();
        self.runner.spawn(move || {
            if reply.is_closed() {
                return counts.left();
            }
            counts.begun();
            let outcome = catch_unwind(AssertUnwindSafe(job));
            counts.ended(outcome.is_ok());
            // Only fails when the caller left.
            drop(reply.send(outcome));
        });
        match result.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) | Err(_) => Err(JobError::Panicked),
        }
    }

    /// Threads of the pool.
    pub fn threads(&self) -> usize {
        match &self.runner {
            Runner::Pool(pool) => pool.current_num_threads(),
            Runner::Inline => 1,
        }
    }

    /// How many there are, and were.
    pub(crate) const fn counts(&self) -> &Arc<JobCounts> {
        &self.counts
    }

    /// Waits until no job runs or waits.
    pub(crate) async fn drained(&self) {
        self.counts.until(|jobs| jobs.running == 0 && jobs.queued == 0).await;
    }
}

fn pool() -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(available_parallelism().map_or(1, usize::from))
        .thread_name(|index| format!("job-{index}"))
        .start_handler(|_| yield_to_gateway())
        .build()
}

/// Lowers the calling thread's priority; on Linux a priority belongs to the thread.
fn yield_to_gateway() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "job threads run at the gateway's priority");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Keeps every thread of the pool busy until the senders are dropped.
    async fn occupy(jobs: &Jobs) -> Vec<mpsc::Sender<()>> {
        let mut keys = Vec::new();
        for _ in 0..jobs.threads() {
            let (key, lock) = mpsc::channel::<()>();
            let busy = jobs.clone();
            tokio::spawn(async move { busy.run(move || lock.recv().is_err()).await });
            keys.push(key);
        }
        jobs.counts.until(|counts| counts.running as usize == jobs.threads()).await;
        keys
    }

    #[tokio::test]
    async fn a_job_runs_on_a_thread_of_the_pool_at_a_lower_priority() {
        let jobs = Jobs::new(4, JobThreads::Pool).unwrap();
        let (name, priority) = jobs
            .run(|| {
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                (name, rustix::process::getpriority_process(None).unwrap())
            })
            .await
            .unwrap();
        assert!(name.starts_with("job-"), "{name}");
        assert!(priority >= NICENESS, "{priority}");
        assert!(rustix::process::getpriority_process(None).unwrap() < NICENESS, "this thread keeps its own");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_says_so_then_drains() {
        let jobs = Jobs::new(2, JobThreads::Pool).unwrap();
        let keys = occupy(&jobs).await;
        let waiting: Vec<_> = (0..2)
            .map(|number| {
                let jobs = jobs.clone();
                tokio::spawn(async move { jobs.run(move || number).await })
            })
            .collect();
        while jobs.counts.report().queued < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(jobs.run(|| 0).await, Err(JobError::Full { queued: 2 }));
        assert_eq!(jobs.counts.report().refused, 1);

        drop(keys);
        jobs.drained().await;
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), Ok(number));
        }
        assert_eq!(jobs.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_the_callers_error_and_the_pool_lives_on() {
        let jobs = Jobs::new(4, JobThreads::Pool).unwrap();
        assert_eq!(jobs.run(|| panic!("as planned")).await, Err::<(), _>(JobError::Panicked));
        assert_eq!((jobs.counts.panicked(), jobs.counts.done()), (1, 0));
        assert_eq!(jobs.run(|| rayon::join(|| 1, || 2)).await, Ok((1, 2)));
        assert_eq!(jobs.counts.done(), 1);
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_is_skipped() {
        let jobs = Jobs::new(4, JobThreads::Pool).unwrap();
        let keys = occupy(&jobs).await;
        let (ran, never) = mpsc::channel();
        let left = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.run(move || ran.send(())).await }
        });
        while jobs.counts.report().queued == 0 {
            tokio::task::yield_now().await;
        }
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        drop(keys);
        jobs.drained().await;
        assert!(never.recv().is_err(), "it was dropped without having run");
    }
}
