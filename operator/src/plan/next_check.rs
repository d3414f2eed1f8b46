//! When a bot is looked at again though nothing wakes a round.
//!
//! From what a round found and did to a time: soon where something is waited for, ever later for a token that is missing or refused, seldom where
//! nothing is to be done. Deliberately absent: what wakes a round before (`controller.rs`).

use super::nodes;
use super::spec::Spec;
use crate::backoff::rising;
use crate::model::{Observed, Reason, Step, Verdict};
use std::time::Duration;

/// Events wake a round at once; this is for what nothing tells of: the token, Discord, and, in one look of a few, edits of unwatched
/// objects.
pub fn next_check(spec: &Spec, observed: &Observed, verdict: &Verdict, steps: &[Step]) -> Duration {
    let seconds = match verdict {
        // A pod's write may have come first, so it is looked at again.
        _ if steps.iter().any(|step| matches!(step, Step::Patch { .. } | Step::ForceDelete { .. })) => 2,
        // A person brings another token.
        _ if observed.token_bad_for.is_some() => rising(observed.token_bad_for.unwrap_or_default()).as_secs(),
        Verdict::Settled => {
            // Spread over objects, the same for one object.
            45 + u64::from(spec.owner.uid.bytes().last().unwrap_or(0) % 15)
        }
        // A person mends it, in the cluster as likely as in the spec.
        Verdict::Stalled(note)
            if spec.refused.is_some()
                || observed.answers.admission.is_some()
                || note.reason == Reason::SetUnreadable =>
        {
            30
        }
        // Something is waited for.
        _ => 5,
    };
    Duration::from_secs(seconds).min(nodes::next_look(observed))
}
