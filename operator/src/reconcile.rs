//! One round for one bot: observe, plan, apply, report. The page to read first.
//!
//! Nothing is remembered between rounds but savings; a round that is cut off is repeated. A refusal of the API server
//! still reaches the status before it goes to the back-off. Deliberately absent: everything that a verb does.

use crate::apply::apply;
use crate::claims::Standing;
use crate::context::{Context, Key};
use crate::crd::{Listed, ShardedBot};
use crate::model::{Child, Note, Observed, Plan};
use crate::observe::{self, Kept, admission, current, observe};
use crate::plan::{plan, question};
use crate::report::{self, is_quiet, report};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a round may take: a bot of 256 Secrets on a slow API server takes a minute.
const LONGEST_ROUND: Duration = Duration::from_secs(300);
/// How soon a bot comes again that found no room for its template.
const WITHOUT_ROOM: Duration = Duration::from_secs(2);
/// How soon a bot comes again whose namespace another installation keeps.
const UNKEPT: Duration = Duration::from_secs(15);

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
    /// Nobody can tell who keeps the bots of its namespace.
    #[error(
        "claim: the Lease shard-operator.dev in the bot's namespace can neither be had nor be seen to be another's; whether the operator may get, create, update and patch it there is told in its log"
    )]
    Unclaimed,
    /// It took too long.
    #[error("the round did not end within {} s", LONGEST_ROUND.as_secs())]
    TooLong,
    /// Writing the status.
    #[error("report")]
    Report(#[source] report::Error),
}

/// One round.
///
/// # Errors
/// Goes to [`retry`], which waits longer each time.
pub async fn reconcile(listed: Arc<Listed<ShardedBot>>, ctx: Arc<Context>) -> Result<Action, Error> {
    let key: Key = (listed.namespace().unwrap_or_default(), listed.name_any());
    if let Err(wait) = ctx.rounds.take(&key) {
        return Ok(Action::requeue(wait));
    }
    let started = Instant::now();
    let round = tokio::time::timeout(LONGEST_ROUND, round(&listed, &key, &ctx)).await;
    let round = round.unwrap_or(Err(Error::TooLong));
    ctx.metrics.round(started.elapsed(), round.is_ok());
    if round.is_err() {
        ctx.memory.looked_in_vain(&key);
    }
    let again = round?;
    ctx.memory.succeeded(&key);
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Returns when the next round is due; none when the bot is gone or going.
async fn round(listed: &Listed<ShardedBot>, key: &Key, ctx: &Context) -> Result<Option<Duration>, Error> {
    ctx.claims.touch(&key.0);
    if let Some(wait) = waits_for_its_secret(listed, key, ctx).await? {
        return Ok(Some(wait));
    }
    // Before anything large is read: rounds of namespaces that nobody may keep must not stand in the way of others.
    let standing = ctx.claims.look(&key.0).await;
    let Some(read) = current(ctx, listed).await.map_err(Error::Observe)? else {
        ctx.forget(key);
        // The watch may not have heard it yet; once it has, the queue says that there is no such bot.
        return Ok(Some(WITHOUT_ROOM));
    };
    // Held until the round ends, and with it all copies of the template. Whoever finds no room comes again: he must not keep the
    // others from having their rounds.
    let _room = match read.is_large().then(|| ctx.large.try_acquire()) {
        Some(Err(_)) => return Ok(Some(WITHOUT_ROOM)),
        Some(Ok(room)) => Some(room),
        None => None,
    };
    let (bot, unreadable) = read.whole();
    if bot.metadata.deletion_timestamp.is_some() {
        // Children go by owner reference.
        ctx.forget(key);
        return Ok(None);
    }
    ctx.meet(key, bot.metadata.uid.as_deref().unwrap_or_default());
    let kept = match standing {
        Standing::Ours { since, acts_from, contest, .. } => {
            // Its definition gives a bot that nobody has looked at a status without conditions.
            let is_told = bot.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
            let has_lived = is_told && !ctx.memory.is_kept_since(key, since);
            if let Some(wait) = acts_from.checked_duration_since(Instant::now()).filter(|_| has_lived) {
                observe::look_on(ctx, &bot).await.map_err(Error::Observe)?;
                return Ok(Some(wait));
            }
            Kept { since, contest }
        }
        // The gate is closed there; nothing is done and nothing said but by the one who keeps it.
        standing @ (Standing::Theirs { .. } | Standing::Unknown { .. }) => {
            ctx.lose(key);
            observe::look_on(ctx, &bot).await.map_err(Error::Observe)?;
            if standing.is_long_unknown() {
                report::unclaimed(ctx, &bot).await;
                return Err(Error::Unclaimed);
            }
            return Ok(Some(if ctx.claims.is_young(&key.0) { WITHOUT_ROOM } else { UNKEPT }));
        }
    };
    ctx.keep(key, kept.since);
    tokio::select! {
        biased;
        () = ctx.claims.lost(&key.0) => {
            ctx.lose(key);
            Ok(Some(UNKEPT))
        }
        done = carry_on(&bot, unreadable, kept, ctx) => done.map(Some),
    }
}

/// Of a bot that has nothing yet and whose spec is as it was, only the Secret is looked for; none: it is not one, or the Secret came.
async fn waits_for_its_secret(
    listed: &Listed<ShardedBot>,
    key: &Key,
    ctx: &Context,
) -> Result<Option<Duration>, Error> {
    let metadata = listed.meta();
    let (uid, generation) = (metadata.uid.as_deref().unwrap_or_default(), metadata.generation.unwrap_or(0));
    let waits = ctx.memory.bare.waits_for(key, uid, generation);
    let Some((secret, wait)) = waits.filter(|_| metadata.deletion_timestamp.is_none()) else {
        return Ok(None);
    };
    let is_there = observe::is_there(ctx, &key.0, &secret).await.map_err(Error::Observe)?;
    if is_there {
        ctx.memory.bare.forget(key);
    }
    Ok((!is_there).then_some(wait))
}

async fn carry_on(
    bot: &ShardedBot,
    unreadable: Option<Note>,
    kept: Kept,
    ctx: &Context,
) -> Result<Duration, Error> {
    let metadata = &bot.metadata;
    let key = (metadata.namespace.clone().unwrap_or_default(), bot.name_any());
    let (uid, generation) =
        (metadata.uid.as_deref().unwrap_or_default(), metadata.generation.unwrap_or_default());
    let mut looked = ctx.memory.known.begin(&key, uid, generation);
    let (mut observed, mut plan) =
        look(bot, unreadable.clone(), kept.clone(), looked.children(), ctx).await?;
    if looked.children().is_some() && !is_quiet(&observed, &plan) {
        // By what is known something is to be done or amiss; what is there now says what.
        looked.anew();
        (observed, plan) = look(bot, unreadable, kept, None, ctx).await?;
    }
    let applied = apply(ctx, bot, &observed, &plan).await;
    let held_back = report(ctx, bot, &observed, &plan, &applied).await.map_err(Error::Report)?;
    if !applied.changed.is_empty() {
        tracing::info!(bot = bot.name_any(), namespace = bot.namespace(), changed = ?applied.changed, verdict = ?plan.verdict, "applied");
    }
    if is_quiet(&observed, &plan) && applied.failure.is_none() {
        ctx.memory.known.end(&key, looked, &observed.children);
    }
    match applied.failure {
        // Who waits for a lost node's pods does not wait longer because of something else.
        Some(failure) => Err(Error::Apply {
            message: failure.note.message,
            again_within: plan.node_loss.is_some().then_some(plan.next_check),
        }),
        None if observe::is_bare(&observed) && plan.steps.is_empty() && held_back.is_none() => {
            let secret = bot.spec.token_secret_ref.clone();
            Ok(ctx.memory.bare.keep(key, uid, generation, secret))
        }
        None => Ok(held_back.map_or(plan.next_check, |due| due.min(plan.next_check))),
    }
}

/// Reads what is there, and plans.
async fn look(
    bot: &ShardedBot,
    unreadable: Option<Note>,
    kept: Kept,
    known: Option<&[Child]>,
    ctx: &Context,
) -> Result<(Observed, Plan), Error> {
    let mut observed = observe(ctx, bot, unreadable, kept, known).await.map_err(Error::Observe)?;
    // Two at most: whether it is another layout, and whether its pods would be admitted.
    while let Some(question) = question(bot, &observed) {
        let answers = &mut observed.answers;
        admission::answer(ctx, bot, &question, answers).await;
    }
    let plan = plan(bot, &observed);
    Ok((observed, plan))
}

/// How long to wait after a failed round: 1 s, doubling for each failure in a row, at most 5 minutes.
#[expect(clippy::needless_pass_by_value, reason = "the controller hands both over as they are")]
pub fn retry(bot: Arc<Listed<ShardedBot>>, error: &Error, ctx: Arc<Context>) -> Action {
    let wait = ctx.memory.failed((bot.namespace().unwrap_or_default(), bot.name_any()));
    let wait = match error {
        Error::Apply { again_within: Some(most), .. } => wait.min(*most),
        Error::Unclaimed => wait.min(UNKEPT),
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
