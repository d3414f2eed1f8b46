//! The nodes of pods that are in doubt: silent for some time, and not ready.
//!
//! Read by name, a few in a round: with a healthy cluster none is read at all. Where there are more, those of pods that are to be
//! replaced now come first, then those of pods that are being deleted and wait to be named, and the rest are drawn by lot. A node that cannot be read (nodes are not
//! namespaced, and the right to read them may have been taken away) is left out, so that nothing is decided by it.

use crate::model::{NodeSeen, NodeState, PodSeen};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use rand::Rng as _;
use shard_machine::Random;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a pod must be silent for its node to be looked at: three report times.
const DOUBT: Duration = Duration::from_secs(45);
/// Nodes read in one round at most.
const MOST: usize = 16;

/// The nodes that are worth a look.
pub(super) async fn nodes(
    client: &Client,
    random: &Random,
    pods: &[PodSeen],
    named: &BTreeMap<String, Duration>,
) -> BTreeMap<String, NodeSeen> {
    let chosen = doubtful(pods, named, || random.rng().random());
    let api: Api<Node> = Api::all(client.clone());
    let read = |name: &String| {
        let (api, name) = (api.clone(), name.clone());
        async move {
            let node = match api.get_opt(&name).await {
                Ok(node) => node,
                Err(error) => {
                    tracing::warn!(node = name, %error, "a node cannot be read; its pods are left where they are");
                    return None;
                }
            };
            Some((name, node.as_ref().map_or(NodeSeen { state: NodeState::Gone, since: None }, seen)))
        }
    };
    let reads: Vec<_> = chosen.into_iter().map(read).collect();
    stream::iter(reads).buffer_unordered(4).filter_map(std::future::ready).collect().await
}

/// The nodes to be read in this round.
fn doubtful<'a>(
    pods: &'a [PodSeen],
    named: &BTreeMap<String, Duration>,
    mut lot: impl FnMut() -> u32,
) -> Vec<&'a String> {
    let mut waits: BTreeMap<&String, Urgency> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.ready && pod.report.is_none()) {
        let named_for = named.get(&pod.uid);
        let urgency = match named_for {
            Some(named) if *named >= DOUBT => Urgency::Due,
            None if pod.deleting => Urgency::Unnamed,
            _ => Urgency::Waits,
        };
        if let Some(node) = pod.node.as_ref().filter(|_| named_for.is_some() || pod.silent >= DOUBT) {
            let most = waits.entry(node).or_insert(urgency);
            *most = urgency.min(*most);
        }
    }
    let mut all: Vec<_> = waits.into_iter().collect();
    all.sort_by_cached_key(|(_, urgency)| (*urgency, lot()));
    all.into_iter().map(|(name, _)| name).take(MOST).collect()
}

/// What a node's answer is wanted for, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// A pod has been named as gone for long enough.
    Due,
    /// One that is being deleted is not named yet.
    Unnamed,
    /// Neither.
    Waits,
}

fn seen(node: &Node) -> NodeSeen {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|one| one.type_ == "Ready");
    NodeSeen {
        state: match ready {
            Some(ready) if ready.status == "Unknown" => NodeState::Unknown,
            // Without the condition nothing is known against it.
            Some(_) | None => NodeState::Answers,
        },
        since: ready.and_then(|ready| Some(ready.last_transition_time.as_ref()?.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_of_pods_that_are_being_deleted_are_never_crowded_out() {
        let pod = |number: u32, deleting| PodSeen {
            name: format!("b-1-{number}"),
            uid: number.to_string(),
            ordinal: number,
            deleting,
            node: Some(format!("node-{number:02}")),
            silent: DOUBT,
            ..PodSeen::running()
        };
        let mut pods: Vec<_> = (0..40).map(|number| pod(number, number >= 38)).collect();
        pods.push(PodSeen { silent: Duration::ZERO, ..pod(50, true) });
        pods.extend((51..54).map(|number| PodSeen { silent: Duration::ZERO, ..pod(number, true) }));
        let named = [("51", 45), ("52", 44), ("53", 0)];
        let named = named.map(|(uid, seconds)| (uid.to_owned(), Duration::from_secs(seconds))).into();
        let mut lots = 0;
        let chosen = doubtful(&pods, &named, || {
            lots += 1;
            1_000 - lots
        });
        let first = ["node-51", "node-39", "node-38", "node-53", "node-52", "node-37"].map(str::to_owned);
        assert_eq!((chosen.len(), &chosen[..6]), (MOST, &first.each_ref()[..]));
    }

    #[test]
    fn only_a_ready_condition_of_unknown_is_a_lost_node() {
        let node = |status: &str| {
            let conditions = json!([
                { "type": "DiskPressure", "status": "Unknown" },
                { "type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z" },
            ]);
            seen(&serde_json::from_value(json!({ "status": { "conditions": conditions } })).unwrap())
        };
        assert_eq!(["True", "False", "Unknown"].map(|status| node(status).is_lost()), [false, false, true]);
        assert_eq!(node("Unknown").since, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(!seen(&Node::default()).is_lost());
    }
}
