//! The conditions, and which of their changes are worth an event. Pure.
//!
//! Each with `observedGeneration`: `Available` (every shard connected: what alerts use), `Ready` (available, spec reached,
//! nothing moving), `Reconciling` and `Stalled` (kstatus), `BudgetAvailable`, `RecommendationFresh`, `BreakerClosed`,
//! `TokenExclusive`, `GateReached`, `InstallationExclusive`. True is good for all but `Reconciling` and `Stalled`. Messages name cause and remedy.
//! Deliberately absent: counts that move with each IDENTIFY where nothing is wrong; they would rewrite the status.

use super::budget::{Budget, budget, seconds, whole_seconds};
use super::fleet::{Fleet, first_of};
use crate::crd::ShardedBotStatus;
use crate::model::{Contest, DiscordProblem, GateFigures, Note, Observed, Plan, Reason, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// What the conditions are made of, beside the world itself.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    /// How things stand.
    pub verdict: &'a Verdict,
    /// What `Ready` says.
    pub ready: &'a Note,
    /// What `Available` says.
    pub available: (bool, Note),
    /// The fleet summed up.
    pub fleet: &'a Fleet,
}

/// All of them, always in the same order.
#[must_use]
pub fn conditions(
    observed: &Observed,
    plan: &Plan,
    said: &Said<'_>,
    before: &ShardedBotStatus,
    generation: i64,
) -> Vec<Condition> {
    let idle = || Note::new(Reason::Idle, "nothing is under way");
    let known = |value: bool| if value { "True" } else { "False" };
    let (moving, stalled) = match said.verdict {
        Verdict::Settled => (None, None),
        Verdict::Moving(note) => (Some(note.clone()), None),
        Verdict::Stalled(note) => (None, Some(note.clone())),
    };
    let (available, of_available) = said.available.clone();
    let fine = *said.verdict == Verdict::Settled && available;
    let of_budget = budget_left(observed, plan);
    let fresh = recommendation(observed);
    let rest = |problem: Option<Note>, reason, message| match (problem, observed.gate) {
        (Some(problem), _) => ("False", problem),
        (None, Some(_)) => ("True", Note::new(reason, message)),
        (None, None) => ("Unknown", Note::new(Reason::Unknown, "the gate has not been opened yet")),
    };
    let breaker = rest(breaker(observed), Reason::BreakerClosed, "IDENTIFYs reach READY");
    let unjudged = unjudged(observed.gate).map(|note| ("Unknown", note));
    let token = unjudged.unwrap_or_else(|| {
        rest(
            unattributed(observed.gate),
            Reason::TokenExclusive,
            "no IDENTIFYs of others with this token are seen",
        )
    });
    let gate = rest(
        fenced(said.fleet).or_else(|| on_fallback_schedule(said.fleet, observed)),
        Reason::GateReached,
        "the pods that report reach the gate",
    );
    let installation = installation(observed);
    let rows = [
        ("Available", known(available), of_available),
        ("Ready", known(fine), said.ready.clone()),
        ("Reconciling", known(moving.is_some()), moving.unwrap_or_else(idle)),
        ("Stalled", known(stalled.is_some()), stalled.unwrap_or_else(idle)),
        ("BudgetAvailable", of_budget.0, of_budget.1),
        ("RecommendationFresh", fresh.0, fresh.1),
        ("BreakerClosed", breaker.0, breaker.1),
        ("TokenExclusive", token.0, token.1),
        ("GateReached", gate.0, gate.1),
        ("InstallationExclusive", installation.0, installation.1),
    ];
    rows.into_iter()
        .map(|(type_, status, note)| condition(type_, status, &note, before, observed.now, generation))
        .collect()
}

/// A change of a condition that the story tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether it turned for the worse.
    pub worse: bool,
    /// The condition's reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// What turned for the worse or for the better, `Ready` and what follows from it aside. Nothing is told twice: not while it
/// lasts, and not what `Ready` says with the same reason.
#[must_use]
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Transition> {
    let of = |all: &[Condition], type_: &str| all.iter().find(|one| one.type_ == type_).cloned();
    let ready = of(after, "Ready").map(|one| one.reason);
    let told =
        |one: &&Condition| !matches!(one.type_.as_str(), "Available" | "Ready" | "Reconciling" | "Stalled");
    let turned = |now: &Condition| {
        let was = of(before, &now.type_).filter(|was| was.status == "False");
        let worse = now.status == "False";
        let same = was.as_ref().is_some_and(|was| worse && was.reason == now.reason);
        let silent = if worse { same || ready.as_ref() == Some(&now.reason) } else { was.is_none() };
        let known = now.status != "Unknown";
        (known && !silent).then(|| Transition {
            worse,
            reason: now.reason.clone(),
            message: now.message.clone(),
        })
    };
    after.iter().filter(told).filter_map(turned).collect()
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

/// Whether another installation watches the namespace as well.
fn installation(observed: &Observed) -> (&'static str, Note) {
    let keeper = &observed.addresses.installation;
    match &observed.contest {
        Contest::Alone => (
            "True",
            Note::new(
                Reason::InstallationExclusive,
                "no other installation of the operator says that it watches this namespace",
            ),
        ),
        Contest::Unsure => (
            "Unknown",
            Note::new(
                Reason::Unknown,
                "another installation of the operator watched this namespace; whether it still does is known within two minutes",
            ),
        ),
        Contest::With(contender) => (
            "False",
            Note::new(
                Reason::InstallationContested,
                format!(
                    "installation {contender} watches this namespace as well; it changes nothing here and grants nothing while installation {keeper} keeps the bots of this namespace; uninstall one of the two, or give them different watchNamespaces"
                ),
            ),
        ),
    }
}

/// What an open breaker means.
#[must_use]
pub fn breaker(observed: &Observed) -> Option<Note> {
    let tripped = observed.gate?.breaker?;
    // A moment, not a countdown, and to ten seconds: else each round would have something new to say.
    let due = observed.now.as_second() + i64::try_from(tripped.next_probe_seconds).unwrap_or(i64::MAX / 2);
    let due = Timestamp::from_second((due / 10 + 1).saturating_mul(10)).unwrap_or(Timestamp::MAX);
    Some(Note::new(
        Reason::BreakerOpen,
        format!(
            "{} IDENTIFYs in a row did not reach READY, so only one at a time is tried; look at the pods' logs for why their connections end (a crash, intents, the network) and correct the image or the cluster; the next probe is due by {}",
            tripped.failures,
            seconds(due)
        ),
    ))
}

/// Why it is not known whether the token is shared, once there is a gate.
fn unjudged(gate: Option<GateFigures>) -> Option<Note> {
    gate.filter(|gate| !gate.judged && gate.unattributed == 0).map(|_| {
        Note::new(
            Reason::Unknown,
            "Discord's count has not been compared with the grants of this operator yet: that takes two of its answers, a minute apart, while no pod can be identifying by the fallback schedule",
        )
    })
}

fn unattributed(gate: Option<GateFigures>) -> Option<Note> {
    let unattributed = gate?.unattributed;
    (unattributed > 0).then(|| {
        Note::new(
            Reason::TokenShared,
            format!(
                "somebody else uses this token: Discord counted {unattributed} IDENTIFYs that no pod here was granted; find the other process (an old deployment, a developer's machine), or reset the token in Discord's developer portal and put the new one into the Secret"
            ),
        )
    })
}

fn on_fallback_schedule(fleet: &Fleet, observed: &Observed) -> Option<Note> {
    let pods = &fleet.on_fallback_schedule;
    (!pods.is_empty()).then(|| {
        Note::new(
            Reason::FallbackSchedule,
            format!(
                "the gate has not heard {} pods for a minute, or they have not heard it: {}; what must IDENTIFY there does so by the fallback schedule, slowly; check that pods reach {} (Service, network policies), their logs and the operator's log",
                pods.len(),
                first_of(pods, ", "),
                observed.addresses.gate
            ),
        )
    })
}

/// What pods that let their shards go mean.
#[must_use]
pub fn fenced(fleet: &Fleet) -> Option<Note> {
    let pods = &fleet.fenced;
    (!pods.is_empty()).then(|| {
        Note::new(
            Reason::PodsIsolated,
            format!(
                "{} pods found themselves cut off from the API server, the gate and their peers, and let their shards go: {}; they go on by themselves when they have read their records; look at the network of their nodes",
                pods.len(),
                first_of(pods, ", ")
            ),
        )
    })
}

fn budget_left(observed: &Observed, plan: &Plan) -> (&'static str, Note) {
    let Some(budget) = budget(observed, plan) else {
        return (
            "Unknown",
            Note::new(Reason::Unknown, "Discord has not yet said how many IDENTIFYs are left"),
        );
    };
    match Budget::problem(&budget) {
        Some(problem) => ("False", problem),
        // No count: it would rewrite the condition at every IDENTIFY, and status.identifies has it.
        None => (
            "True",
            Note::new(Reason::BudgetLeft, format!("enough of {} daily IDENTIFYs are left", budget.total)),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn one(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: "m".into(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    fn told(before: &[Condition], after: &[Condition]) -> Vec<(bool, String)> {
        transitions(before, after)
            .into_iter()
            .map(|transition| (transition.worse, transition.reason))
            .collect()
    }

    #[test]
    fn each_transition_is_told_once_and_the_way_back_too() {
        let good = [one("TokenExclusive", "True", "TokenExclusive")];
        let bad = [one("TokenExclusive", "False", "TokenShared")];
        let unknown = [one("TokenExclusive", "Unknown", "Unknown")];
        assert_eq!(told(&[], &good), []);
        assert_eq!(told(&[], &bad), [(true, "TokenShared".to_owned())]);
        assert_eq!(told(&good, &bad), [(true, "TokenShared".to_owned())]);
        assert_eq!(told(&bad, &bad), []);
        assert_eq!(told(&bad, &good), [(false, "TokenExclusive".to_owned())]);
        assert_eq!((told(&bad, &unknown), told(&unknown, &good)), (vec![], vec![]));
    }

    #[test]
    fn nobody_is_told_that_a_token_is_not_shared_before_it_can_be_known() {
        let gate =
            |judged, unattributed| Some(GateFigures { unattributed, judged, ..GateFigures::default() });
        let of = |gate| (unjudged(gate).is_some(), unattributed(gate).is_some());
        assert_eq!(of(None), (false, false), "the gate is not open, which is said instead");
        assert_eq!(of(gate(false, 0)), (true, false));
        assert_eq!(of(gate(true, 0)), (false, false));
        assert_eq!((of(gate(true, 1)), of(gate(false, 1))), ((false, true), (false, true)));
        let shared = [one("TokenExclusive", "False", "TokenShared")];
        let unknown = [one("TokenExclusive", "Unknown", "Unknown")];
        let good = [one("TokenExclusive", "True", "TokenExclusive")];
        assert_eq!(told(&shared, &unknown), [], "after a failover");
        assert_eq!(told(&unknown, &good), []);
        assert_eq!(told(&unknown, &shared), [(true, "TokenShared".to_owned())]);
    }

    #[test]
    fn another_reason_is_another_transition_and_what_ready_says_is_not_said_again() {
        let low = [one("BudgetAvailable", "False", "BudgetLow")];
        let spent = [one("BudgetAvailable", "False", "BudgetSpent")];
        assert_eq!(told(&low, &spent), [(true, "BudgetSpent".to_owned())]);
        let with_ready = [one("Ready", "False", "BudgetSpent"), spent[0].clone()];
        assert_eq!(told(&low, &with_ready), []);
    }
}
