//! What is said of a change that waits for old pods.
//!
//! From the layouts that stop to one note: which, how many pods are still there, what keeps those whose time is over, and what comes
//! then. Deliberately absent: what is done about it; a pod that is kept is left to whoever keeps it.

use super::objects::stateful_set::Arrangement;
use super::rollout::LayoutSeen;
use super::spec::Spec;
use crate::model::{Note, Observed, Phase, Reason, late};

/// What is said while old layouts stop.
pub fn stopping(
    spec: &Spec,
    old: &[&LayoutSeen<'_>],
    next: Option<Arrangement>,
    waits_for: usize,
    observed: &Observed,
) -> Note {
    let from: Vec<_> = old
        .iter()
        .map(|layout| format!("layout {} ({} shards)", layout.number(), layout.arrangement.total))
        .collect();
    let from = if from.is_empty() { "the old layout".to_owned() } else { from.join(" and ") };
    let then = next.map_or_else(
        || "spec.shards is 0".to_owned(),
        |next| format!("then layout {} ({} shards) starts", next.number, next.total),
    );
    let how = if spec.handover && next.is_some() {
        "; spec.update.type Handover is not there yet and does what Recreate does: stop, then start"
    } else {
        ""
    };
    let number = next.map_or(0, |next| next.number);
    let stuck = late(observed, |pod| pod.layout != number && pod.phase != Phase::Ended);
    Note::new(
        Reason::Recreating,
        format!("stopping {from}, {waits_for} pods still there{stuck}; {then}{how}"),
    )
}
