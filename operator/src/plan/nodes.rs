//! Pods on lost nodes: when they may be taken for gone.
//!
//! A pod on a node that does not answer stays bound to it, and its StatefulSet makes no other, until somebody says that
//! it is gone. The operator says so only when these come together: the node's Ready condition is Unknown or the node
//! is gone, the pod's grace is over, its reports have been silent for 90 s, and the operator was told to replace such pods. Two more come
//! from how pods let go. They hold on while half of their peers on other nodes answer, so where many fell silent together they may be cut
//! off together and hold on together; then a person must say that the machines are off. And since a pod may run on and not reach the gate
//! alone, the layouts document has to have named it for 45 s: one that reads it lets its shards go, and one that hears nobody is cut off.
//! Deliberately absent: evicting pods, which Kubernetes does.

use crate::model::{NodeLoss, NodeSeen, NodeState, Note, Observed, PodSeen, Reason, Step};
use std::time::Duration;

/// How long a pod must be silent before it is taken for gone.
const SILENCE: Duration = Duration::from_secs(90);

/// How long it must be silent before the document names it.
const NAMED_AFTER: Duration = Duration::from_secs(45);

/// How long the document must have named it, and how long before its grace is over that begins: a pod that no leader answers asks the API
/// server every 25 s at the latest, within 5 s, and one that gets no answer is cut off within 45 s.
const NAMED: Duration = Duration::from_secs(45);

/// A pod that is cut off asks all of its peers up to this many, and so many by lot of more.
const ASKED_BY_LOT: usize = 64;

/// So long it names a pod that is no longer there: a token of it may be good for 10 s, and what it has read late must not free it.
const NAMED_AFTERWARDS: Duration = Duration::from_secs(60);

/// What is done and said about pods on lost nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lost {
    /// Pods to delete by force.
    pub steps: Vec<Step>,
    /// Which pods, which node, and what happens next; none when no node is lost.
    pub note: Option<Note>,
    /// Whom the document is to name as gone, by UID.
    pub gone: Vec<String>,
}

/// Looks for pods on lost nodes.
#[must_use]
pub fn lost(observed: &Observed) -> Lost {
    let on_lost: Vec<_> =
        observed.pods.iter().filter_map(|pod| Some((pod, node_of(pod, observed)?))).collect();
    let gone = gone(observed);
    let Some((first, (node, seen))) = on_lost.first() else { return Lost { gone, ..Lost::default() } };
    let steps = on_lost
        .iter()
        .filter(|(pod, _)| may_be_replaced(pod, observed))
        .map(|(pod, _)| Step::ForceDelete { pod: pod.name.clone(), uid: pod.uid.clone() });
    let how = match (seen.state, seen.since) {
        (NodeState::Gone, _) => "has been removed".to_owned(),
        (_, Some(since)) => format!("has not answered since {since}"),
        (_, None) => "does not answer".to_owned(),
    };
    let others = on_lost.len() - 1;
    let others = if others > 0 { format!(" (and {others} more pods on lost nodes)") } else { String::new() };
    let message =
        format!("pod {}{others} is on node {node}, which {how}; {}", first.name, next(first, observed));
    Lost { steps: steps.collect(), note: Some(Note::new(Reason::NodeLost, message)), gone }
}

/// How soon to look again for their sake: a node tells nobody here when it is lost or comes back.
pub fn next_look(observed: &Observed) -> Duration {
    let is_lost = observed.nodes.values().any(|node| node.is_lost());
    if is_lost { Duration::from_secs(5) } else { Duration::MAX }
}

/// Whom the document is to name: who is there and is to be named, and for a while who was.
fn gone(observed: &Observed) -> Vec<String> {
    let there = observed.pods.iter().filter(|pod| is_to_be_named(pod, observed)).map(|pod| pod.uid.clone());
    let was = observed.named.iter().filter(|(uid, since)| {
        **since < NAMED_AFTERWARDS && observed.pods.iter().all(|pod| pod.uid != **uid)
    });
    let mut gone: Vec<_> = there.chain(was.map(|(uid, _)| uid.clone())).collect();
    gone.sort_unstable();
    gone
}

/// The pod's node, if the pod is silent and the node is lost.
fn node_of<'a>(pod: &'a PodSeen, observed: &Observed) -> Option<(&'a str, NodeSeen)> {
    let node = pod.node.as_deref()?;
    let seen = *observed.nodes.get(node)?;
    (seen.is_lost() && !pod.ready && pod.report.is_none()).then_some((node, seen))
}

fn grace_is_over(pod: &PodSeen, observed: &Observed) -> bool {
    pod.deleting && pod.grace_ends.is_some_and(|ends| ends < observed.now)
}

/// From here on it takes only time. Who is named stays so until there is a sign of life, also where the node was not read this time, or a
/// fresh leader has heard nobody yet.
fn is_to_be_named(pod: &PodSeen, observed: &Observed) -> bool {
    let answers =
        |node: &String| observed.nodes.get(node).is_some_and(|node| node.state == NodeState::Answers);
    let lives = pod.ready || pod.report.is_some() || pod.node.as_ref().is_some_and(answers);
    let is_lost = || {
        observed.heard
            && pod.deleting
            && pod
                .grace_ends
                .is_some_and(|ends| ends.duration_since(observed.now) <= NAMED.try_into().unwrap_or_default())
            && pod.silent >= NAMED_AFTER
            && node_of(pod, observed).is_some()
            && lets_go(pod, observed)
    };
    let stays = observed.named.contains_key(&pod.uid);
    observed.addresses.on_node_loss == NodeLoss::Replace && !lives && (stays || is_lost())
}

fn may_be_replaced(pod: &PodSeen, observed: &Observed) -> bool {
    observed.addresses.on_node_loss == NodeLoss::Replace
        && observed.heard
        && grace_is_over(pod, observed)
        && pod.silent >= SILENCE
        && observed.named.get(&pod.uid).is_some_and(|named| *named >= NAMED)
        && lets_go(pod, observed)
}

/// Whether the pod lets its shards go when it is cut off: it asks the pods on other nodes, and holds on while half of them
/// answer. Any that is silent may be on its side of the cut, unless its node answers or is gone. Of many it asks some by lot,
/// so half of those that it drew may be a good deal fewer in all.
fn lets_go(pod: &PodSeen, observed: &Observed) -> bool {
    let state = |pod: &PodSeen| Some(observed.nodes.get(pod.node.as_ref()?)?.state);
    let document = observed.document.as_ref();
    let is_asked = |peer: &&PodSeen| document.is_none_or(|document| document.asks(pod.layout, peer.layout));
    let elsewhere = || observed.pods.iter().filter(|peer| peer.node != pod.node).filter(is_asked);
    let is_apart = |peer: &PodSeen| {
        peer.node.is_none() || matches!(state(peer), Some(NodeState::Answers | NodeState::Gone))
    };
    let silent = elsewhere().filter(|peer| peer.report.is_none() && !peer.ready && !is_apart(peer)).count();
    let (all, margin) = (elsewhere().count(), if elsewhere().count() > ASKED_BY_LOT { 4 } else { 2 });
    state(pod) == Some(NodeState::Gone) || silent == 0 || margin * silent < all
}

/// What happens to the pod next, and the remedy.
fn next(pod: &PodSeen, observed: &Observed) -> &'static str {
    let gone = node_of(pod, observed).is_some_and(|(_, node)| node.state == NodeState::Gone);
    if !pod.deleting && gone {
        "Kubernetes takes it away in a minute or so; if none of the others has room for it, add a node"
    } else if !pod.deleting {
        "Kubernetes takes it away when its tolerationSeconds are over; bring the node back, or delete the Node object if the machine is gone for good"
    } else if observed.addresses.on_node_loss == NodeLoss::Wait && gone {
        "--on-node-loss=Wait leaves it there: once you know that the machine is off, delete the pod (kubectl delete pod --force)"
    } else if observed.addresses.on_node_loss == NodeLoss::Wait {
        "--on-node-loss=Wait leaves it there: bring the node back, or, once you know that the machine is off, delete the Node object or the pod (kubectl delete pod --force)"
    } else if may_be_replaced(pod, observed) {
        "it is deleted by force, so that it is made anew on another node; if none has room, add a node"
    } else if !lets_go(pod, observed) {
        "so many other pods are silent that it may hold its shards together with them; bring the nodes back, or, once you know that the machines are off, delete the Node objects or the pods (kubectl delete pod --force)"
    } else if pod.silent >= SILENCE && observed.document.is_none() {
        "it could not be told to let its shards go, since there is no ConfigMap with the layouts that could be written; mend what is said of it, or, once you know that the machine is off, delete the pod (kubectl delete pod --force)"
    } else {
        "it is replaced when its grace is over, nothing has been heard of it for 90 s, and it has been told for 45 s to let its shards go; bring the node back if you can"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shard_contract::layouts::{Layout, Layouts, Role};
    use std::collections::BTreeMap;

    use k8s_openapi::jiff::{SignedDuration, Timestamp};

    fn pod() -> PodSeen {
        PodSeen {
            deleting: true,
            grace_ends: Some(Timestamp::UNIX_EPOCH),
            silent: SILENCE,
            ..PodSeen::running()
        }
    }

    fn observed(pod: PodSeen, state: NodeState) -> Observed {
        Observed {
            now: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(45),
            pods: vec![pod],
            nodes: [("n".to_owned(), NodeSeen { state, since: None })].into(),
            document: Some(Layouts::default()),
            named: [("u".to_owned(), NAMED)].into(),
            ..Observed::nothing()
        }
    }

    /// Pods by node and whether they speak; the first is on a lost node, and all else says that it is gone.
    fn among(peers: &[(&str, bool)]) -> Observed {
        let mut observed = observed(pod(), NodeState::Unknown);
        observed.pods.extend(peers.iter().map(|(node, speaks)| PodSeen {
            name: "another".into(),
            node: Some((*node).to_owned()),
            deleting: false,
            report: speaks.then(shard_contract::report::Report::default),
            ..pod()
        }));
        observed
    }

    #[test]
    fn pods_that_may_hold_on_together_are_left_to_a_person() {
        let replaced = [
            &[("n", false)] as &[_],
            &[("n", false), ("m", true)],
            &[("m", true), ("l", true), ("k", false)],
        ];
        for peers in replaced {
            assert_eq!(lost(&among(peers)).steps.len(), 1, "{peers:?}");
        }
        let left = [&[("m", false)] as &[_], &[("m", false), ("l", true)], &[("n", true), ("m", false)]];
        for peers in left {
            let Lost { steps, note, .. } = lost(&among(peers));
            assert!(steps.is_empty(), "{peers:?}");
            assert!(note.unwrap().message.contains("once you know that the machines are off"));
        }
        let mut gone = among(&[("m", false)]);
        gone.nodes.insert("m".to_owned(), NodeSeen { state: NodeState::Gone, since: None });
        assert_eq!(lost(&gone).steps.len(), 1, "what is on a machine that is gone holds nothing");
    }

    #[test]
    fn pods_of_a_layout_that_is_only_to_take_over_are_no_peers() {
        let standby = |role| {
            // One of two peers answers, and with it half of them: the pod holds on, if that one counts.
            let mut observed = among(&[("m", false), ("l", true), ("k", true)]);
            for peer in &mut observed.pods[2..] {
                peer.layout = 2;
            }
            let layout = Layout { number: 2, total: 2, pods: 2, role, session_group: 0, fallback_slot: 0 };
            observed.document = Some(Layouts { layouts: vec![layout], ..Layouts::default() });
            lost(&observed).steps.len()
        };
        assert_eq!((standby(Role::Active), standby(Role::Standby)), (1, 0));
    }

    #[test]
    fn a_silent_pod_is_named_before_it_is_replaced_until_there_is_a_sign_of_life_or_it_has_been_gone_for_a_minute()
     {
        let silent = PodSeen { silent: NAMED_AFTER, ..pod() };
        let first = Observed { named: BTreeMap::new(), ..observed(silent, NodeState::Unknown) };
        assert_eq!((lost(&first).steps.len(), lost(&first).gone), (0, vec!["u".to_owned()]));
        let but = |of: &Observed, change: fn(&mut Observed)| {
            let mut observed = of.clone();
            change(&mut observed);
            lost(&observed).gone.len()
        };
        let not_yet: [fn(&mut Observed); 6] = [
            |seen| seen.pods[0].silent = Duration::from_millis(44_999),
            |seen| seen.pods[0].deleting = false,
            |seen| seen.pods[0].grace_ends = Some(seen.now + SignedDuration::from_secs(46)),
            |seen| seen.heard = false,
            |seen| seen.nodes.clear(),
            |seen| seen.addresses.on_node_loss = NodeLoss::Wait,
        ];
        assert_eq!(not_yet.map(|change| but(&first, change)), [0; 6]);

        let named = observed(pod(), NodeState::Unknown);
        let stays: [fn(&mut Observed); 4] = [
            |seen| seen.pods[0].silent = Duration::ZERO,
            |seen| seen.heard = false,
            |seen| seen.nodes.clear(),
            |seen| seen.pods.clear(),
        ];
        assert_eq!(stays.map(|change| but(&named, change)), [1; 4]);
        let no_longer: [fn(&mut Observed); 4] = [
            |seen| seen.pods[0].report = Some(shard_contract::report::Report::default()),
            |seen| seen.pods[0].ready = true,
            |seen| seen.nodes.values_mut().for_each(|node| node.state = NodeState::Answers),
            |seen| {
                seen.pods.clear();
                seen.named.values_mut().for_each(|named| *named = NAMED_AFTERWARDS);
            },
        ];
        assert_eq!(no_longer.map(|change| but(&named, change)), [0; 4]);
    }

    #[test]
    fn a_pod_is_replaced_when_all_agree_and_each_alone_forbids_it() {
        let all = observed(pod(), NodeState::Unknown);
        let force = Step::ForceDelete { pod: "b-1-0".into(), uid: "u".into() };
        for observed in [&all, &observed(pod(), NodeState::Gone)] {
            assert_eq!(lost(observed).steps, std::slice::from_ref(&force));
        }
        let but = |change: fn(&mut Observed)| {
            let mut observed = all.clone();
            change(&mut observed);
            observed
        };
        let waits = [
            but(|seen| seen.addresses.on_node_loss = NodeLoss::Wait),
            but(|seen| seen.heard = false),
            but(|seen| seen.pods[0].deleting = false),
            but(|seen| seen.pods[0].grace_ends = Some(seen.now)),
            but(|seen| seen.pods[0].silent = Duration::from_secs(89)),
            but(|seen| seen.named.values_mut().for_each(|named| *named = Duration::from_secs(44))),
        ];
        for observed in waits {
            let Lost { steps, note, .. } = lost(&observed);
            assert!(steps.is_empty() && note.is_some(), "{observed:?}");
        }
        let not_lost = [
            but(|seen| seen.pods[0].report = Some(shard_contract::report::Report::default())),
            but(|seen| seen.pods[0].ready = true),
            but(|seen| seen.pods[0].node = None),
            but(|seen| seen.nodes.clear()),
            observed(pod(), NodeState::Answers),
        ];
        for observed in not_lost {
            let Lost { steps, note, gone: _ } = lost(&observed);
            assert_eq!((steps, note), (Vec::new(), None), "{observed:?}");
        }
    }
}
