//! `!shards`: the guilds of each shard of this pod.

use std::fmt::Write as _;

use shard_bot::{Command, CommandError, Context, Input, Reply, ShardStatus};

/// Lists the pod's shards.
pub struct Shards;

impl Command for Shards {
    fn name(&self) -> &'static str {
        "shards"
    }

    fn description(&self) -> &'static str {
        "The guilds of each shard of this pod"
    }

    async fn run(&self, _: Input, ctx: Context) -> Result<Reply, CommandError> {
        Ok(Reply::text(list(&ctx.shards(), ctx.shard(), ctx.total())))
    }
}

fn list(shards: &[ShardStatus], here: u32, total: u32) -> String {
    let guilds: u32 = shards.iter().map(|shard| shard.guilds).sum();
    let mut text = format!("{} of {total} shards in this pod, {guilds} guilds\n```\n", shards.len());
    for ShardStatus { id, state, guilds, latency, .. } in shards {
        let latency = latency.map_or_else(|| "-".to_owned(), |latency| format!("{} ms", latency.as_millis()));
        let mark = if *id == here { "  <- you are here" } else { "" };
        // Writing to a string cannot fail.
        _ = writeln!(text, "shard {id:>3}  {state:?}  {guilds:>5} guilds  {latency:>6}{mark}");
    }
    text.push_str("```");
    text
}
