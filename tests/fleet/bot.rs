//! A bot whose jobs never end, for the fleet's test of just that.
//!
//! `!forever` begins one and says so; `!ping` shows that all else goes on. Deliberately absent: anything that a real bot would
//! want to have.

use shard_bot::{Bot, Command, CommandError, Context, Input, Intents, Reply};
use std::time::Duration;

/// Less than Discord keeps a session of the tests' fleets.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

struct Forever;

impl Command for Forever {
    fn name(&self) -> &'static str {
        "forever"
    }

    fn description(&self) -> &'static str {
        "A job that never ends"
    }

    async fn run(&self, _: Input, ctx: Context) -> Result<Reply, CommandError> {
        Ok(Reply::later("it has begun", async move {
            ctx.jobs()
                .run(|| -> String {
                    loop {
                        std::thread::park();
                    }
                })
                .await
                .map_err(Into::into)
        }))
    }
}

struct Ping;

impl Command for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn description(&self) -> &'static str {
        "An answer"
    }

    async fn run(&self, _: Input, _: Context) -> Result<Reply, CommandError> {
        Ok(Reply::text("pong"))
    }
}

#[tokio::main]
async fn main() -> Result<(), shard_bot::Error> {
    Bot::from_env()?
        .intents(Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT)
        .command(Forever)
        .command(Ping)
        .shutdown_timeout(SHUTDOWN_TIMEOUT)
        .run()
        .await
}
