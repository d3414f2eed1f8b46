//! Changes of which nobody can say beforehand whether their pods would be admitted.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use shard_contract::names::parse_pod;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::SMALL;
use shard_tests::thread::stage::on_a_tampered_fleet;
use shard_tests::thread::{NAMESPACE, PATIENCE, Tampered, World};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the API server says to an operator without the right to make pods, which is what trying one takes.
const NO_RIGHT: &str = "pods is forbidden: User \"shard-operator\" cannot create resource \"pods\"";

/// A fleet whose operator may not try pods.
fn without_the_right(test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    on_a_tampered_fleet(&SMALL, Tampered { operators: true, pods: false }, async |fleet| {
        for tamper in &fleet.tampers.of_operators {
            let how = How::Answer(403, NO_RIGHT, None);
            tamper.add(Fault { hits: Hits::WritesTo("/pods"), how, count: u64::MAX });
        }
        fleet.talk(2.0)?;
        test(fleet).await
    })
}

/// Asks for pods with these fields.
async fn ask(fleet: &World, fields: Value) -> Result<()> {
    let mut pod = json!({ "containers": [{ "name": "bot", "image": "shard-bot" }] });
    if let (Some(pod), Value::Object(fields)) = (pod.as_object_mut(), fields) {
        pod.extend(fields);
    }
    fleet.apply(json!({ "shards": SMALL.shards, "shardsPerPod": 2, "template": { "spec": pod } })).await
}

/// Waits until the layouts that have pods are these.
async fn layouts(fleet: &World, wanted: &[u32]) -> Result<()> {
    let wanted = wanted.iter().copied().collect::<BTreeSet<_>>();
    fleet
        .wait("pods of the layouts that should have some", PATIENCE, async || {
            let found: BTreeSet<_> =
                fleet.uids().await?.keys().filter_map(|name| Some(parse_pod(name)?.1)).collect();
            Ok(if found == wanted { Ok(()) } else { Err(format!("{found:?} of {wanted:?}")) })
        })
        .await
}

/// Waits until the bot says so.
async fn says(fleet: &World, wanted: &str, part: &str) -> Result<()> {
    fleet
        .wait("the bot to say so", PATIENCE, async || {
            let (_, reason, message) = fleet.condition("Ready").await?.unwrap_or_default();
            let is_so = reason == wanted && message.contains(part);
            Ok(if is_so { Ok(()) } else { Err(format!("{reason}: {message}")) })
        })
        .await
}

/// Nothing of the fleet was touched.
async fn serves(fleet: &World, before: &BTreeMap<String, String>) -> Result<()> {
    fleet.answers(40).await?;
    ensure!(fleet.uids().await? == *before, "pods were replaced");
    ensure!(fleet.ledger().identifies == u64::from(SMALL.shards), "IDENTIFYs for pods that cannot be made");
    Ok(())
}

#[test]
fn without_the_right_to_try_pods_the_fleet_runs_on_until_a_pod_of_the_next_layout_exists() -> Result<()> {
    without_the_right(async |fleet| {
        let before = fleet.uids().await?;
        ask(fleet, json!({ "serviceAccountName": "nobody" })).await?;
        says(fleet, "PodsFailing", "layout 1 runs on: no pod of layout 2 can be made").await?;
        serves(fleet, &before).await?;
        // Put back, what was made for it goes.
        ask(fleet, json!({})).await?;
        says(fleet, "Online", "all 4 shards").await?;
        serves(fleet, &before).await?;
        ask(fleet, json!({ "serviceAccountName": "nobody" })).await?;
        says(fleet, "PodsFailing", "layout 1 runs on").await?;
        // Corrected, it gives way to the next, whose pods can be made.
        ask(fleet, json!({ "terminationGracePeriodSeconds": 20 })).await?;
        layouts(fleet, &[3]).await?;
        fleet.online().await?;
        fleet.answers(40).await?;
        fleet.quiet().await
    })
}

#[test]
fn a_layout_that_stands_beside_the_old_one_takes_nothing_before_its_pods_have_gone() -> Result<()> {
    without_the_right(async |fleet| {
        let tamper = &fleet.tampers.of_operators[0];
        let how = How::Answer(500, "InternalError", None);
        tamper.add(Fault { hits: Hits::WritesTo("/statefulsets/mybot-1"), how, count: u64::MAX });
        ask(fleet, json!({ "terminationGracePeriodSeconds": 20 })).await?;
        layouts(fleet, &[1, 2]).await?;
        // Somebody scales the old set down: a pod parks its sessions, and none but those beside it could claim them.
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let one = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
        let _ = sets.patch("mybot-1", &PatchParams::default(), &one).await?;
        fleet
            .wait("the pod to go", PATIENCE, async || {
                let pods = fleet.uids().await?;
                Ok(if pods.contains_key("mybot-1-1") { Err(format!("{pods:?}")) } else { Ok(()) })
            })
            .await?;
        // As long as Discord keeps a session, all but.
        tokio::time::sleep(Duration::from_secs(100)).await;
        ensure!(fleet.ledger().resumes == 0, "who handles nothing resumed what others are to handle");
        tamper.clear();
        layouts(fleet, &[2]).await?;
        fleet.online().await?;
        fleet.answers(40).await?;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == u64::from(SMALL.shards), "{} IDENTIFYs", ledger.identifies);
        fleet.quiet().await
    })
}
