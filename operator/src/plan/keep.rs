//! Whether the change that the spec asks for may be made now.
//!
//! From a change to itself, or to keeping the fleet that runs: it has not been heard yet, it cannot be told whether it is another at all,
//! another would not come up, or its pods would not be admitted. Deliberately absent: the budget, and what the spec says itself.

use super::change::Change;
use super::hold::Hold;
use super::rollout::{LayoutSeen, Rollout, SetSeen};
use super::spec::Spec;
use super::wanted;
use crate::model::{Admission, Note, Observed, Phase, Reason, Same, Verdict};
use crate::names::IDENTITY_ANNOTATION;
use shard_contract::names::stateful_set as set_name;
use shard_contract::report::ShardState;

/// What to do about layouts.
#[must_use]
pub fn change<'a>(
    spec: &Spec,
    rollout: &Rollout<'a>,
    observed: &Observed,
    wanted: Result<u32, Note>,
    held: Option<Hold>,
) -> Change<'a> {
    let keep = |verdict| Change::keep(rollout, verdict, &[]);
    let total = match (held, wanted) {
        (Some(because), _) => return keep(because.into_verdict()),
        (None, Err(note)) => return keep(Verdict::Moving(note)),
        (None, Ok(total)) => total,
    };
    let change = wanted::change(spec, rollout, observed, total);
    match reason_to_keep(spec, rollout, observed, &change, total) {
        Some(verdict) => keep(verdict),
        None => change,
    }
}

/// What forbids to take pods away now, if the change would, now or later.
fn reason_to_keep(
    spec: &Spec,
    rollout: &Rollout<'_>,
    observed: &Observed,
    change: &Change<'_>,
    total: u32,
) -> Option<Verdict> {
    if !change.replaces {
        return None;
    }
    if !observed.heard {
        let running = observed.pods.iter().filter(|pod| pod.phase == Phase::Running);
        let heard = running.clone().filter(|pod| pod.report.is_some()).count();
        return Some(Verdict::Moving(Note::new(
            Reason::Initializing,
            format!(
                "this operator has just begun to lead and hears the fleet first, for 45 s at most: {heard} of {} pods have reported; then the change goes on",
                running.count()
            ),
        )));
    }
    let duty = rollout.duty()?;
    let alike = observed.answers.alike.as_ref();
    if let Some(Same::Unknown(why)) = alike.map(|alike| &alike.same) {
        let message = format!(
            "layout {} runs on: whether the pods of spec.template are others cannot be asked: {why}; it is tried again",
            duty.number()
        );
        return Some(Verdict::Moving(Note::new(Reason::ApiServerError, message)));
    }
    let is_stripped = duty.living().is_some_and(SetSeen::is_stripped) && duty.is_arranged(spec, total);
    let stripped = alike.filter(|_| is_stripped);
    stripped
        .map(|_| Verdict::Stalled(stripped_set(&set_name(&spec.owner.name, duty.number()))))
        .or_else(|| breaker(observed, duty, total).map(Verdict::Moving))
        .or_else(|| change.next().and_then(|_| refused(observed, duty)))
}

/// What a set was made from is not known, and what the spec asks for makes other pods.
fn stripped_set(name: &str) -> Note {
    Note::new(
        Reason::SetUnreadable,
        format!(
            "StatefulSet {name} lost its annotation {IDENTITY_ANNOTATION}, and its pods are not those of spec.template: whether the spec was changed or the StatefulSet was edited cannot be told, so its pods run on; to replace them by those of spec.template: kubectl annotate --overwrite statefulset {name} {IDENTITY_ANNOTATION}=lost"
        ),
    )
}

/// A fleet is not stopped for one whose pods would not be admitted.
fn refused(observed: &Observed, duty: &LayoutSeen<'_>) -> Option<Verdict> {
    let Some(Admission::Refused { note, stalled }) = &observed.answers.admission else { return None };
    let message = format!("layout {} runs on: {}", duty.number(), note.message);
    let note = Note::new(note.reason, message);
    Some(if *stalled { Verdict::Stalled(note) } else { Verdict::Moving(note) })
}

/// With the breaker open one IDENTIFY at a time is tried: a fleet that serves would be taken down for one that cannot come
/// up. One that mostly does not serve may be replaced, since that is how a broken image is corrected.
fn breaker(observed: &Observed, duty: &LayoutSeen<'_>, total: u32) -> Option<Note> {
    let tripped = observed.gate?.breaker.filter(|_| total > 0)?;
    let shards = duty.pods.iter().filter_map(|pod| pod.report.as_ref()).flat_map(|report| &report.shards);
    let online = shards.filter(|shard| shard.state == ShardState::Online).count();
    (online * 2 > duty.arrangement.total as usize).then(|| {
        Note::new(
            Reason::BreakerOpen,
            format!(
                "the change waits, and layout {} keeps its duty: {} IDENTIFYs in a row did not reach READY, so another fleet would not come up; it goes on when one does; look at the pods' logs, or set spec.shards to 0 to stop the bot first",
                duty.number(),
                tripped.failures
            ),
        )
    })
}
