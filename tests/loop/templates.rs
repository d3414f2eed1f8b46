//! What the API server makes of a template, and whether it would admit a pod of it.
//!
//! From templates that are written otherwise, or that the cluster refuses, to fleets that run on. Only the real API server knows its
//! defaults, its quantities and its admission. Deliberately absent: what follows where it can, which stories tell (`tests/stories`).

use anyhow::{Context, Result, ensure};
use axum::http::StatusCode;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use serde_json::{Value, json};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, Fleet, PATIENCE};
use std::collections::BTreeMap;

/// The container that all of these have.
fn container(more: &Value) -> Value {
    let mut container = json!({ "name": "bot", "image": "shard-bot" });
    container
        .as_object_mut()
        .into_iter()
        .for_each(|fields| fields.extend(more.as_object().cloned().unwrap_or_default()));
    container
}

/// Sends a request about the bot with this method and body; whether nobody wrote at the same time.
async fn send(fleet: &Fleet, method: &str, query: &str, type_: &str, body: &Value) -> Result<bool> {
    let path =
        format!("/apis/shard-operator.dev/v1alpha1/namespaces/{}/shardedbots/{BOT}{query}", fleet.namespace);
    let request = axum::http::Request::builder().method(method).uri(path).header("content-type", type_);
    let response = fleet.client.send(request.body(Body::from(serde_json::to_vec(body)?))?).await?;
    let status = response.status();
    let text = axum::body::to_bytes(axum::body::Body::new(response.into_body()), 1 << 20).await?;
    let said = String::from_utf8_lossy(&text);
    if status == StatusCode::CONFLICT {
        return Ok(false);
    }
    ensure!(status.is_success(), "{method}: {status} {said} to {body}");
    Ok(true)
}

/// Replaces the spec's fields, as whoever stores what he was given.
async fn replace(fleet: &Fleet, fields: &Value) -> Result<()> {
    loop {
        let mut bot = serde_json::to_value(fleet.bots().get(BOT).await?)?;
        for (name, value) in fields.as_object().into_iter().flatten() {
            bot["spec"][name] = value.clone();
        }
        if send(fleet, "PUT", "", "application/json", &bot).await? {
            return Ok(());
        }
    }
}

async fn apply(fleet: &Fleet, bot: &Value) -> Result<()> {
    let query = "?fieldManager=test&force=true";
    let sent = send(fleet, "PATCH", query, "application/apply-patch+yaml", bot).await?;
    ensure!(sent, "an apply by force met a conflict");
    Ok(())
}

/// Waits until the operator has looked at the spec as it is now; what it says of itself.
async fn looked(fleet: &Fleet, what: &str, condition: &str) -> Result<String> {
    let mut message = String::new();
    fleet
        .wait(what, PATIENCE, async || {
            let bot = fleet.bots().get(BOT).await?;
            let generation = bot.metadata.generation;
            let status = bot.status.unwrap_or_default();
            let found =
                status.conditions.into_iter().find(|one| one.type_ == condition && one.status == "True");
            let found = found.filter(|one| one.observed_generation == generation);
            Ok(match found {
                Some(found) => {
                    message = format!("{}: {}", found.reason, found.message);
                    Ok(())
                }
                None => Err(format!("{condition} is not true of generation {generation:?}")),
            })
        })
        .await?;
    Ok(message)
}

async fn same_pods(fleet: &Fleet, before: &BTreeMap<String, String>, after: &str) -> Result<()> {
    looked(fleet, after, "Ready").await?;
    let now = fleet.uids().await?;
    ensure!(now == *before, "{after}: pods were replaced, {before:?} by {now:?}");
    Ok(())
}

async fn other_pods(
    fleet: &Fleet,
    before: &BTreeMap<String, String>,
    after: &str,
) -> Result<BTreeMap<String, String>> {
    looked(fleet, after, "Ready").await?;
    let now = fleet.uids().await?;
    ensure!(now != *before, "{after}: no pod was replaced");
    Ok(now)
}

pub fn written_otherwise(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("otherwise", &ONE, Way::Proxies, async |fleet| {
        let first = fleet.uids().await?;
        let sized = |cpu: &str, memory: &str| {
            let requests = json!({ "cpu": cpu, "memory": memory });
            json!({ "resources": { "requests": requests }, "env": [{ "name": "A", "value": "1" }] })
        };
        let template = |more: &Value| json!({ "template": { "spec": { "containers": [container(more)] } } });
        replace(fleet, &template(&sized("50m", "256Mi"))).await?;
        let pods = other_pods(fleet, &first, "a request of CPU and memory").await?;
        let mut with_defaults = sized("0.05", "268435456");
        with_defaults["imagePullPolicy"] = "Always".into();
        with_defaults["terminationMessagePath"] = "/dev/termination-log".into();
        let mut whole = template(&with_defaults);
        whole["template"]["spec"]["dnsPolicy"] = "ClusterFirst".into();
        whole["template"]["spec"]["securityContext"] = json!({});
        whole["template"]["metadata"] = json!({});
        for (what, fields) in [
            ("0.05 for 50m", template(&sized("0.05", "256Mi"))),
            ("bytes for Mi", template(&sized("0.05", "268435456"))),
            ("defaults that are written out", whole),
            ("as it was", template(&sized("50m", "256Mi"))),
        ] {
            replace(fleet, &fields).await?;
            same_pods(fleet, &pods, what).await?;
        }
        replace(fleet, &json!({ "restartedAt": "2026-11-29T12:00:00Z" })).await?;
        let pods = other_pods(fleet, &pods, "a restart, though the pods are the same").await?;
        replace(fleet, &template(&sized("0.05", "256Mi"))).await?;
        same_pods(fleet, &pods, "0.05 for 50m, after a restart").await?;
        replace(fleet, &template(&sized("51m", "256Mi"))).await?;
        other_pods(fleet, &pods, "51m for 50m").await?;
        Ok(())
    })
}

pub fn null_is_absent(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("null", &ONE, Way::Proxies, async |fleet| {
        let before = fleet.uids().await?;
        let nothing = json!({ "readinessProbe": null, "livenessProbe": null, "env": null, "resources": null, "securityContext": null });
        let empty = json!({
            "metadata": { "labels": null, "annotations": null },
            "spec": {
                "affinity": null, "volumes": null, "initContainers": null, "tolerations": null, "topologySpreadConstraints": null,
                "hostname": null, "serviceAccountName": null, "terminationGracePeriodSeconds": null, "restartPolicy": null,
                "containers": [container(&nothing)],
            },
        });
        let spec = json!({
            "template": empty, "restartedAt": null, "follow": null, "update": null, "identify": null, "paused": null,
            "shardMultiple": null,
        });
        replace(fleet, &spec).await?;
        same_pods(fleet, &before, "what Helm renders, replaced").await?;
        let mut applied = json!({ "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot", "metadata": { "name": BOT }, "spec": spec });
        applied["spec"]["tokenSecretRef"] = json!({ "name": "mybot-token", "key": null });
        applied["spec"]["shards"] = 1.into();
        apply(fleet, &applied).await?;
        same_pods(fleet, &before, "what Helm renders, applied by the server").await?;
        applied["spec"]["template"]["metadata"] = Value::Null;
        apply(fleet, &applied).await?;
        same_pods(fleet, &before, "empty metadata").await?;
        // Follows Discord, which recommends what runs. Applied on the server it would be refused: the scale is read there.
        replace(fleet, &json!({ "shards": null })).await?;
        same_pods(fleet, &before, "no number of shards").await
    })
}

pub fn not_admitted(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("admission", &ONE, Way::Proxies, async |fleet| {
        let before = fleet.uids().await?;
        let refused = async |fields: &Value, word: &str| {
            let mut spec = json!({ "containers": [container(&json!({}))] });
            spec.as_object_mut()
                .context("an object")?
                .extend(fields.as_object().cloned().unwrap_or_default());
            replace(fleet, &json!({ "template": { "spec": spec } })).await?;
            let said = looked(fleet, "a refusal", "Stalled").await?;
            ensure!(
                said.starts_with("TemplateRefused") && said.contains(word) && said.contains("runs on"),
                "{said}"
            );
            let ledger = fleet.ledger();
            ensure!(
                ledger.identifies == 1 && ledger.sessions.iter().any(|session| session.connected),
                "{ledger:?}"
            );
            ensure!(fleet.uids().await? == before, "{word}: pods were replaced");
            anyhow::Ok(())
        };
        refused(&json!({ "priorityClassName": "no-such-class" }), "no-such-class").await?;
        refused(&json!({ "runtimeClassName": "no-such-runtime" }), "no-such-runtime").await?;
        refused(&json!({ "serviceAccountName": "no-such-account" }), "no-such-account").await?;
        let namespaces: Api<Namespace> = Api::all(fleet.client.clone());
        let enforce = async |level: Option<&str>| {
            let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": level } } });
            namespaces.patch(&fleet.namespace, &PatchParams::default(), &Patch::Merge(label)).await
        };
        enforce(Some("restricted")).await?;
        refused(&json!({ "terminationGracePeriodSeconds": 40 }), "violates PodSecurity").await?;
        enforce(None).await?;
        // What was mended is the cluster, of which nothing tells the operator.
        other_pods(fleet, &before, "nothing is refused any more").await?;
        fleet.online().await?;
        Ok(())
    })
}
