//! Policies that turn what is written into something else.
//!
//! Only the real API server mutates what it admits, by policies since Kubernetes 1.36. Deliberately absent: webhooks, of which the same is true.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use serde_json::{Value, json};
use shard_contract::names::{shards, stateful_set};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, Fleet, PATIENCE};

/// Rounds that are woken while a policy changes what is written.
const ROUNDS: u32 = 8;

fn by_test() -> PatchParams {
    PatchParams { field_manager: Some("test".to_owned()), ..PatchParams::default() }
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
                let now = services.patch(&service, &by_test(), &Patch::Merge(touched)).await?;
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
            sets.patch(&name, &by_test(), &Patch::Merge(awake)).await?;
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
