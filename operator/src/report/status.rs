//! The status, built whole. Pure: (spec, observed, plan, applied, before) -> status.
//!
//! How things stand is the plan's verdict, or, when objects are as they should be, what the fleet says: the first of a few
//! causes, in order of how much they explain. There is no phase. Deliberately absent: the conditions' words
//! ([`super::conditions`]), and when it is written.

use super::budget::{Budget, budget, done_at, seconds};
use super::conditions::{Said, breaker, conditions, fenced};
use super::fleet::{Counted, Fleet, first_of, fleet};
use crate::crd::{IdentifiesStatus, LayoutStatus, ShardedBot, ShardedBotStatus};
use crate::model::{Applied, BackingOff, Note, Observed, Plan, Reason, Verdict, late};
use k8s_openapi::jiff::Timestamp;
use shard_contract::layouts::{Layout, Role};
use shard_contract::report::WaitsFor;

/// How things stand, with the fleet taken into account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How things stand.
    pub verdict: Verdict,
    /// What `Ready` says.
    pub ready: Note,
    /// Whether every shard is connected.
    pub available: bool,
    /// The fleet summed up.
    pub fleet: Fleet,
}

/// How things stand after a round.
#[must_use]
pub fn outcome(observed: &Observed, plan: &Plan, applied: &Applied) -> Outcome {
    let fleet = fleet(observed, plan);
    let verdict = match (&applied.failure, &plan.verdict) {
        (Some(failure), _) if failure.stalled => Verdict::Stalled(failure.note.clone()),
        (Some(failure), _) => Verdict::Moving(failure.note.clone()),
        (None, Verdict::Settled) => of_fleet(&fleet, observed, plan),
        (None, Verdict::Moving(note)) if note.reason == Reason::Recreating => waits_for(plan, note),
        (None, planned) => planned.clone(),
    };
    let stopped = fleet.active.is_none() && plan.verdict == Verdict::Settled;
    let available =
        stopped || fleet.active.as_ref().is_some_and(|active| active.online == active.layout.total);
    let ready = match &verdict {
        Verdict::Moving(note) | Verdict::Stalled(note) => note.clone(),
        Verdict::Settled if stopped => Note::new(Reason::Stopped, "spec.shards is 0: the bot is stopped"),
        Verdict::Settled => Note::new(Reason::Online, online(&fleet)),
    };
    Outcome { verdict, ready, available, fleet }
}

/// A layout whose pods are on a lost node does not stop.
fn waits_for(plan: &Plan, note: &Note) -> Verdict {
    Verdict::Moving(plan.node_loss.as_ref().map_or_else(
        || note.clone(),
        |lost| Note::new(lost.reason, format!("{}; {}", lost.message, note.message)),
    ))
}

/// What the fleet says when the objects are as they should be.
fn of_fleet(fleet: &Fleet, observed: &Observed, plan: &Plan) -> Verdict {
    let Some(active) = &fleet.active else { return Verdict::Settled };
    if let Some((shard, code)) = fleet.refused {
        return Verdict::Stalled(refusal(shard, code));
    }
    if active.online == active.layout.total && active.speaking == active.layout.pods {
        return Verdict::Settled;
    }
    let waiting = observed.gate.is_some_and(|gate| gate.waiting > 0);
    // With nothing left a shard is told to ask again in a minute, and does not wait at the gate meanwhile.
    let counts = |note: &Note| waiting || note.reason == Reason::BudgetSpent;
    let spent = || budget(observed, plan).as_ref().and_then(Budget::problem).filter(counts);
    let quoted = || Note::new(Reason::PodsFailing, first_of(&fleet.troubles, "; "));
    let cause = plan
        .node_loss
        .clone()
        .or_else(|| fenced(fleet))
        .or_else(|| breaker(observed))
        .or_else(spent)
        .or_else(|| (!fleet.troubles.is_empty()).then(quoted));
    if let Some(cause) = cause {
        return Verdict::Moving(cause);
    }
    Verdict::Moving(if active.speaking < active.layout.pods {
        let Layout { number, pods, .. } = active.layout;
        let kept = late(observed, |pod| pod.layout == number);
        let message =
            format!("{} of {pods} pods of layout {number} run and have reported{kept}", active.speaking);
        Note::new(Reason::StartingPods, message)
    } else {
        identifying(active, fleet.waits_for, observed)
    })
}

fn identifying(active: &Counted, waits_for: Option<(u32, WaitsFor)>, observed: &Observed) -> Note {
    let waiting = observed.gate.map_or(0, |gate| gate.waiting);
    let (held, back_off) = backing_off(active, observed);
    let until = done_at(observed)
        .filter(|_| waiting > 0 && held == 0)
        .map(|at| format!(", until about {at}"))
        .unwrap_or_default();
    let unheard = observed.gate.map_or(0, |gate| gate.on_fallback_schedule);
    let clear = if unheard > 0 && waiting > 0 {
        format!("; the gate keeps clear of the slots of {unheard} pods that it has not heard lately")
    } else {
        String::new()
    };
    let record =
        waits_for.map(|(shard, what)| format!("; shard {shard} {}", what.words())).unwrap_or_default();
    Note::new(
        Reason::Identifying,
        format!(
            "{} of {} shards online; {waiting} wait for their turn to identify{until}{clear}{back_off}{record}",
            active.online, active.layout.total
        ),
    )
}

/// How many shards that are not online may be backing off, and what to do about it.
fn backing_off(active: &Counted, observed: &Observed) -> (u32, String) {
    let offline = active.layout.total.saturating_sub(active.online);
    let Some(BackingOff { shards, longest_seconds }) = observed.gate.and_then(|gate| gate.backing_off) else {
        return (0, String::new());
    };
    let held = shards.min(offline);
    if held == 0 {
        return (0, String::new());
    }
    // A moment to the minute, not a countdown: else each round would have something new to say.
    let due = observed.now.as_second() + i64::try_from(longest_seconds).unwrap_or(i64::MAX / 2);
    let due = Timestamp::from_second((due / 60 + 1).saturating_mul(60)).unwrap_or(Timestamp::MAX);
    let said = format!(
        "; {held} back off until {} at the latest, since IDENTIFYs failed or sessions kept ending within ten minutes: look at the pods' logs and restarts for why, and correct the image or its limits; a changed spec begins anew at once",
        seconds(due)
    );
    (held, said)
}

fn online(fleet: &Fleet) -> String {
    fleet.active.as_ref().map_or_else(String::new, |active| {
        // A fresh leader knows by the pods' readiness alone, until they report.
        let guilds = if fleet.guilds > 0 { format!(", with {} guilds", fleet.guilds) } else { String::new() };
        format!("all {} shards are online on {} pods{guilds}", active.layout.total, active.layout.pods)
    })
}

/// The cause and the remedy of a close code that forbids a new try.
/// <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>
fn refusal(shard: u32, code: u16) -> Note {
    let (reason, remedy) = match code {
        4004 => (
            Reason::TokenRefused,
            "Discord refuses the token; pods ask within 15 minutes whether it takes it again, and go on by themselves; if it was reset, put the current one into the Secret",
        ),
        4010 => (
            Reason::TotalRefused,
            "the total is not one Discord allows; set spec.shardMultiple to the number that Discord assigned",
        ),
        4011 => (
            Reason::ShardingRequired,
            "a shard would have more than 2,500 guilds; raise spec.shards, or leave it out to follow Discord",
        ),
        4013 => (Reason::IntentsRefused, "the image asks for intents that do not exist; correct its intents"),
        4014 => (
            Reason::IntentsRefused,
            "the image asks for privileged intents that are not enabled; enable them in Discord's developer portal and set spec.restartedAt to the time, or ask for fewer",
        ),
        _ => {
            (Reason::ShardsOffline, "Discord closed it with a code that forbids a new try; see the pod's log")
        }
    };
    Note::new(reason, format!("shard {shard} was closed with {code}: {remedy}"))
}

/// The whole status.
#[must_use]
pub fn status(
    bot: &ShardedBot,
    observed: &Observed,
    plan: &Plan,
    outcome: &Outcome,
    before: &ShardedBotStatus,
) -> ShardedBotStatus {
    let Outcome { verdict: _, ready: _, available: _, fleet } = outcome;
    let active = fleet.active.as_ref();
    let answer = observed.discord.answer;
    let layouts = fleet.layouts.iter().map(|counted| LayoutStatus {
        number: counted.layout.number,
        shards: counted.layout.total,
        pods: counted.layout.pods,
        role: role(counted.layout.role).to_owned(),
        ready_shards: counted.online,
    });
    let generation = bot.metadata.generation.unwrap_or(0);
    let said = Said {
        verdict: &outcome.verdict,
        ready: &outcome.ready,
        available: available(outcome),
        fleet: &outcome.fleet,
    };
    ShardedBotStatus {
        observed_generation: generation,
        conditions: conditions(observed, plan, &said, before, generation),
        shards: Some(active.map_or(0, |active| active.layout.total)),
        ready_shards: Some(active.map_or(0, |active| active.online)),
        pods: Some(fleet.pods),
        // A fresh leader has not heard every pod yet.
        guilds: if observed.heard { Some(fleet.guilds) } else { before.guilds.or(Some(fleet.guilds)) },
        recommended_shards: answer.map(|answer| answer.shards).or(before.recommended_shards),
        layouts: layouts.take(3).collect(),
        identifies: answer.map(|answer| IdentifiesStatus {
            total: answer.total,
            remaining: observed.gate.map_or(answer.remaining, |gate| gate.remaining),
            resets_at: Some(seconds(answer.resets_at)),
            max_concurrency: answer.max_concurrency,
            waiting: observed.gate.map_or(0, |gate| gate.waiting),
            estimated_done: done_at(observed),
        }),
    }
}

/// Whether every shard is connected, and what is said of it.
fn available(outcome: &Outcome) -> (bool, Note) {
    let note = match (outcome.available, &outcome.fleet.active) {
        (true, None) => Note::new(Reason::Stopped, "the bot is stopped"),
        (true, Some(_)) => Note::new(Reason::Online, online(&outcome.fleet)),
        (false, _) if outcome.ready.reason == Reason::Online => {
            Note::new(Reason::ShardsOffline, "some shards are without a connection")
        }
        (false, _) => outcome.ready.clone(),
    };
    (outcome.available, note)
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Standby => "standby",
        Role::Active => "active",
        Role::Retiring => "retiring",
    }
}
