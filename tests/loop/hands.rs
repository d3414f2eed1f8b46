//! Other hands on a bot's objects: people who edit them.
//!
//! Only the real API server says who wrote what. Deliberately absent: what follows where it can, which stories tell.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use shard_contract::names::stateful_set;
use shard_tests::any_fleet::{AnyFleet as _, without_marks};
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, PATIENCE};

fn by_hand() -> PatchParams {
    PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() }
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
        sets.patch(&name, &by_hand(), &Patch::Strategic(edit)).await?;
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
        sets.patch(&name, &by_hand(), &Patch::Merge(bare)).await?;
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
        sets.patch(&name, &by_hand(), &Patch::Merge(edit)).await?;
        fleet
            .wait("the ordinals to be as they were", PATIENCE, async || {
                let now = sets.get(&name).await?.spec.ordinals;
                Ok(if now.is_none() { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        fleet.online().await.map(drop)
    })
}
