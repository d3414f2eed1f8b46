//! What the pods of a story run: a bot that answers.
//!
//! Deliberately absent: jobs, which have threads of their own (`tests/fleet/handlers.rs`).

use shard_bot::{Command, CommandError, Context, Input, Reply};

/// Answers.
pub(super) struct Ping;

impl Command for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn description(&self) -> &'static str {
        "answers"
    }

    async fn run(&self, _: Input, _: Context) -> Result<Reply, CommandError> {
        Ok(Reply::text("pong"))
    }
}
