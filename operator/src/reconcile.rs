//! One round for one bot: observe, plan, apply, report. The page to read first.
//!
//! Nothing is remembered between rounds but savings; a round that is cut off is repeated. A refusal of the API server
//! still reaches the status before it goes to the back-off. Deliberately absent: everything that a verb does.

use crate::apply::apply;
use crate::context::{Context, Key};
use crate::crd::ShardedBot;
use crate::observe::{self, observe};
use crate::plan::plan;
use crate::report::{self, report};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A round that could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading.
    #[error("observe")]
    Observe(#[source] observe::Error),
    /// A step was refused; its cause is in the status.
    #[error("apply: {message}")]
    Apply {
        /// What it was.
        message: String,
        /// The longest that the next round may be put off; none: as long as the back-off says.
        again_within: Option<Duration>,
    },
    /// Writing the status.
    #[error("report")]
    Report(#[source] report::Error),
}

/// One round.
///
/// # Errors
/// Goes to [`retry`], which waits longer each time.
pub async fn reconcile(bot: Arc<ShardedBot>, ctx: Arc<Context>) -> Result<Action, Error> {
    let key: Key = (bot.namespace().unwrap_or_default(), bot.name_any());
    if bot.metadata.deletion_timestamp.is_some() {
        // Children go by owner reference.
        ctx.forget(&key);
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let round = round(&bot, &ctx).await;
    ctx.metrics.round(started.elapsed(), round.is_ok());
    let again = round?;
    ctx.memory.succeeded(&key);
    Ok(Action::requeue(again))
}

async fn round(bot: &ShardedBot, ctx: &Context) -> Result<Duration, Error> {
    let observed = observe(ctx, bot).await.map_err(Error::Observe)?;
    let plan = plan(bot, &observed);
    let applied = apply(ctx, bot, &plan).await;
    let held_back = report(ctx, bot, &observed, &plan, &applied).await.map_err(Error::Report)?;
    if !applied.changed.is_empty() {
        tracing::info!(bot = bot.name_any(), namespace = bot.namespace(), changed = ?applied.changed, verdict = ?plan.verdict, "applied");
    }
    match applied.failure {
        // Who waits for a lost node's pods does not wait longer because of something else.
        Some(failure) => Err(Error::Apply {
            message: failure.note.message,
            again_within: plan.node_loss.is_some().then_some(plan.next_check),
        }),
        None => Ok(held_back.map_or(plan.next_check, |due| due.min(plan.next_check))),
    }
}

/// How long to wait after a failed round: 1 s, doubling for each failure in a row, at most 5 minutes.
#[expect(clippy::needless_pass_by_value, reason = "the controller hands both over as they are")]
pub fn retry(bot: Arc<ShardedBot>, error: &Error, ctx: Arc<Context>) -> Action {
    let wait = ctx.memory.failed((bot.namespace().unwrap_or_default(), bot.name_any()));
    let wait = match error {
        Error::Apply { again_within: Some(most), .. } => wait.min(*most),
        _ => wait,
    };
    let cause = std::error::Error::source(error).map(chain);
    tracing::warn!(bot = bot.name_any(), namespace = bot.namespace(), %error, cause, wait_seconds = wait.as_secs(), "a round failed");
    Action::requeue(wait)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut deeper = error.source();
    while let Some(source) = deeper {
        text = format!("{text}: {source}");
        deeper = source.source();
    }
    text
}
