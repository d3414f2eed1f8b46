//! The status and its conditions, built whole. Pure: (spec, observed, plan, applied, before) -> status.
//!
//! Conditions, each with `observedGeneration`: `Available` (every shard connected: what alerts use), `Ready` (available,
//! spec reached, nothing moving), `Reconciling` and `Stalled` (kstatus), `BudgetAvailable`, `RecommendationFresh`. There is
//! no phase. Deliberately absent: when it is written.

use super::fleet::{Counted, Fleet, fleet};
use crate::crd::{IdentifiesStatus, LayoutStatus, ShardedBot, ShardedBotStatus};
use crate::model::{Applied, DiscordProblem, Note, Observed, Plan, Reason, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use shard_contract::layouts::Role;

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
        (None, Verdict::Settled) => of_fleet(&fleet, observed),
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

/// What the fleet says when the objects are as they should be.
fn of_fleet(fleet: &Fleet, observed: &Observed) -> Verdict {
    let Some(active) = &fleet.active else { return Verdict::Settled };
    if let Some((shard, code)) = fleet.refused {
        return Verdict::Stalled(refusal(shard, code));
    }
    if active.online == active.layout.total && active.speaking == active.layout.pods {
        return Verdict::Settled;
    }
    if !fleet.troubles.is_empty() {
        let quoted = fleet.troubles.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        let more = fleet.troubles.len().saturating_sub(3);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Verdict::Moving(Note::new(Reason::PodsFailing, format!("{quoted}{more}")));
    }
    Verdict::Moving(if active.speaking < active.layout.pods {
        let message = format!(
            "{} of {} pods of layout {} run",
            active.speaking, active.layout.pods, active.layout.number
        );
        Note::new(Reason::StartingPods, message)
    } else {
        identifying(active, observed)
    })
}

fn identifying(active: &Counted, observed: &Observed) -> Note {
    let waiting = observed.gate.map_or(0, |gate| gate.waiting);
    let until =
        done_at(observed).filter(|_| waiting > 0).map(|at| format!(", until about {at}")).unwrap_or_default();
    Note::new(
        Reason::Identifying,
        format!(
            "{} of {} shards online; {waiting} wait for their turn to identify{until}",
            active.online, active.layout.total
        ),
    )
}

fn online(fleet: &Fleet) -> String {
    fleet.active.as_ref().map_or_else(String::new, |active| {
        format!(
            "all {} shards are online on {} pods, with {} guilds",
            active.layout.total, active.layout.pods, fleet.guilds
        )
    })
}

/// The cause and the remedy of a close code that forbids a new try.
/// <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>
fn refusal(shard: u32, code: u16) -> Note {
    let (reason, remedy) = match code {
        4004 => (Reason::TokenRefused, "the token is not valid; put the current one into the Secret"),
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
    ShardedBotStatus {
        observed_generation: generation,
        conditions: conditions(observed, plan, outcome, before, generation),
        shards: Some(active.map_or(0, |active| active.layout.total)),
        ready_shards: Some(active.map_or(0, |active| active.online)),
        pods: Some(fleet.pods),
        guilds: Some(fleet.guilds),
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

fn conditions(
    observed: &Observed,
    plan: &Plan,
    outcome: &Outcome,
    before: &ShardedBotStatus,
    generation: i64,
) -> Vec<Condition> {
    let idle = || Note::new(Reason::Idle, "nothing is under way");
    let moving = match &outcome.verdict {
        Verdict::Moving(note) => Some(note.clone()),
        Verdict::Settled | Verdict::Stalled(_) => None,
    };
    let stalled = match &outcome.verdict {
        Verdict::Stalled(note) => Some(note.clone()),
        Verdict::Settled | Verdict::Moving(_) => None,
    };
    let fine = outcome.verdict == Verdict::Settled && outcome.available;
    let available = if outcome.available {
        let message = if outcome.fleet.active.is_none() {
            "the bot is stopped".to_owned()
        } else {
            online(&outcome.fleet)
        };
        Note::new(if outcome.fleet.active.is_none() { Reason::Stopped } else { Reason::Online }, message)
    } else if outcome.ready.reason == Reason::Online {
        Note::new(Reason::ShardsOffline, "some shards are without a connection")
    } else {
        outcome.ready.clone()
    };
    let budget = budget(observed, plan);
    let fresh = recommendation(observed);
    let known = |value: bool| if value { "True" } else { "False" };
    let rows = [
        ("Available", known(outcome.available), available),
        ("Ready", known(fine), outcome.ready.clone()),
        ("Reconciling", known(moving.is_some()), moving.unwrap_or_else(idle)),
        ("Stalled", known(stalled.is_some()), stalled.unwrap_or_else(idle)),
        ("BudgetAvailable", budget.0, budget.1),
        ("RecommendationFresh", fresh.0, fresh.1),
    ];
    rows.into_iter()
        .map(|(type_, status, note)| condition(type_, status, &note, before, observed.now, generation))
        .collect()
}

fn condition(
    type_: &str,
    status: &str,
    note: &Note,
    before: &ShardedBotStatus,
    now: Timestamp,
    generation: i64,
) -> Condition {
    let same = before.conditions.iter().find(|one| one.type_ == type_ && one.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: note.reason.as_str().to_owned(),
        message: note.message.chars().take(2_000).collect(),
        observed_generation: Some(generation),
        last_transition_time: same
            .map_or_else(|| Time(whole_seconds(now)), |one| one.last_transition_time.clone()),
    }
}

fn budget(observed: &Observed, plan: &Plan) -> (&'static str, Note) {
    let Some(answer) = observed.discord.answer else {
        return (
            "Unknown",
            Note::new(Reason::Unknown, "Discord has not yet said how many IDENTIFYs are left"),
        );
    };
    let percent = match plan.gate {
        crate::model::GateSetting::Open { reserve_percent, .. } => reserve_percent,
        crate::model::GateSetting::Closed(_) => 0,
    };
    let remaining = observed.gate.map_or(answer.remaining, |gate| gate.remaining);
    let reserve = u64::from(answer.total) * u64::from(percent) / 100;
    let resets = seconds(answer.resets_at);
    if u64::from(remaining) > reserve {
        // No count: it would rewrite the condition at every IDENTIFY, and status.identifies has it.
        (
            "True",
            Note::new(Reason::BudgetLeft, format!("enough of {} daily IDENTIFYs are left", answer.total)),
        )
    } else {
        let message = format!(
            "{remaining} of {} daily IDENTIFYs are left, of which {reserve} are kept for live shards; full again at {resets}",
            answer.total
        );
        ("False", Note::new(Reason::BudgetLow, message))
    }
}

fn recommendation(observed: &Observed) -> (&'static str, Note) {
    match (&observed.discord.problem, &observed.discord.answer) {
        (None, Some(answer)) => {
            ("True", Note::new(Reason::Answered, format!("Discord recommends {} shards", answer.shards)))
        }
        (Some(DiscordProblem::TokenRefused), _) => {
            ("False", Note::new(Reason::TokenRefused, "Discord refuses the token (401)"))
        }
        (Some(DiscordProblem::Unreachable(why)), _) => {
            ("False", Note::new(Reason::DiscordUnreachable, format!("Discord was asked in vain: {why}")))
        }
        (None, None) => ("Unknown", Note::new(Reason::Unknown, "Discord has not been asked yet")),
    }
}

/// When the shards that wait now will have had their turn.
fn done_at(observed: &Observed) -> Option<String> {
    let waiting = observed.gate?.waiting;
    let windows = waiting.div_ceil(observed.discord.answer?.max_concurrency.max(1));
    (windows > 0).then(|| {
        let after = SignedDuration::from_secs(5 * i64::from(windows));
        seconds(observed.now.checked_add(after).unwrap_or(observed.now))
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Standby => "standby",
        Role::Active => "active",
        Role::Retiring => "retiring",
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn seconds(at: Timestamp) -> String {
    whole_seconds(at).to_string()
}
