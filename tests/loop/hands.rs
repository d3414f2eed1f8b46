//! Other hands on a bot's objects: people who edit them, and policies that turn what is written into something else.
//!
//! Only the real API server says who wrote what, and mutates what it admits. Deliberately absent: what follows where it can, which stories tell.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use serde_json::{Value, json};
use shard_contract::names::{shards, stateful_set};
use shard_tests::any_fleet::{AnyFleet as _, without_marks};
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, Fleet, PATIENCE};

/// Rounds that are woken while a policy changes what is written.
const ROUNDS: u32 = 8;

fn edit_by(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}

pub fn edited(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("edited", &ONE, Way::Proxies, async |fleet| {
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let (name, pods) = (stateful_set(BOT, 1), fleet.uids().await?);
        let before = sets.get(&name).await?;
        let edit = json!({ "spec": {
            "minReadySeconds": 7,
            "updateStrategy": { "type": "RollingUpdate" },
            "template": { "spec": { "containers": [{ "name": "bot", "image": "another" }] } },
        } });
        sets.patch(&name, &edit_by("kubectl-edit"), &Patch::Strategic(edit)).await?;
        fleet
            .wait("the StatefulSet to be as it was", PATIENCE, async || {
                let now = sets.get(&name).await?.spec;
                Ok(if now == before.spec { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        fleet
            .wait("the event", PATIENCE, async || {
                let told = fleet.told().await?;
                let is_told = told.iter().any(|told| told.contains("was edited by hand and was put back"));
                Ok(if is_told { Ok(()) } else { Err(format!("{told:?}")) })
            })
            .await?;
        // A label that is taken away brings the set out of the operator's sight, and its other marks say no more what it is.
        let before = before.metadata;
        let bare = without_marks(&before);
        sets.patch(&name, &edit_by("kubectl-edit"), &Patch::Merge(bare)).await?;
        fleet
            .wait("the marks to be back", PATIENCE, async || {
                let now = sets.get(&name).await?.metadata;
                let are_back = now.labels == before.labels && now.annotations == before.annotations;
                Ok(if are_back { Ok(()) } else { Err(format!("{:?} {:?}", now.labels, now.annotations)) })
            })
            .await?;
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        // Its controller is as quick as the operator: this one costs the pod, and the fleet comes back.
        let edit = json!({ "spec": { "ordinals": { "start": 1 } } });
        sets.patch(&name, &edit_by("kubectl-edit"), &Patch::Merge(edit)).await?;
        fleet
            .wait("the ordinals to be as they were", PATIENCE, async || {
                let now = sets.get(&name).await?.spec.ordinals;
                Ok(if now.is_none() { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        fleet.online().await.map(drop)
    })
}

/// Makes an object that admits, in the group of all of these.
async fn admit(fleet: &Fleet, plural: &str, body: &Value) -> Result<()> {
    let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
    let request = axum::http::Request::post(path).header("content-type", "application/json");
    let request = request.body(Body::from(serde_json::to_vec(body)?))?;
    let response = fleet.client.send(request).await?;
    ensure!(response.status().is_success(), "{plural}: {}", response.status());
    Ok(())
}

pub fn turned_into_what_stands(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("policy", &ONE, Way::Proxies, async |fleet| {
        let name = "policy.loop-tests.shard-operator.dev";
        let head = |kind: &str| json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": name } });
        let mut policy = head("MutatingAdmissionPolicy");
        policy["spec"] = json!({
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], "operations": ["UPDATE"],
            }] },
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {
                    // Takes back what is written, and notes each write: none leaves the object as it was.
                    "expression": "Object{metadata: Object.metadata{labels: {'app.kubernetes.io/managed-by': 'policy'}, annotations: {'written-on': oldObject.metadata.resourceVersion}}}",
                },
            }],
        });
        let mut binding = head("MutatingAdmissionPolicyBinding");
        binding["spec"] = json!({
            "policyName": name,
            "matchResources": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": fleet.namespace } },
            },
        });
        admit(fleet, "mutatingadmissionpolicies", &policy).await?;
        admit(fleet, "mutatingadmissionpolicybindings", &binding).await?;
        let services: Api<Service> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let service = shards(BOT);
        let mut number = 0;
        fleet
            .wait("the policy to hold", PATIENCE, async || {
                number += 1;
                let touched = json!({ "metadata": { "annotations": { "touched": number.to_string() } } });
                let now = services.patch(&service, &edit_by("test"), &Patch::Merge(touched)).await?;
                let label = now.meta().labels.as_ref().and_then(|all| all.get("app.kubernetes.io/managed-by"));
                Ok(if label.is_some_and(|label| label == "policy") { Ok(()) } else { Err(format!("{label:?}")) })
            })
            .await?;
        let version = async || anyhow::Ok(services.get(&service).await?.metadata.resource_version);
        let mut before = None;
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        for round in 0..ROUNDS {
            // Each wakes a round, which finds the Service otherwise than it should be.
            let awake = json!({ "metadata": { "labels": { "shard-operator.dev/pods": round.to_string() } } });
            let name = stateful_set(BOT, 1);
            sets.patch(&name, &edit_by("test"), &Patch::Merge(awake)).await?;
            fleet
                .wait("a round", PATIENCE, async || {
                    let now = sets.get(&name).await?.metadata.labels.unwrap_or_default();
                    let label = now.get("shard-operator.dev/pods").map(String::as_str);
                    Ok(if label == Some("1") { Ok(()) } else { Err(format!("{label:?}")) })
                })
                .await?;
            // The first write may still change who is said to own what; one more would be hit.
            if round == 0 {
                before = version().await?;
                fleet.proxies[0].add(Fault {
                    hits: Hits::WritesTo("/services/"),
                    how: How::Answer(500, "InternalError", None),
                    count: 1,
                });
            }
        }
        ensure!(!fleet.proxies[0].is_used_up(), "the Service was written to again");
        ensure!(version().await? == before, "the Service was changed again");
        let seen = fleet.bots().get(BOT).await?.status.context("no status")?;
        let ready = seen.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        ensure!(ready, "{:?}", seen.conditions);
        Ok(())
    })
}
