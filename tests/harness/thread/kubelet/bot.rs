//! What the pods of a story run: a bot that answers, and dies where it is asked to.
//!
//! Deliberately absent: jobs, which have threads of their own (`tests/fleet/handlers.rs`).

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Kubelet;
use shard_bot::{Command, CommandError, Context, Input, Reply};

/// How often each message was begun by handlers that were not told that it may have been before. Discord sends a reply once, however
/// often it is asked to, so that its ledger does not show a message that is handled twice.
#[derive(Clone, Default)]
pub(super) struct Begun(Arc<Mutex<BTreeMap<u64, u32>>>);

impl Begun {
    fn note(&self, input: &Input, context: &Context) {
        if !context.redelivered() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(input.message.get()).or_default() +=
                1;
        }
    }

    /// The messages that were so more than once.
    pub(super) fn twice(&self) -> Vec<u64> {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.iter().filter(|(_, times)| **times > 1).map(|(message, _)| *message).collect()
    }
}

impl Kubelet {
    /// Messages that more than one handler took for never begun, and nobody marked.
    #[must_use]
    pub fn begun_twice(&self) -> Vec<u64> {
        self.shared.begun.twice()
    }
}

/// Answers.
pub(super) struct Ping(pub(super) Begun);

impl Command for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn description(&self) -> &'static str {
        "answers"
    }

    async fn run(&self, input: Input, context: Context) -> Result<Reply, CommandError> {
        self.0.note(&input, &context);
        Ok(Reply::text("pong"))
    }
}

/// Kills its process, as soon as the kubelet looks.
pub(super) struct Die(pub(super) Arc<AtomicBool>);

impl Command for Die {
    fn name(&self) -> &'static str {
        "die"
    }

    fn description(&self) -> &'static str {
        "kills the process"
    }

    async fn run(&self, _: Input, _: Context) -> Result<Reply, CommandError> {
        self.0.store(true, Ordering::Relaxed);
        pending().await
    }
}
