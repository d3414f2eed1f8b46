//! `!ping`: whether the bot is there, and how far Discord is.

use shard_bot::{Command, CommandError, Context, Input, Reply};

/// Answers with the shard and its latency.
pub struct Ping;

impl Command for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn description(&self) -> &'static str {
        "Whether the bot is there, and how far Discord is"
    }

    async fn run(&self, _: Input, ctx: Context) -> Result<Reply, CommandError> {
        let shard = ctx.shard();
        let latency =
            ctx.shards().into_iter().find(|status| status.id == shard).and_then(|status| status.latency);
        Ok(Reply::text(match latency {
            Some(latency) => {
                format!("pong from shard {shard} of {}, {} ms", ctx.total(), latency.as_millis())
            }
            None => format!("pong from shard {shard} of {}", ctx.total()),
        }))
    }
}
