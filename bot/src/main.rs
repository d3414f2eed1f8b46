//! The reference bot: `!fib n`, `!shards`, `!ping`, `!panic`, and a line per shard when it is ready.
//!
//! Shows what a bot author writes and nothing else: each command is a file in `commands/`. In a pod it needs no
//! configuration; elsewhere: `SHARD_TOTAL=1 DISCORD_TOKEN=... cargo run -p shard-bot`.

mod commands;

use shard_bot::{Bot, Intents};

#[tokio::main]
async fn main() -> Result<(), shard_bot::Error> {
    Bot::from_env()?
        .intents(Intents::GUILD_MESSAGES | Intents::DIRECT_MESSAGES | Intents::MESSAGE_CONTENT)
        .command(commands::Fib)
        .command(commands::Shards)
        .command(commands::Ping)
        .command(commands::Panic)
        .run()
        .await
}
