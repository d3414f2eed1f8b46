//! The tasks of one process, which end with it.
//!
//! On a real machine the system ends them with the process. In a test a process is a future among others: what it began beside itself ends
//! when the test says so ([`Tasks::end`]), at once, as by SIGKILL. Deliberately absent: waiting for them, and tasks that live no
//! longer than a future that owns them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::{AbortHandle, JoinHandle};

/// What a process began. Clones are the same process's.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<Begun>>);

#[derive(Debug, Default)]
struct Begun {
    tasks: Vec<AbortHandle>,
    is_over: bool,
}

impl Tasks {
    /// Begins a task; after the end nothing begins.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let mut begun = self.begun();
        let handle = tokio::spawn(task);
        begun.tasks.retain(|task| !task.is_finished());
        begun.tasks.push(handle.abort_handle());
        if begun.is_over {
            handle.abort();
        }
        handle
    }

    /// Ends them all.
    pub fn end(&self) {
        let mut begun = self.begun();
        begun.is_over = true;
        begun.tasks.drain(..).for_each(|task| task.abort());
    }

    /// It stays usable when a task panicked: each change is one step.
    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn at_the_end_every_task_ends_and_none_begins() {
        let tasks = Tasks::default();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let before = tasks.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert_eq!(tasks.spawn(async { 7 }).await.unwrap(), 7);
        tasks.end();
        assert!(before.await.unwrap_err().is_cancelled() && dropped.await.is_err());
        assert!(tasks.spawn(std::future::pending::<()>()).await.unwrap_err().is_cancelled());
    }
}
