//! The StatefulSet controller and the garbage collector, as far as fleets need them.
//!
//! From sets and pods to pods that are missing and pods that are too many: `Parallel`, `OnDelete`, ordinals from their start;
//! what belongs to a set that is gone goes. A pod that is refused is told of in an event ([`make`]). Deliberately
//! absent: updates of templates, which the operator never makes, and volume claims.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

/// What has to be done to the pods of a namespace.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Pods to be made.
    pub missing: Vec<Pod>,
    /// Names of pods to be deleted.
    pub spare: Vec<String>,
    /// Names of sets whose deletion waits for their pods, and that have none left.
    pub finished: Vec<String>,
    /// Names of sets whose status tells of another number of pods than there are, and what it should be.
    pub told: Vec<(String, Value)>,
}

/// Compares sets with pods. `node` names the node of an ordinal.
pub fn wanted(sets: &[StatefulSet], pods: &[Pod], node: impl Fn(u32) -> String) -> Wanted {
    let mut wanted = Wanted::default();
    let is_of = |pod: &Pod, set: &StatefulSet| {
        pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.uid().as_ref())
    };
    for set in sets {
        let spec = &set.spec;
        let ends = set.meta().deletion_timestamp.is_some();
        let replicas = if ends { 0 } else { spec.replicas.unwrap_or(1).max(0) };
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0).max(0);
        let ordinals = u32::try_from(start).unwrap_or(0)..u32::try_from(start + replicas).unwrap_or(0);
        let names: Vec<_> =
            ordinals.map(|ordinal| (ordinal, format!("{}-{ordinal}", set.name_any()))).collect();
        for (ordinal, name) in &names {
            if !pods.iter().any(|pod| pod.name_any() == *name) {
                wanted.missing.push(pod(set, *ordinal, node(*ordinal)));
            }
        }
        let mine = || pods.iter().filter(|pod| is_of(pod, set));
        let is_spare = |pod: &&Pod| !names.iter().any(|(_, name)| *name == pod.name_any());
        wanted.spare.extend(mine().filter(is_spare).map(ResourceExt::name_any));
        if ends && mine().next().is_none() {
            wanted.finished.push(set.name_any());
        }
        let replicas = i32::try_from(mine().count()).unwrap_or(i32::MAX);
        if !ends && set.status.as_ref().is_none_or(|status| status.replicas != replicas) {
            wanted.told.push((set.name_any(), json!({ "status": { "replicas": replicas } })));
        }
    }
    let orphans = pods.iter().filter(|pod| !sets.iter().any(|set| is_of(pod, set)));
    wanted.spare.extend(orphans.map(ResourceExt::name_any));
    // One that is on its way out is not told twice.
    let ends = |name: &String| {
        pods.iter().any(|pod| pod.name_any() == *name && pod.meta().deletion_timestamp.is_some())
    };
    wanted.spare.retain(|name| !ends(name));
    wanted
}

/// Makes a pod of a set; that it is not admitted is told in an event of the set.
///
/// # Errors
/// When the API server does not answer, or does not take the event.
pub async fn make(client: &Client, namespace: &str, pod: &Pod) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let refusal = match pods.create(&PostParams::default(), pod).await {
        Err(kube::Error::Api(answer)) if answer.code == 403 => answer,
        made => return made.map(drop).context("make a pod"),
    };
    let set = pod.owner_references().first().context("a pod of no set")?;
    let name = pod.name_any();
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": format!("{name}.refused"), "namespace": namespace },
        "involvedObject": {
            "apiVersion": set.api_version, "kind": set.kind, "namespace": namespace, "name": set.name, "uid": set.uid,
        },
        "type": "Warning",
        "reason": "FailedCreate",
        "message": format!("create Pod {name} in StatefulSet {} failed error: {}", set.name, refusal.message),
    });
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let told = PatchParams::apply("statefulset-controller").force();
    events.patch(&format!("{name}.refused"), &told, &Patch::Apply(event)).await.context("tell of a pod")?;
    Ok(())
}

/// A set's pod of this ordinal, bound to a node.
fn pod(set: &StatefulSet, ordinal: u32, node: String) -> Pod {
    let name = format!("{}-{ordinal}", set.name_any());
    let template = set.spec.template.clone();
    let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
    pod.metadata.name = Some(name.clone());
    pod.metadata.namespace = set.namespace();
    pod.labels_mut().insert("apps.kubernetes.io/pod-index".into(), ordinal.to_string());
    pod.labels_mut().insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
    pod.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "apps/v1".into(),
        kind: "StatefulSet".into(),
        name: set.name_any(),
        uid: set.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]);
    if let Some(spec) = &mut pod.spec {
        spec.hostname = Some(name);
        spec.subdomain.clone_from(&set.spec.service_name);
        spec.node_name = Some(node);
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: u32, start: u32, ends: bool) -> StatefulSet {
        let mut set = json!({
            "metadata": { "name": "b-1", "namespace": "n", "uid": "s" },
            "spec": { "replicas": replicas, "ordinals": { "start": start }, "serviceName": "b-shards",
                "selector": {}, "template": { "metadata": { "labels": { "l": "1" } }, "spec": { "containers": [] } } },
        });
        if ends {
            set["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        serde_json::from_value(set).unwrap()
    }

    fn existing(ordinals: impl IntoIterator<Item = u32>) -> Vec<Pod> {
        ordinals.into_iter().map(|ordinal| pod(&set(1, 0, false), ordinal, String::new())).collect()
    }

    fn names(pods: &[Pod]) -> Vec<String> {
        pods.iter().map(ResourceExt::name_any).collect()
    }

    #[test]
    fn missing_ordinals_are_made_and_those_outside_go() {
        let wanted = wanted(&[set(2, 1, false)], &existing([0, 1]), |ordinal| format!("node-{ordinal}"));
        assert_eq!(
            (names(&wanted.missing), wanted.spare),
            (vec!["b-1-2".to_owned()], vec!["b-1-0".to_owned()])
        );
        assert_eq!(wanted.told, [("b-1".to_owned(), json!({ "status": { "replicas": 2 } }))]);
        let made = &wanted.missing[0];
        assert_eq!(made.labels()["apps.kubernetes.io/pod-index"], "2");
        assert_eq!(made.labels()["l"], "1");
        assert_eq!(made.spec.as_ref().unwrap().node_name.as_deref(), Some("node-2"));
    }

    #[test]
    fn a_set_that_ends_waits_for_its_pods_and_orphans_go() {
        let ending = wanted(&[set(2, 0, true)], &existing([0]), |_| String::new());
        assert_eq!((ending.missing.len(), ending.spare.len(), ending.finished.len()), (0, 1, 0));
        assert_eq!(wanted(&[set(2, 0, true)], &[], |_| String::new()).finished, ["b-1"]);
        assert_eq!(wanted(&[], &existing([0, 1]), |_| String::new()).spare, ["b-1-0", "b-1-1"]);
    }
}
