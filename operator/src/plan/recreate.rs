//! The update type `Recreate`: stop the old layout, then start the next.
//!
//! From the layouts that are known and the one that is wanted to one of three: start it, where nothing else has pods any more; stop the
//! others and wait; or, where nobody could say whether its pods would be admitted, make it first, beside those that run, and stop them when
//! a pod of it exists. What state a change is in is read off the world alone. Deliberately absent: what forbids a change.

use super::change::{Change, LayoutPlanned, SetStep};
use super::objects::stateful_set::Arrangement;
use super::rollout::{LayoutSeen, Rollout};
use super::spec::Spec;
use super::stopping::stopping;
use crate::model::{Admission, Note, Observed, Reason, Refusal, Verdict};
use shard_contract::layouts::Role;

/// The next step towards this layout; none: towards no fleet at all.
#[must_use]
pub fn step<'a>(
    spec: &Spec,
    rollout: &Rollout<'a>,
    observed: &Observed,
    next: Option<Arrangement>,
) -> Change<'a> {
    let Some(next) = next else { return stop(spec, rollout, observed, None) };
    let others = rollout.with_sets().any(|layout| layout.number() != next.number);
    if !others && rollout.left(next.number) == 0 {
        return start(rollout, next);
    }
    match unproven(rollout, observed, next) {
        Some(why) => stand(rollout, next, why),
        None => stop(spec, rollout, observed, Some(next)),
    }
}

/// Nothing else has pods any more.
fn start<'a>(rollout: &Rollout<'a>, next: Arrangement) -> Change<'a> {
    let message = format!("layout {}: starting {} pods for {} shards", next.number, next.pods, next.total);
    let others = |layout: LayoutSeen<'a>| LayoutPlanned::of(layout, None, SetStep::Leave);
    Change {
        layouts: beside(rollout, Some(next), others, Role::Active, SetStep::Make),
        verdict: Verdict::Moving(Note::new(Reason::StartingPods, message)),
        replaces: false,
    }
}

/// The others stop. What has not been stopped yet has its duty still: the first step of a stop may be refused. What comes next is told too,
/// so that a change which has begun remembers where to when the fleet that asked for it is gone.
fn stop<'a>(
    spec: &Spec,
    rollout: &Rollout<'a>,
    observed: &Observed,
    next: Option<Arrangement>,
) -> Change<'a> {
    let number = next.map_or(0, |next| next.number);
    let is_old = |layout: &&LayoutSeen<'_>| layout.number() != number && !rollout.never_had_duty(layout);
    let old: Vec<_> = rollout.with_sets().filter(is_old).collect();
    let verdict = Verdict::Moving(stopping(spec, &old, next, rollout.left(number), observed));
    let others = |layout: LayoutSeen<'a>| match (&layout.set, layout.living()) {
        (_, Some(_)) if rollout.never_had_duty(&layout) => LayoutPlanned::of(layout, None, SetStep::Remove),
        (_, Some(_)) => LayoutPlanned::of(layout, Some(Role::Active), SetStep::Remove),
        (Some(_), None) => LayoutPlanned::of(layout.clone(), rollout.retiring(&layout), SetStep::Leave),
        // With no set left the document still says which total the change came from.
        (None, None) => {
            let told = layout.role().filter(|_| old.is_empty());
            let role = told.and_then(|_| rollout.retiring(&layout));
            LayoutPlanned::of(layout, role, SetStep::Leave)
        }
    };
    Change {
        layouts: beside(rollout, next, others, Role::Standby, SetStep::Announce),
        verdict,
        // Of what lives and nobody was told of nobody knows whether it serves.
        replaces: old.iter().any(|layout| layout.living().is_some())
            || rollout.duty().is_none() && rollout.living().any(|layout| layout.role().is_none()),
    }
}

/// The others run on, and the next is made beside them.
fn stand<'a>(rollout: &Rollout<'a>, next: Arrangement, why: Note) -> Change<'a> {
    let others = |layout: LayoutSeen<'a>| {
        let (role, set) = match (&layout.set, layout.living()) {
            (_, Some(_)) if rollout.never_had_duty(&layout) => (None, SetStep::Remove),
            (_, Some(_)) => (Some(Role::Active), SetStep::Keep),
            (Some(_), None) => (rollout.retiring(&layout), SetStep::Leave),
            (None, None) => (None, SetStep::Leave),
        };
        LayoutPlanned::of(layout, role, set)
    };
    Change {
        layouts: beside(rollout, Some(next), others, Role::Standby, SetStep::Make),
        verdict: Verdict::Moving(why),
        replaces: true,
    }
}

/// All layouts, with the next among them. What stands of it already is kept.
fn beside<'a>(
    rollout: &Rollout<'a>,
    next: Option<Arrangement>,
    others: impl Fn(LayoutSeen<'a>) -> LayoutPlanned<'a>,
    role: Role,
    set: SetStep,
) -> Vec<LayoutPlanned<'a>> {
    let number = next.map(|next| next.number);
    let is_it = |layout: &&LayoutSeen<'_>| Some(layout.number()) == number;
    let seen = rollout.layouts.iter().find(is_it);
    let next = next.map(|next| match seen.filter(|layout| layout.living().is_some()) {
        Some(layout) => LayoutPlanned::of(layout.clone(), Some(role), SetStep::Keep),
        None => LayoutPlanned::of(LayoutSeen::to_come(next), Some(role), set),
    });
    let others = rollout.layouts.iter().filter(|layout| !is_it(layout)).cloned().map(others);
    let mut layouts: Vec<_> = others.chain(next).collect();
    layouts.sort_by_key(|planned| planned.layout.number());
    layouts
}

/// Why it is not known that a pod of the next layout would exist once the others have made room; none: it is.
fn unproven(rollout: &Rollout<'_>, observed: &Observed, next: Arrangement) -> Option<Note> {
    let serving = rollout.duty().filter(|layout| layout.number() != next.number)?.number();
    let stands = rollout.living().find(|layout| layout.number() == next.number);
    let Arrangement { number, pods, total, .. } = next;
    let Some(layout) = stands else {
        let Some(Admission::Unknown(why)) = &observed.answers.admission else { return None };
        return Some(Note::new(
            Reason::StartingPods,
            format!(
                "layout {number} ({total} shards on {pods} pods) is made beside layout {serving}, which runs on until a pod of it exists: whether its pods would be admitted could not be asked first: {why}"
            ),
        ));
    };
    if !layout.pods.is_empty() {
        return None;
    }
    let refusal = observed.refusals.iter().find(|refusal| refusal.layout == number);
    match refusal {
        // The others go first.
        Some(Refusal { lacks_room: true, .. }) => None,
        Some(Refusal { said, .. }) => Some(Note::new(
            Reason::PodsFailing,
            format!(
                "layout {serving} runs on: no pod of layout {number} can be made: {said}; correct spec.template, or what it names in the cluster"
            ),
        )),
        None => Some(Note::new(
            Reason::StartingPods,
            format!(
                "layout {serving} runs on until a pod of layout {number} ({total} shards on {pods} pods) exists"
            ),
        )),
    }
}
