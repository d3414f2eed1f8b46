//! What one object, one tenant or one failing list must not do to the others.
//!
//! From ShardedBots that the API server stores and that the operator cannot take, to what becomes of their neighbours; and from a list
//! that fails to an operator that is told to end. Deliberately absent: memory, which a benchmark measures (`cargo bench`).

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::client::Body;
use serde_json::{Value, json};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};
use std::time::Duration;

/// A value that stands for what a tenant would not like to see in a log.
const HUSH: &str = "hush-hush-hush";
/// How long an operator may take to end: below the 30 s that Kubernetes gives it.
const ENDS_WITHIN: Duration = Duration::from_secs(25);

/// A bot that the API server takes and whose template nests so deeply, as its request's text.
fn nested(name: &str, levels: usize) -> String {
    let deep = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let container = json!({ "name": "bot", "image": "i", "env": [{ "name": "PASSWORD", "value": HUSH }] });
    json!({
        "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot", "metadata": { "name": name },
        "spec": { "tokenSecretRef": { "name": "no-token" }, "template": { "spec": { "containers": [container], "affinity": "HERE" } } },
    })
    .to_string()
    .replace("\"HERE\"", &deep)
}

/// Creates a bot by its text: no type of ours could hold it.
async fn create(fleet: &Fleet, text: String) -> Result<()> {
    let path = format!("/apis/shard-operator.dev/v1alpha1/namespaces/{}/shardedbots", fleet.namespace);
    let request = kube::client::Body::from(text.into_bytes());
    let request = axum::http::Request::post(path).header("content-type", "application/json").body(request)?;
    let response = fleet.client.send(request).await?;
    ensure!(response.status().is_success(), "{}", response.status());
    Ok(())
}

/// What is read of a bot.
#[derive(serde::Deserialize)]
struct Stored {
    #[serde(default)]
    status: Value,
}

/// What the condition `Stalled` of a bot says; its status is read as text, since its spec may be unreadable.
async fn stalled(fleet: &Fleet, name: &str) -> Result<Option<(String, String)>> {
    let path =
        format!("/apis/shard-operator.dev/v1alpha1/namespaces/{}/shardedbots/{name}/status", fleet.namespace);
    let request = axum::http::Request::get(path).body(Body::empty())?;
    let response = fleet.client.send(request).await?;
    let text = axum::body::to_bytes(axum::body::Body::new(response.into_body()), 4 << 20).await?;
    let Stored { status } = serde_json::from_slice(&text)?;
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|one| one["type"] == "Stalled" && one["status"] == "True");
    let field = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    Ok(found.map(|one| (field(one, "reason"), field(one, "message"))))
}

pub fn unreadable(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("unreadable", &ONE, Way::Proxies, async |fleet| {
        create(fleet, nested("deep", 130)).await?;
        create(fleet, large("large")).await?;
        fleet.replicas.kill(0);
        fleet.replicas.revive(0)?;
        for (name, word) in
            [("deep", "nested levels; at most 64"), ("large", "bytes of JSON; at most 262144")]
        {
            fleet
                .wait("a status of its own", PATIENCE, async || {
                    let said = stalled(fleet, name).await?;
                    let is_told = said.as_ref().is_some_and(|(reason, message)| {
                        reason == "TemplateRefused" && message.contains(word)
                    });
                    Ok(if is_told { Ok(()) } else { Err(format!("{name}: {said:?}")) })
                })
                .await?;
        }
        // A fresh leader leads, reconciles and grants, for the neighbour as before.
        fleet
            .wait("the neighbour to be online", PATIENCE, async || {
                let ready = fleet.condition("Ready").await?;
                Ok(if ready.as_ref().is_some_and(|one| one.0 == "True") {
                    Ok(())
                } else {
                    Err(format!("{ready:?}"))
                })
            })
            .await?;
        fleet
            .wait("a gate that leads", PATIENCE, async || {
                let says = fleet.doors().await?;
                Ok(if says[0].leads() { Ok(()) } else { Err(format!("{says:?}")) })
            })
            .await?;
        let events: Api<Event> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let about = ListParams::default().fields("involvedObject.name=deep");
        let told = events.list(&about).await?.items;
        ensure!(
            told.iter().any(|event| event.reason.as_deref() == Some("TemplateRefused")),
            "no event says so: {told:?}"
        );
        let log = fleet.replicas.log(0).context("the operator's log")?;
        ensure!(!log.contains(HUSH), "the log has a value of the template");
        Ok(())
    })
}

/// A bot of 1.4 MB, most of it tiny maps.
fn large(name: &str) -> String {
    let maps = vec!["{}"; 450_000].join(",");
    nested(name, 0).replace("\"affinity\":1", &format!("\"affinity\":{{\"a\":[{maps}]}}"))
}

pub fn ends_while_the_list_fails(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("ends", &ONE, Way::Proxies, async |fleet| {
        let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let holder = async || -> Result<Option<String>> {
            let lease = leases.get_opt("shard-operator").await?;
            Ok(lease.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty()))
        };
        let broken = How::Answer(500, "InternalError", None);
        fleet.replicas.kill(0);
        fleet.proxies[0].add(Fault { hits: Hits::Path("shardedbots"), how: broken, count: u64::MAX });
        let before = holder().await?;
        fleet.replicas.revive(0)?;
        fleet
            .wait("it to lead", PATIENCE, async || {
                let says = fleet.doors().await?;
                // It knows of no bot, and so keeps no namespace: it cannot grant.
                let leads = says.iter().any(|one| matches!(one, shard_tests::fleet::GateSays::Else(502)));
                Ok(if leads { Ok(()) } else { Err(format!("{says:?}, holder {before:?}")) })
            })
            .await?;
        fleet.replicas.stop_one(0);
        fleet
            .wait("its process to end", ENDS_WITHIN, async || {
                Ok(if fleet.replicas.is_alive(0) { Err("it runs".to_owned()) } else { Ok(()) })
            })
            .await?;
        let held = holder().await?;
        ensure!(held.is_none(), "the lease was not given back: {held:?}");
        fleet.proxies[0].clear();
        fleet.replicas.revive(0)?;
        fleet.online().await.map(drop)
    })
}
