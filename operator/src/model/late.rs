//! What is said of pods whose time for their way out is over.

use crate::model::{Observed, PodSeen};

/// How many are named.
const NAMED: usize = 3;

/// Those of some pods that are past their time, and who or what keeps them; begins with a comma. Nothing where there are none.
#[must_use]
pub fn late(observed: &Observed, of: impl Fn(&PodSeen) -> bool) -> String {
    let is_late = |pod: &&PodSeen| of(pod) && pod.grace_ends.is_some_and(|ends| ends < observed.now);
    let told: Vec<_> = observed.pods.iter().filter(is_late).take(NAMED).map(kept).collect();
    if told.is_empty() { String::new() } else { format!(", past their time: {}", told.join("; ")) }
}

fn kept(pod: &PodSeen) -> String {
    let node = pod.node.as_deref().unwrap_or("no node");
    let by = if pod.finalizers.is_empty() {
        "its kubelet has not said that it ended".to_owned()
    } else {
        format!("finalizers {}", pod.finalizers.join(", "))
    };
    format!("{} on {node} ({by})", pod.name)
}
