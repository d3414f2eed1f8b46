//! The bot's pods: what Kubernetes says of them, and what they last said themselves.
//!
//! Listed live, by label; a copy that somebody made for debugging is not one of them. Deliberately absent: what any of it
//! means.

use crate::context::{Context, Key};
use crate::crd::Listed;
use crate::model::{Phase, PodSeen};
use crate::reads;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use shard_contract::names::{BOT_LABEL, parse_pod, stateful_set};
use std::time::Duration;
use tokio::time::Instant;

/// The longest quotation, in characters.
pub(super) const QUOTED: usize = 600;

/// The bot's pods, by layout and ordinal.
pub(super) async fn pods(ctx: &Context, key: &Key, since: Instant) -> Result<Vec<PodSeen>, reads::Error> {
    let labelled = format!("{}?labelSelector={BOT_LABEL}%3D{}", Pod::url_path(&(), Some(&key.0)), key.1);
    let mut pods = ctx.reads.list(&labelled, |text| seen(ctx, key, since, &pod(text)?)).await?;
    pods.sort_by_key(|pod| (pod.layout, pod.ordinal));
    Ok(pods)
}

/// A pod without the parts that its author may fill; what cannot be read is not one of ours.
fn pod(text: &str) -> Option<Pod> {
    #[derive(Deserialize)]
    struct Parts {
        spec: Option<Placed>,
        status: Option<PodStatus>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Placed {
        node_name: Option<String>,
    }
    let listed: Listed<Pod> = serde_json::from_str(text).ok()?;
    let Parts { spec, status } = serde_json::from_str(text).ok()?;
    let spec = spec.map(|Placed { node_name }| PodSpec { node_name, ..PodSpec::default() });
    Some(Pod { metadata: listed.into_metadata(), spec, status })
}

fn seen(ctx: &Context, key: &Key, since: Instant, pod: &Pod) -> Option<PodSeen> {
    let (name, uid) = (pod.name_any(), pod.uid()?);
    let (bot, layout, ordinal) = parse_pod(&name)?;
    // A copy that somebody made for debugging has the labels, but not the owner.
    let set = stateful_set(bot, layout);
    let controlled =
        pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.name == set);
    if bot != key.1 || !controlled {
        return None;
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready =
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    Some(PodSeen {
        silent: silent(ctx, key, since, pod, &name, &uid),
        phase: match phase {
            Some("Running" | "Unknown") => Phase::Running,
            Some("Succeeded" | "Failed") => Phase::Ended,
            _ => Phase::Pending,
        },
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        made: pod.metadata.creation_timestamp.as_ref().map(|at| at.0),
        finalizers: finalizers(pod),
        grace_ends: pod.metadata.deletion_timestamp.as_ref().map(|ends| ends.0),
        report: ctx.reports.of(&key.0, &name, &uid),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        trouble: trouble(pod),
        name,
        uid,
        layout,
        ordinal,
        ready,
    })
}

/// How long nothing was heard of a pod. One that this process never heard has been silent since it could be heard, `since`: before
/// that, somebody else was told. None has been for longer than since its last container was started.
fn silent(ctx: &Context, key: &Key, since: Instant, pod: &Pod, name: &str, uid: &str) -> Duration {
    let heard = ctx.reports.silent_for(&key.0, name, uid);
    let silent = heard.unwrap_or_else(|| since.elapsed());
    silent.min(
        spoke_at(pod).map_or(Duration::ZERO, |at| ctx.machine.wall.now().duration_since(at).unsigned_abs()),
    )
}

/// The first few, each cut: anybody may write them.
fn finalizers(pod: &Pod) -> Vec<String> {
    let all = pod.metadata.finalizers.iter().flatten();
    all.take(3).map(|one| one.chars().take(64).collect()).collect()
}

/// When it can have begun to speak: when its last container was started; while none runs, when its kubelet took it, and
/// before that, when it was made. A pod may wait for minutes for its image.
fn spoke_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let running =
        |one: &ContainerStatus| one.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|at| at.0);
    let last = containers.into_iter().flatten().filter_map(running).max();
    let taken = status.and_then(|status| status.start_time.as_ref());
    last.or_else(|| taken.or(pod.metadata.creation_timestamp.as_ref()).map(|at| at.0))
}

/// What the scheduler or the kubelet says when a pod does not run, cut to a length that a status can quote.
fn trouble(pod: &Pod) -> Option<String> {
    Some(said(pod)?.chars().take(QUOTED).collect())
}

fn said(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled =
        status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    if let Some(condition) = unscheduled {
        return Some(format!("not scheduled: {}", condition.message.as_deref().unwrap_or("no reason given")));
    }
    let containers =
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let mut containers = containers;
    containers.find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        // Every pod passes through these two.
        (!matches!(reason, "ContainerCreating" | "PodInitializing")).then(|| {
            let message = waiting.message.as_deref().unwrap_or_default();
            format!("container {}: {reason} {message}{}", container.name, ended(container))
        })
    })
}

/// How a container that waits to be started again ended last.
fn ended(container: &ContainerStatus) -> String {
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    last.map_or_else(String::new, |last| {
        let reason = last.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
        format!("; it ended last with exit code {}{reason}", last.exit_code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_can_have_spoken_since_its_last_container_was_started() {
        let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z");
        let running = |minute| json!({ "name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": { "running": { "startedAt": at(minute) } } });
        let spoke = |status: Value| {
            let pod = json!({ "metadata": { "creationTimestamp": at(1) }, "status": status });
            spoke_at(&serde_json::from_value(pod).unwrap()).map(|at| at.to_string())
        };
        assert_eq!(spoke(json!({})), Some(at(1)));
        assert_eq!(spoke(json!({ "startTime": at(2) })), Some(at(2)));
        let all = json!({ "startTime": at(2), "containerStatuses": [running(5), running(4)] });
        assert_eq!(spoke(all), Some(at(5)));
    }

    #[test]
    fn a_container_that_crashes_says_how_it_ended() {
        let pod = |last: Value| -> Pod {
            let waiting = json!({ "reason": "CrashLoopBackOff", "message": "back-off 10s" });
            let container = json!({ "name": "bot", "image": "i", "imageID": "i", "ready": false, "restartCount": 3, "state": { "waiting": waiting }, "lastState": last });
            serde_json::from_value(json!({ "metadata": {}, "status": { "containerStatuses": [container] } }))
                .unwrap()
        };
        let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        assert_eq!(
            trouble(&pod(killed)).unwrap(),
            "container bot: CrashLoopBackOff back-off 10s; it ended last with exit code 137 (OOMKilled)"
        );
        assert_eq!(trouble(&pod(json!({}))).unwrap(), "container bot: CrashLoopBackOff back-off 10s");
    }
}
