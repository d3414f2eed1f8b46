//! How one object comes to be as it should be.
//!
//! From the object as wanted, and as it stands, to steps. Of a set what our marks and bounds say is written apart from what others edited:
//! the first costs no pod, and the second is put back seldom. Deliberately absent: which objects there should be.

use super::objects;
use super::objects::config_map::{config_map, document};
use super::objects::stateful_set::{bounds, edits, marks};
use super::rollout::LayoutSeen;
use crate::model::{Child, Hand, Kind, Note, Object, Observed, Reason, Step, Verdict};
use crate::names::{Owner, PODS_LABEL};
use shard_contract::layouts::Layouts;

/// Makes an object that is not there, and one that is not as it should be so.
pub fn ensure(observed: &Observed, wanted: Object, steps: &mut Vec<Step>) {
    let same = |child: &&Child| child.kind == wanted.kind && child.name == wanted.name;
    let found = observed.children.iter().find(same);
    // What somebody edited of a set is what pods that are made from now on would be.
    let hand = found.filter(|child| !child.deleting).and_then(|child| child.hand);
    steps.extend(hand.map(|hand| Step::PutBack(edits(wanted.clone()), hand)));
    match found {
        None => steps.push(Step::Create(wanted)),
        Some(child) if child.deleting || objects::stands(&wanted, &child.live) => {}
        Some(_) if wanted.kind == Kind::StatefulSet => steps.push(Step::Merge(marks(wanted))),
        Some(_) => {
            let apply = Step::Apply(wanted);
            if !steps.contains(&apply) {
                steps.push(apply);
            }
        }
    }
}

/// A set that runs on though the spec asks for another, or cannot be read.
#[must_use]
pub fn bounded(layout: &LayoutSeen<'_>) -> Option<Step> {
    let child = layout.living()?.child;
    // Where labels and document disagree nobody knows how many pods are right.
    let (told, pods) = (layout.told?.pods, layout.arrangement.pods);
    let labelled: Option<u32> = child.label(PODS_LABEL).and_then(|pods| pods.parse().ok());
    (told == pods && labelled.is_none_or(|pods| pods == told)).then_some(())?;
    let bounds = bounds(child, pods)?;
    Some(Step::Merge(bounds))
}

/// Also says what others wrote to the template of a set that runs on while another template waits: it is not written back, since only the
/// set's own revisions have what it was.
#[must_use]
pub fn edited_meanwhile(layout: &LayoutSeen<'_>, verdict: Verdict) -> Verdict {
    let Some(child) = layout.living().map(|set| set.child) else { return verdict };
    let name = &child.name;
    let said = match child.hand {
        None | Some(Hand::Beside) => return verdict,
        Some(Hand::Rollout) => format!(
            "meanwhile somebody restarted StatefulSet {name}, which restarts nothing; set spec.restartedAt of the ShardedBot instead"
        ),
        Some(Hand::Somebody) => format!(
            "meanwhile others wrote to the template of StatefulSet {name}, which its managedFields tell of, and until the change nobody writes it back: a pod that is replaced is made from what it says now; kubectl rollout undo statefulset/{name} brings back what it said before"
        ),
    };
    let say = |note: Note| match note.reason {
        // What it says of the template is all that can be said.
        Reason::SetUnreadable => note,
        _ => Note { message: format!("{}; {said}", note.message), ..note },
    };
    match verdict {
        Verdict::Settled => Verdict::Settled,
        Verdict::Moving(note) => Verdict::Moving(say(note)),
        Verdict::Stalled(note) => Verdict::Stalled(say(note)),
    }
}

/// Tells pods who is taken for gone, if the document names others: before all else, and also where nothing else may change. Returns the
/// document as it stands then.
pub fn tell_of(
    gone: &[String],
    owner: &Owner,
    observed: &Observed,
    steps: &mut Vec<Step>,
) -> Option<Layouts> {
    let before = observed.document.as_ref()?;
    let told = document(Some(before), before.layouts.clone(), gone, observed);
    if before.gone != gone {
        steps.push(Step::Apply(config_map(owner, &told)));
        return Some(told);
    }
    Some(before.clone())
}
