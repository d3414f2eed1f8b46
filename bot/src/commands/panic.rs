//! `!panic [where]`: fails as no command should, so that one can see what becomes of it.
//!
//! The user gets an answer, the metrics count it, and pod, shard and session go on as if nothing had been. `!panic job` does
//! the same on the pod's job pool. Deliberately absent: any harm.

use shard_bot::{Command, CommandError, Context, Input, Parameter, Reply};

/// Panics.
pub struct Panic;

impl Command for Panic {
    fn name(&self) -> &'static str {
        "panic"
    }

    fn description(&self) -> &'static str {
        "Fails on purpose, to see that nothing else does; in a CPU job with `job`"
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::text("where", "`job`, or nothing").optional()]
    }

    async fn run(&self, input: Input, ctx: Context) -> Result<Reply, CommandError> {
        if input.text("where").is_ok_and(|place| place == "job") {
            ctx.jobs().run(fail).await?;
        } else {
            fail();
        }
        Ok(Reply::text("nothing happened"))
    }
}

#[expect(clippy::panic, reason = "it is what the command is for")]
fn fail() {
    panic!("as the user asked for");
}
