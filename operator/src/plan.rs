//! What to do, from a spec and what was observed. Pure, synchronous and total.
//!
//! In a fixed order: is the spec one that can be carried out ([`spec`]), may anything change now ([`hold`]), how many
//! shards ([`shards`]), which layouts ([`change`]), which pods are lost ([`nodes`]), which objects ([`objects`]). A bad spec is a plan that changes
//! nothing and says why. Deliberately absent: clients, clocks, randomness; time is a field of what was observed.

pub mod change;
mod ensure;
pub mod hold;
mod keep;
mod next_check;
pub mod nodes;
pub mod objects;
pub mod shards;
pub mod spec;
mod stopping;
mod token;

use crate::crd::ShardedBot;
use crate::model::{
    Belongs, Child, DiscordProblem, GateLayout, GatePod, GateSetting, Kind, Note, Object, Observed, Phase,
    Plan, Question, Reason, Step, TokenSeen, Verdict,
};
use change::{Change, SetSeen};
use ensure::{bounded, edited_meanwhile, ensure, tell_of};
use next_check::next_check;
use nodes::Lost;
use objects::records::{Needs, records};
use objects::stateful_set::{Arrangement, first_pod, stateful_set, under_the_name_of};
use objects::{config_map, disruption, rights, service};
use shard_contract::REVISION;
use shard_contract::layouts::{Layout, Layouts, Role};
use shard_contract::names::stateful_set as set_name;
use spec::Spec;
use std::collections::BTreeMap;
use std::time::Duration;
use stopping::stopping;

/// What has to be known of the API server before the plan of this round is made; none: nothing more. One thing at a time: the next may
/// follow from the answer.
#[must_use]
pub fn question(bot: &ShardedBot, observed: &Observed) -> Option<Question> {
    let mut sets = change::sets(observed);
    let Outlook { spec, held, wanted } = outlook(bot, observed, &mut sets).ok()?;
    let total = *wanted.as_ref().ok().filter(|_| held.is_none() && spec.refused.is_none())?;
    if let Some((set, identity)) = change::in_doubt(&spec, &sets, observed, total) {
        let number = change::next_number(&sets, observed);
        let stands = set_name(&spec.owner.name, set.number);
        let uid = observed
            .children
            .iter()
            .find(|child| child.kind == Kind::StatefulSet && child.name == stands)?
            .uid
            .clone();
        let written = under_the_name_of(stateful_set(&spec, set.arrangement()), &spec.owner, number);
        return Some(Question::Alike { layout: set.number, stands, uid, written, identity });
    }
    match keep::change(&spec, &sets, observed, wanted, held) {
        Change::Stop { old, next: Some(next), .. } if observed.answers.admission.is_none() => {
            let set = stateful_set(&spec, next);
            // Of one that stands the pods exist, or its controller says why not.
            let stands = |name: &str| {
                observed.children.iter().find(|child| child.kind == Kind::StatefulSet && child.name == name)
            };
            let living = old.iter().rev().find(|set| !set.deleting)?;
            let owner = stands(&set_name(&spec.owner.name, living.number))?;
            if stands(&set.name).is_some() {
                return None;
            }
            // An account of ours that is still to be made refuses nothing.
            let has_account = observed.children.iter().any(|child| child.kind == Kind::ServiceAccount);
            Some(Question::Admission { pod: first_pod(&set, owner, spec.account.is_some() || has_account) })
        }
        _ => None,
    }
}

/// What both a plan and its questions begin with.
struct Outlook {
    spec: Spec,
    held: Option<hold::Hold>,
    wanted: Result<u32, Note>,
}

fn outlook(bot: &ShardedBot, observed: &Observed, sets: &mut [SetSeen]) -> Result<Outlook, Note> {
    let readable = observed.unreadable.clone().map_or(Ok(()), Err);
    let spec = readable.and_then(|()| spec::check(bot))?;
    if let Some(note) = taken(observed) {
        return Err(note);
    }
    if let Some(note) = change::unreadable(observed, sets) {
        return Err(note);
    }
    change::recognise(&spec, observed, sets);
    let held = hold::hold(&spec, observed);
    let running = change::running(sets, observed);
    let wanted = shards::wanted(&spec, running, observed.discord.answer.as_ref());
    Ok(Outlook { spec, held, wanted })
}

/// The plan of this round.
#[must_use]
pub fn plan(bot: &ShardedBot, observed: &Observed) -> Plan {
    let mut sets = change::sets(observed);
    let Outlook { spec, held, wanted } = match outlook(bot, observed, &mut sets) {
        Ok(outlook) => outlook,
        Err(note) => return stand_still(bot, observed, &sets, note),
    };
    let Lost { steps: replaced, note: node_loss, gone } = nodes::lost(observed);
    let change = keep::change(&spec, &sets, observed, wanted, held.clone());
    let layouts = layouts(&change, observed);
    // First: a refusal of something else must not keep a lost pod where it is.
    let mut steps = replaced;
    let told = tell_of(&gone, &spec.owner, observed, &mut steps);
    let document = config_map::document(told.as_ref(), layouts.clone(), &gone, observed);
    let base = Base { document: &document, needs: needs(&sets, &change, observed) };
    let verdict = carry_out(&spec, observed, &change, &base, &mut steps);
    let verdict = held.map_or(verdict, hold::Hold::into_verdict);
    let stale = (verdict == Verdict::Settled).then(|| hold::stale_token(&spec, observed)).flatten();
    let verdict = stale.map_or(verdict, Verdict::Stalled);
    let verdict = match &change {
        Change::Keep { current: Some(set), .. } if !set.matches(&spec) => {
            edited_meanwhile(&spec.owner, set, observed, verdict)
        }
        _ => verdict,
    };
    Plan {
        remounts: token::remounts(observed),
        gate: gate(spec.reserve_percent, observed, &change),
        next_check: next_check(&spec, observed, &verdict, &steps),
        steps,
        layouts,
        verdict,
        node_loss,
    }
}

/// Changes nothing and says why. A fleet that runs goes on: a typing error must not take its gate away.
fn stand_still(bot: &ShardedBot, observed: &Observed, sets: &[SetSeen], note: Note) -> Plan {
    let waits = note.reason == Reason::Recreating;
    let current = sets.iter().rev().find(|set| !set.deleting).cloned();
    let owner = spec::owner(bot);
    let verdict = if waits { Verdict::Moving(note) } else { Verdict::Stalled(note) };
    let verdict = match &current {
        Some(set) => edited_meanwhile(&owner, set, observed, verdict),
        None => verdict,
    };
    let change = Change::Keep { current, verdict: Verdict::Settled, strays: Vec::new() };
    let Lost { mut steps, note: node_loss, gone } = nodes::lost(observed);
    tell_of(&gone, &owner, observed, &mut steps);
    steps.extend(sets.iter().rev().find(|set| !set.deleting).and_then(|set| bounded(&owner, set, observed)));
    Plan {
        remounts: token::remounts(observed),
        // Nothing of the spec; but a pod on a lost node is replaced whatever the spec says, and the set that runs keeps its pods.
        steps,
        next_check: Duration::from_secs(if waits { 2 } else { 30 }).min(nodes::next_look(observed)),
        node_loss,
        gate: gate(bot.spec.identify.reserve_percent, observed, &change),
        layouts: layouts(&change, observed),
        verdict,
    }
}

/// An object that is not ours at a name that this bot needs.
fn taken(observed: &Observed) -> Option<Note> {
    let strange = observed
        .children
        .iter()
        .filter(|child| !child.ours)
        .map(|child| (child.kind, &child.name, child.of_a_bot));
    let secrets = observed.secrets.iter().filter_map(|secret| {
        let of_a_bot = match secret.found.as_ref()?.belongs {
            Belongs::ToThisBot => return None,
            Belongs::ToAnotherBot => true,
            Belongs::Elsewhere => false,
        };
        Some((Kind::Secret, &secret.name, of_a_bot))
    });
    let (kind, name, of_a_bot) = strange.chain(secrets).next()?;
    let kind = <&str>::from(kind);
    Some(if of_a_bot {
        Note::new(
            Reason::Recreating,
            format!("{kind} {name} belongs to an earlier ShardedBot of this name and is still being removed"),
        )
    } else {
        Note::new(
            Reason::NameTaken,
            format!("{kind} {name} exists and is not this bot's; remove it or rename the ShardedBot"),
        )
    })
}

/// The layouts as pods are told.
fn layouts(change: &Change, observed: &Observed) -> Vec<Layout> {
    let told = |set: &SetSeen, role| Layout {
        number: set.number,
        total: set.total,
        pods: set.pods,
        role,
        session_group: set.session_group,
        fallback_slot: set.fallback_slot,
    };
    let known = observed.document.iter().flat_map(|document| &document.layouts);
    // With no set left the document still says which numbers were used, and which total a change came from.
    let before = known.map(|layout| Layout { role: Role::Retiring, ..layout.clone() });
    match change {
        Change::Keep { current: Some(set), .. } => vec![told(set, Role::Active)],
        // What has not been stopped yet has its duty still: the first step of a stop may be refused. What comes next is told
        // too, so that a change which has begun remembers where to when the fleet that asked for it is gone.
        Change::Stop { old, next, .. } => {
            let role = |set: &SetSeen| if set.deleting { Role::Retiring } else { Role::Active };
            let next = next.map(|next| told(&SetSeen::of(next), Role::Standby));
            let number = next.as_ref().map(|next| next.number);
            let old: Vec<_> = if old.is_empty() {
                before.filter(|layout| Some(layout.number) != number).collect()
            } else {
                old.iter().map(|set| told(set, role(set))).collect()
            };
            old.into_iter().chain(next).collect()
        }
        // Nothing runs and nothing is to run: the numbers stay, the totals do not.
        Change::Keep { current: None, verdict: Verdict::Settled, .. } => {
            before.map(|layout| Layout { total: 0, pods: 0, ..layout }).collect()
        }
        Change::Keep { current: None, .. } => before.collect(),
        Change::Start { next } => vec![told(&SetSeen::of(*next), Role::Active)],
    }
}

/// What the objects that every layout shares are made of.
struct Base<'a> {
    document: &'a Layouts,
    needs: Needs,
}

/// Who needs records, before and after the change.
fn needs(sets: &[SetSeen], change: &Change, observed: &Observed) -> Needs {
    let there = sets.iter().map(SetSeen::arrangement);
    let (wanted, next) = match change {
        Change::Keep { current, .. } => (current.iter().map(SetSeen::arrangement).collect(), None),
        Change::Start { next } => (vec![*next], Some(*next)),
        // What stops gets no new records, but keeps its Secrets, to park in.
        Change::Stop { next, .. } => (there.clone().filter(|set| Some(*set) == *next).collect(), *next),
    };
    // A set goes before its pods do: until they are gone, the document says what they were.
    let told = observed.document.iter().flat_map(|document| &document.layouts);
    let told = told.filter(|layout| layout.total > 0).map(|told| {
        let Layout { number, total, pods, role: _, session_group, fallback_slot } = *told;
        Arrangement { number, total, pods, revision: REVISION, session_group, fallback_slot }
    });
    let alive: BTreeMap<u32, _> =
        told.chain(there).chain(next).map(|layout| (layout.number, layout)).collect();
    // What has ended parks nothing any more.
    let mut pods = observed.pods.iter().filter(|pod| pod.phase != Phase::Ended);
    let known = pods.all(|pod| alive.contains_key(&pod.layout));
    let session_groups = known.then(|| alive.values().map(|layout| layout.session_group).collect());
    Needs { wanted, alive: alive.into_values().collect(), session_groups }
}

/// Turns the change into steps, and says what is under way.
fn carry_out(
    spec: &Spec,
    observed: &Observed,
    change: &Change,
    shared: &Base<'_>,
    steps: &mut Vec<Step>,
) -> Verdict {
    match change {
        Change::Keep { current, verdict, strays } => {
            let delete =
                |set: &SetSeen| Step::Delete(Kind::StatefulSet, set_name(&spec.owner.name, set.number));
            steps.extend(strays.iter().map(delete));
            if current.is_some() || observed.document.is_some() {
                base(spec, observed, shared, steps);
            }
            if let Some(set) = current {
                if set.matches(spec) {
                    ensure(observed, stateful_set(spec, set.arrangement()), steps);
                } else {
                    steps.extend(bounded(&spec.owner, set, observed));
                }
                ensure(observed, disruption::disruption(&spec.owner, set.number), steps);
            }
            remove_budgets(observed, current.as_ref().map(|set| set.number), steps);
            verdict.clone()
        }
        Change::Stop { old, next, waits_for } => {
            // It may stand already, as when the creation of an older one came late.
            let stands = |set: &Object| {
                observed.children.iter().any(|child| child.kind == set.kind && child.name == set.name)
            };
            let next_set = next.map(|next| stateful_set(spec, next)).filter(|set| !stands(set));
            steps.extend(next_set.map(Step::Try));
            base(spec, observed, shared, steps);
            let running = old.iter().filter(|set| !set.deleting);
            steps.extend(
                running.map(|set| Step::Delete(Kind::StatefulSet, set_name(&spec.owner.name, set.number))),
            );
            remove_budgets(observed, None, steps);
            Verdict::Moving(stopping(spec, old, *next, *waits_for, observed))
        }
        Change::Start { next } => {
            let set = stateful_set(spec, *next);
            steps.push(Step::Try(set.clone()));
            base(spec, observed, shared, steps);
            steps.push(Step::Create(set));
            ensure(observed, disruption::disruption(&spec.owner, next.number), steps);
            remove_budgets(observed, Some(next.number), steps);
            let message =
                format!("layout {}: starting {} pods for {} shards", next.number, next.pods, next.total);
            Verdict::Moving(Note::new(Reason::StartingPods, message))
        }
    }
}

/// The objects that every layout shares.
fn base(spec: &Spec, observed: &Observed, shared: &Base<'_>, steps: &mut Vec<Step>) {
    let Base { document, needs } = shared;
    let secrets = needs.secrets(&spec.owner);
    for object in rights::rights(&spec.owner, spec.account.as_deref(), &accounts(observed), &secrets) {
        ensure(observed, object, steps);
    }
    ensure(observed, service::service(&spec.owner), steps);
    steps.extend(records(&spec.owner, needs, observed));
    ensure(observed, config_map::config_map(&spec.owner, document), steps);
}

/// The accounts of the sets that exist: a layout that still runs keeps its rights when the template names another.
fn accounts(observed: &Observed) -> Vec<String> {
    let sets = observed.children.iter().filter(|child| child.kind == Kind::StatefulSet);
    let account =
        |set: &Child| set.live["spec"]["template"]["spec"]["serviceAccountName"].as_str().map(str::to_owned);
    sets.filter_map(account).collect()
}

fn remove_budgets(observed: &Observed, kept: Option<u32>, steps: &mut Vec<Step>) {
    let budgets = observed.children.iter().filter(|child| {
        let layout = child.label(shard_contract::names::LAYOUT_LABEL).and_then(|number| number.parse().ok());
        child.kind == Kind::PodDisruptionBudget && !child.deleting && layout != kept
    });
    steps.extend(budgets.map(|child| Step::Delete(Kind::PodDisruptionBudget, child.name.clone())));
}

fn gate(reserve_percent: u32, observed: &Observed, change: &Change) -> GateSetting {
    if let Some(rival) = &observed.rival {
        return GateSetting::Closed(format!("ShardedBot {rival} holds the same token"));
    }
    let TokenSeen::Present(token) = observed.token else {
        return GateSetting::Closed("the token's Secret is missing or unusable".into());
    };
    let Some(gateway) = observed.discord.answer else {
        let why = "Discord has not yet said how many IDENTIFYs are left".to_owned();
        let is_away = matches!(observed.discord.problem, Some(DiscordProblem::Unreachable(_)));
        return if is_away { GateSetting::Blind(why) } else { GateSetting::Closed(why) };
    };
    let granted = |set: &SetSeen| {
        (set.number, GateLayout { total: set.total, pods: set.pods, fallback_slot: set.fallback_slot })
    };
    let layouts: BTreeMap<_, _> = match change {
        Change::Keep { current, .. } => current.iter().map(granted).collect(),
        Change::Start { next } => BTreeMap::from([granted(&SetSeen::of(*next))]),
        Change::Stop { old, .. } => old.iter().filter(|set| !set.deleting).map(granted).collect(),
    };
    // One on its way out runs until its kubelet says otherwise.
    let running = observed.pods.iter().filter(|pod| pod.phase == Phase::Running).map(|pod| GatePod {
        uid: pod.uid.clone(),
        layout: pod.layout,
        ordinal: pod.ordinal,
    });
    GateSetting::Open { token, reserve_percent, gateway, layouts, pods: running.collect() }
}
