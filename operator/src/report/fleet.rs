//! The fleet summed up: from pods and their reports to what status counts.
//!
//! Pure. A pod that reports is taken at its word; for an image that does not report, the pod's readiness stands in.

use crate::model::{Observed, Plan, PodSeen};
use shard_contract::layout::shards_of;
use shard_contract::layouts::{Layout, Role};
use shard_contract::report::{Report, ShardReport, ShardState};

/// What status counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The layout with duty.
    pub active: Option<Counted>,
    /// Every layout that has pods or duty.
    pub layouts: Vec<Counted>,
    /// Pods over all layouts.
    pub pods: u32,
    /// Guilds of the layout with duty.
    pub guilds: u64,
    /// A shard that Discord refused for good, and the close code.
    pub refused: Option<(u32, u16)>,
    /// Pods of the layout with duty that do not run, quoted.
    pub troubles: Vec<String>,
    /// Pods that say that they do not reach the gate and identify by turns.
    pub on_turns: Vec<String>,
    /// Pods that say that they found themselves cut off and let their shards go.
    pub fenced: Vec<String>,
}

/// One layout counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The layout.
    pub layout: Layout,
    /// Its pods that exist.
    pub pods: u32,
    /// Those that speak: they reported, or are ready.
    pub speaking: u32,
    /// Its shards that are connected, or resuming.
    pub online: u32,
}

/// Names the first few of many.
#[must_use]
pub fn first_of(all: &[String], between: &str) -> String {
    let first = all.iter().take(3).cloned().collect::<Vec<_>>().join(between);
    match all.len().saturating_sub(3) {
        0 => first,
        more => format!("{first}{between}and {more} more"),
    }
}

/// Sums up.
#[must_use]
pub fn fleet(observed: &Observed, plan: &Plan) -> Fleet {
    let layouts: Vec<_> = plan
        .layouts
        .iter()
        .map(|layout| count(layout, &observed.pods))
        .filter(|counted| counted.pods > 0 || counted.layout.role == Role::Active)
        .collect();
    let active = layouts.iter().find(|counted| counted.layout.role == Role::Active).cloned();
    let of_active = |pod: &&PodSeen| active.as_ref().is_some_and(|active| active.layout.number == pod.layout);
    let shards = || {
        observed
            .pods
            .iter()
            .filter(of_active)
            .filter_map(|pod| pod.report.as_ref())
            .flat_map(|report| &report.shards)
    };
    let who_says = |says: fn(&Report) -> bool| {
        let pods = observed.pods.iter().filter(|pod| pod.report.as_ref().is_some_and(says));
        pods.map(|pod| pod.name.clone()).collect()
    };
    Fleet {
        on_turns: who_says(|report| report.on_turns),
        fenced: who_says(|report| report.fenced),
        pods: observed.pods.len().try_into().unwrap_or(u32::MAX),
        guilds: shards().map(|shard| u64::from(shard.guilds)).sum(),
        refused: shards().filter_map(|shard| Some((shard.id, shard.fatal_close?))).min(),
        troubles: observed
            .pods
            .iter()
            .filter(of_active)
            .filter_map(|pod| Some(format!("pod {}: {}", pod.name, pod.trouble.as_ref()?)))
            .chain(observed.refusals.iter().cloned())
            .collect(),
        active,
        layouts,
    }
}

fn count(layout: &Layout, pods: &[PodSeen]) -> Counted {
    let of_layout = || pods.iter().filter(|pod| pod.layout == layout.number);
    let living = || of_layout().filter(|pod| !pod.deleting && pod.ordinal < layout.pods);
    let online = living().map(|pod| match &pod.report {
        Some(report) => connected(&report.shards, pod.ready),
        None if pod.ready => shards_of(pod.ordinal, layout.pods, layout.total).len(),
        None => 0,
    });
    let counted = |number: usize| number.try_into().unwrap_or(u32::MAX);
    Counted {
        layout: layout.clone(),
        pods: counted(of_layout().count()),
        speaking: counted(living().filter(|pod| pod.report.is_some() || pod.ready).count()),
        online: counted(online.sum()),
    }
}

/// Connected, or resuming for less than the time after which its pod is not ready any more.
fn connected(shards: &[ShardReport], ready: bool) -> usize {
    let counts = |state| state == ShardState::Online || (state == ShardState::Resuming && ready);
    shards.iter().filter(|shard| counts(shard.state)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: u32, state: ShardState) -> ShardReport {
        ShardReport {
            id,
            state,
            guilds: 1,
            unavailable_guilds: 0,
            latency_ms: None,
            identifies: 0,
            resumes: 0,
            events: 0,
            again: 0,
            idle_ms: None,
            fatal_close: None,
        }
    }

    #[test]
    fn a_shard_that_resumes_counts_until_its_pod_says_that_it_takes_too_long() {
        // A pod is not ready any more when a shard of it has been without a session for more than 60 s.
        use ShardState::{Identifying, Online, Refused, Resuming, Waiting};
        let all = [Online, Resuming, Waiting, Identifying, Refused];
        let shards: Vec<_> = (0..).zip(all).map(|(id, state)| shard(id, state)).collect();
        assert_eq!((connected(&shards, true), connected(&shards, false)), (2, 1));
    }

    #[test]
    fn of_many_the_first_three_are_named() {
        let names: Vec<_> = (0..5).map(|name| name.to_string()).collect();
        assert_eq!(first_of(&names, ", "), "0, 1, 2, and 2 more");
        assert_eq!(first_of(&names[..2], "; "), "0; 1");
        assert_eq!(first_of(&[], "; "), "");
    }
}
