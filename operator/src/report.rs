//! Says how things stand: status, events, counts.
//!
//! From what was observed, planned and applied to one status, built by [`status`], written only if it says something
//! new: conditions at once, counters at most once a minute when nothing moves. Compared with what was last *sent*, not
//! with what came back, so that a field an older CRD prunes cannot make the loop run hot. Deliberately absent: decisions.

pub mod budget;
pub mod conditions;
pub mod fleet;
pub mod status;

use crate::claims::LEASE;
use crate::context::{Context, Sent};
use crate::crd::{ShardedBot, ShardedBotStatus};
use crate::model::{Applied, Observed, Plan, Reason, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams, Request};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use serde::de::IgnoredAny;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How often counters are written while nothing moves, and while something does.
const COUNTERS_SETTLED: Duration = Duration::from_secs(60);
const COUNTERS_MOVING: Duration = Duration::from_secs(2);
/// The longest note of an event, in bytes: the API server counts bytes, though it says characters.
const NOTE_BYTES: usize = 1_024;
/// Field manager of the status.
const STATUS_MANAGER: &str = "shard-operator-status";

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status.
    #[error("write the status")]
    PatchStatus(#[source] kube::Error),
}

/// Writes the status and says what changed; returns how soon a counter that was held back is due.
///
/// # Errors
/// When the API server takes no status. An event that cannot be published is only logged.
pub async fn report(
    ctx: &Context,
    bot: &ShardedBot,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
) -> Result<Option<Duration>, Error> {
    let (namespace, name) = (bot.namespace().unwrap_or_default(), bot.name_any());
    let key = (namespace.clone(), name.clone());
    let uid = bot.uid().unwrap_or_default();
    let sent = ctx.memory.sent(&key, &uid);
    let before =
        sent.as_ref().map(|sent| sent.status.clone()).or_else(|| bot.status.clone()).unwrap_or_default();
    let outcome = status::outcome(observed, plan, applied);
    let status = status::status(bot, observed, plan, &outcome, &before);
    tell(ctx, bot, &outcome, &before, plan, applied).await;
    for transition in conditions::transitions(&before.conditions, &status.conditions) {
        let type_ = if transition.worse { EventType::Warning } else { EventType::Normal };
        publish(ctx, bot, &transition.reason, &transition.message, type_).await;
    }
    if let Some(sent) = &sent {
        if sent.status == status {
            return Ok(None);
        }
        let pace =
            if matches!(outcome.verdict, Verdict::Moving(_)) { COUNTERS_MOVING } else { COUNTERS_SETTLED };
        if same_conditions(&sent.status, &status) && sent.at.elapsed() < pace {
            return Ok(Some(pace.saturating_sub(sent.at.elapsed())));
        }
    }
    let body = json!({ "apiVersion": ShardedBot::api_version(&()), "kind": ShardedBot::kind(&()), "status": &status });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let request = Request::new(ShardedBot::url_path(&(), Some(&namespace)))
        .patch_subresource("status", &name, &params, &Patch::Apply(&body))
        .map_err(|error| Error::PatchStatus(kube::Error::BuildRequest(error)))?;
    // The answer is the whole object, which may be one that cannot be parsed.
    ctx.client.request::<IgnoredAny>(request).await.map_err(Error::PatchStatus)?;
    ctx.memory.keep_sent(key, Sent { uid, status, at: Instant::now() });
    Ok(None)
}

/// Whether nothing is to be done and nothing is waited for: every shard is online, and no pod is taken for gone.
#[must_use]
pub fn is_quiet(observed: &Observed, plan: &Plan) -> bool {
    let outcome = || status::outcome(observed, plan, &Applied::default());
    plan.steps.is_empty()
        && plan.node_loss.is_none()
        && observed.named.is_empty()
        && outcome().verdict == Verdict::Settled
}

/// Whether both say the same, counters aside. A message is not a counter, but numbers in it move like one.
fn same_conditions(before: &ShardedBotStatus, after: &ShardedBotStatus) -> bool {
    let said = |status: &ShardedBotStatus| {
        let of = |one: &Condition| {
            (one.type_.clone(), one.status.clone(), one.reason.clone(), one.observed_generation)
        };
        status.conditions.iter().map(of).collect::<Vec<_>>()
    };
    before.observed_generation == after.observed_generation && said(before) == said(after)
}

/// Publishes an event when the story goes on: another reason, or something put back.
async fn tell(
    ctx: &Context,
    bot: &ShardedBot,
    outcome: &status::Outcome,
    before: &ShardedBotStatus,
    plan: &Plan,
    applied: &Applied,
) {
    let told = before.conditions.iter().find(|one| one.type_ == "Ready").map(|one| one.reason.as_str());
    let note = &outcome.ready;
    if told != Some(note.reason.as_str()) {
        let warning = matches!(outcome.verdict, Verdict::Stalled(_))
            || matches!(
                note.reason,
                Reason::PodsFailing
                    | Reason::ShardsOffline
                    | Reason::DiscordUnreachable
                    | Reason::ApiServerError
                    | Reason::NodeLost
                    | Reason::BreakerOpen
                    | Reason::BudgetSpent
                    | Reason::BudgetLow
                    | Reason::PodsIsolated
            );
        let type_ = if warning { EventType::Warning } else { EventType::Normal };
        publish(ctx, bot, note.reason.as_str(), &note.message, type_).await;
    }
    let (pods, objects): (Vec<&str>, Vec<&str>) =
        applied.changed.iter().map(String::as_str).partition(|changed| changed.starts_with("Pod/"));
    if !pods.is_empty() {
        let why = plan.node_loss.as_ref().map_or("", |note| note.message.as_str());
        let message = format!("deleted by force: {}; {why}", pods.join(", "));
        publish(ctx, bot, Reason::NodeLost.as_str(), &message, EventType::Warning).await;
    }
    for put_back in &applied.put_back {
        publish(ctx, bot, put_back.reason.as_str(), &put_back.message, EventType::Warning).await;
    }
    if plan.verdict == Verdict::Settled && !objects.is_empty() {
        let message = format!("put back or brought up to date: {}", objects.join(", "));
        publish(ctx, bot, Reason::DriftCorrected.as_str(), &message, EventType::Normal).await;
    }
}

/// Says that nobody can tell who keeps the bots of this one's namespace. Not in the status: another installation may write that.
pub async fn unclaimed(ctx: &Context, bot: &ShardedBot) {
    let message = format!(
        "nothing is done about this bot: the Lease {LEASE} in its namespace can neither be had nor be seen to be another installation's; the operator must be allowed to get, create, update and patch it there, and its log says why it fails"
    );
    publish(ctx, bot, Reason::ApiServerError.as_str(), &message, EventType::Warning).await;
}

async fn publish(ctx: &Context, bot: &ShardedBot, reason: &str, message: &str, type_: EventType) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note(message).to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = ctx.recorder.publish(&event, &bot.object_ref(&())).await {
        tracing::warn!(bot = bot.name_any(), reason = event.reason, %error, "an event could not be published");
    }
}

fn note(message: &str) -> &str {
    &message[..message.floor_char_boundary(NOTE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_by_bytes_and_never_within_a_character() {
        let long = "ü".repeat(600);
        assert_eq!((note(&long).len(), note(&long).chars().count()), (1_024, 512));
        assert_eq!(note(&format!("a{long}")).len(), 1_023);
        assert_eq!(note("short"), "short");
    }
}
