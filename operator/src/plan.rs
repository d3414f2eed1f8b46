//! What to do, from a spec and what was observed. Pure, synchronous and total.
//!
//! In a fixed order: is the spec one that can be carried out ([`spec`]), which layouts are there ([`rollout`]), may anything change now
//! ([`hold`]), how many shards ([`shards`]), what becomes of each layout ([`change`]), which pods are lost ([`nodes`]), which objects
//! ([`objects`]). A bad spec is a plan that changes nothing and says why. Deliberately absent: clients, clocks, randomness; time is a field of what was observed.

pub mod change;
mod ensure;
pub mod hold;
mod keep;
mod next_check;
pub mod nodes;
pub mod objects;
mod recreate;
pub mod rollout;
pub mod shards;
pub mod spec;
mod stopping;
mod token;
mod wanted;

use crate::crd::ShardedBot;
use crate::model::{
    Belongs, DiscordProblem, GatePod, GateSetting, Kind, Note, Observed, Phase, Plan, PodSeen, Question,
    Reason, Step, TokenSeen, Verdict,
};
use change::{Change, LayoutPlanned, SetStep};
use ensure::{bounded, edited_meanwhile, ensure, tell_of};
use next_check::next_check;
use nodes::Lost;
use objects::records::{Needs, records};
use objects::stateful_set::{first_pod, stateful_set, under_the_name_of};
use objects::{config_map, disruption, rights, service};
use rollout::Rollout;
use serde_json::Value;
use shard_contract::layouts::{Layouts, Role};
use shard_contract::names::stateful_set as set_name;
use spec::Spec;
use std::time::Duration;

/// What has to be known of the API server before the plan of this round is made; none: nothing more. One thing at a time: the next may
/// follow from the answer.
#[must_use]
pub fn question(bot: &ShardedBot, observed: &Observed) -> Option<Question> {
    let mut rollout = Rollout::read(observed);
    let Outlook { spec, held, wanted } = outlook(bot, observed, &mut rollout).ok()?;
    let total = *wanted.as_ref().ok().filter(|_| held.is_none() && spec.refused.is_none())?;
    if let Some((layout, set, identity)) = wanted::in_doubt(&spec, &rollout, observed, total) {
        let written = stateful_set(&spec, layout.arrangement);
        return Some(Question::Alike {
            layout: layout.number(),
            stands: set.child.name.clone(),
            uid: set.child.uid.clone(),
            written: under_the_name_of(written, &spec.owner, rollout.next_number()),
            identity,
        });
    }
    let change = keep::change(&spec, &rollout, observed, wanted, held);
    let asks = change.replaces && observed.answers.admission.is_none();
    // Of one that stands the pods exist, or its controller says why not.
    let next = change.next().filter(|next| asks && next.set != SetStep::Keep)?;
    let owner = rollout.duty()?.living()?.child;
    let set = stateful_set(&spec, next.layout.arrangement);
    // An account of ours that is still to be made refuses nothing.
    let has_account = observed.children.iter().any(|child| child.kind == Kind::ServiceAccount);
    Some(Question::Admission { pod: first_pod(&set, owner, spec.account.is_some() || has_account) })
}

/// What both a plan and its questions begin with.
struct Outlook {
    spec: Spec,
    held: Option<hold::Hold>,
    wanted: Result<u32, Note>,
}

fn outlook(bot: &ShardedBot, observed: &Observed, rollout: &mut Rollout<'_>) -> Result<Outlook, Note> {
    let readable = observed.unreadable.clone().map_or(Ok(()), Err);
    let spec = readable.and_then(|()| spec::check(bot))?;
    if let Some(note) = taken(observed) {
        return Err(note);
    }
    if let Some(note) = rollout.unreadable() {
        return Err(note);
    }
    rollout.recognise(&spec);
    let held = hold::hold(&spec, observed);
    let wanted = shards::wanted(&spec, rollout.running(), observed.discord.answer.as_ref());
    Ok(Outlook { spec, held, wanted })
}

/// The plan of this round.
#[must_use]
pub fn plan(bot: &ShardedBot, observed: &Observed) -> Plan {
    let mut rollout = Rollout::read(observed);
    let Outlook { spec, held, wanted } = match outlook(bot, observed, &mut rollout) {
        Ok(outlook) => outlook,
        Err(note) => return stand_still(bot, observed, &rollout, note),
    };
    let Lost { steps: replaced, note: node_loss, gone } = nodes::lost(observed);
    let change = keep::change(&spec, &rollout, observed, wanted, held);
    // First: a refusal of something else must not keep a lost pod where it is.
    let mut steps = replaced;
    let told = tell_of(&gone, &spec.owner, observed, &mut steps);
    let document = config_map::document(told.as_ref(), change.told(), &gone, observed);
    let base = Base { document: &document, needs: change.needs(&rollout) };
    carry_out(&spec, observed, &change, &base, &mut steps);
    let verdict = change.verdict.clone();
    let stale = (verdict == Verdict::Settled).then(|| hold::stale_token(&spec, observed)).flatten();
    let verdict = stale.map_or(verdict, Verdict::Stalled);
    let verdict = match change.serving().filter(|planned| !planned.layout.matches(&spec)) {
        Some(planned) => edited_meanwhile(&planned.layout, verdict),
        None => verdict,
    };
    Plan {
        remounts: token::remounts(observed),
        gate: gate(spec.reserve_percent, observed, &change),
        next_check: next_check(&spec, observed, &verdict, &steps),
        steps,
        layouts: change.told(),
        verdict,
        node_loss,
    }
}

/// Changes nothing and says why. A fleet that runs goes on: a typing error must not take its gate away.
fn stand_still(bot: &ShardedBot, observed: &Observed, rollout: &Rollout<'_>, note: Note) -> Plan {
    let waits = note.reason == Reason::Recreating;
    let owner = spec::owner(bot);
    let verdict = if waits { Verdict::Moving(note) } else { Verdict::Stalled(note) };
    let change = Change::keep(rollout, verdict.clone(), &[]);
    let verdict = match change.serving() {
        Some(planned) => edited_meanwhile(&planned.layout, verdict),
        None => verdict,
    };
    let Lost { mut steps, note: node_loss, gone } = nodes::lost(observed);
    tell_of(&gone, &owner, observed, &mut steps);
    steps.extend(change.serving().and_then(|planned| bounded(&planned.layout)));
    Plan {
        remounts: token::remounts(observed),
        // Nothing of the spec; but a pod on a lost node is replaced whatever the spec says, and the set that runs keeps its pods.
        steps,
        next_check: Duration::from_secs(if waits { 2 } else { 30 }).min(nodes::next_look(observed)),
        node_loss,
        gate: gate(bot.spec.identify.reserve_percent, observed, &change),
        layouts: change.told(),
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

/// What the objects that every layout shares are made of.
struct Base<'a> {
    document: &'a Layouts,
    needs: Needs,
}

/// Turns the change into steps.
fn carry_out(
    spec: &Spec,
    observed: &Observed,
    change: &Change<'_>,
    shared: &Base<'_>,
    steps: &mut Vec<Step>,
) {
    let layouts = || change.layouts.iter();
    let set = |planned: &LayoutPlanned<'_>| stateful_set(spec, planned.layout.arrangement);
    let is_new = |planned: &&LayoutPlanned<'_>| matches!(planned.set, SetStep::Make | SetStep::Announce);
    steps.extend(layouts().filter(is_new).map(|planned| Step::Try(set(planned))));
    // A bot that never had a layout has nothing to be told.
    if observed.document.is_some() || layouts().any(|planned| planned.told.is_some()) {
        base(spec, observed, shared, steps);
    }
    for planned in layouts() {
        match planned.set {
            SetStep::Keep if planned.layout.matches(spec) => ensure(observed, set(planned), steps),
            SetStep::Keep => steps.extend(bounded(&planned.layout)),
            SetStep::Make => steps.push(Step::Create(set(planned))),
            SetStep::Remove => {
                let name = set_name(&spec.owner.name, planned.layout.number());
                steps.push(Step::Delete(Kind::StatefulSet, name));
            }
            SetStep::Announce | SetStep::Leave => {}
        }
    }
    let with_duty: Vec<_> =
        layouts().filter(|planned| planned.stands() && planned.is(Role::Active)).collect();
    for planned in &with_duty {
        ensure(observed, disruption::disruption(&spec.owner, planned.layout.number()), steps);
    }
    // One that is left alone keeps its own: it may serve.
    let is_left =
        |planned: &&LayoutPlanned<'_>| planned.set == SetStep::Leave && planned.layout.living().is_some();
    let keeping: Vec<_> =
        layouts().filter(is_left).chain(with_duty).map(|planned| planned.layout.number()).collect();
    remove_budgets(observed, |number| keeping.contains(&number), steps);
}

/// The objects that every layout shares.
fn base(spec: &Spec, observed: &Observed, shared: &Base<'_>, steps: &mut Vec<Step>) {
    let Base { document, needs } = shared;
    let secrets = needs.secrets(&spec.owner);
    let accounts = accounts(observed, &spec.owner.namespace);
    for object in rights::rights(&spec.owner, spec.account.as_deref(), &accounts, &secrets) {
        ensure(observed, object, steps);
    }
    ensure(observed, service::service(&spec.owner), steps);
    steps.extend(records(&spec.owner, needs, observed));
    ensure(observed, config_map::config_map(&spec.owner, document), steps);
}

/// The accounts of what runs: a layout keeps its rights when the template names another, and so do pods whose set is gone, which have
/// yet to park.
fn accounts(observed: &Observed, namespace: &str) -> Vec<String> {
    let of = |kind| observed.children.iter().filter(move |child| child.kind == kind);
    let named = |name: &Value| name.as_str().map(str::to_owned);
    let sets = of(Kind::StatefulSet);
    let of_sets = sets.filter_map(|set| named(&set.live["spec"]["template"]["spec"]["serviceAccountName"]));
    let has_set = |pod: &PodSeen| of(Kind::StatefulSet).any(|set| set.layout() == Some(pod.layout));
    let linger = observed.pods.iter().any(|pod| pod.phase != Phase::Ended && !has_set(pod));
    let bindings = of(Kind::RoleBinding).filter(|binding| linger && binding.ours);
    let subjects = bindings.filter_map(|binding| binding.live["subjects"].as_array()).flatten();
    let is_here = |subject: &&Value| subject["kind"] == "ServiceAccount" && subject["namespace"] == namespace;
    let of_pods = subjects.filter(is_here);
    of_sets.chain(of_pods.filter_map(|subject| named(&subject["name"]))).collect()
}

fn remove_budgets(observed: &Observed, is_kept: impl Fn(u32) -> bool, steps: &mut Vec<Step>) {
    let budgets = observed.children.iter().filter(|child| {
        let layout = child.label(shard_contract::names::LAYOUT_LABEL).and_then(|number| number.parse().ok());
        child.kind == Kind::PodDisruptionBudget && !child.deleting && !layout.is_some_and(&is_kept)
    });
    steps.extend(budgets.map(|child| Step::Delete(Kind::PodDisruptionBudget, child.name.clone())));
}

fn gate(reserve_percent: u32, observed: &Observed, change: &Change<'_>) -> GateSetting {
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
    // One on its way out runs until its kubelet says otherwise.
    let running = observed.pods.iter().filter(|pod| pod.phase == Phase::Running).map(|pod| GatePod {
        uid: pod.uid.clone(),
        layout: pod.layout,
        ordinal: pod.ordinal,
    });
    GateSetting::Open { token, reserve_percent, gateway, layouts: change.granted(), pods: running.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Child;
    use serde_json::json;

    #[test]
    fn pods_whose_set_is_gone_keep_the_account_that_they_park_with() {
        let subject = |name: &str, namespace: &str| json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
        let binding = Child::ours(
            Kind::RoleBinding,
            "b-shards",
            json!({ "subjects": [subject("before", "bots"), subject("strange", "elsewhere")] }),
        );
        let of = |phase| {
            let pods = vec![PodSeen { phase, ..PodSeen::running() }];
            let observed = Observed { children: vec![binding.clone()], pods, ..Observed::nothing() };
            accounts(&observed, "bots")
        };
        assert_eq!(of(Phase::Running), ["before"]);
        assert!(of(Phase::Ended).is_empty(), "what has ended parks nothing any more");
    }
}
