//! Objects that somebody deletes by hand.

use crate::life::{SMALL, answers, quiet};
use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use shard_contract::names::{layouts_config_map, sessions_secret};
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, PATIENCE};

pub fn secrets_deleted(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("secrets-deleted", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let name = sessions_secret(BOT, 0);
        let _ = secrets.delete(&name, &DeleteParams::default()).await?;
        fleet
            .wait("all records to be held again", PATIENCE, async || {
                let Some(secret) = secrets.get_opt(&name).await? else { return Ok(Err("no Secret".into())) };
                let data = secret.data.unwrap_or_default();
                let held = data.values().filter(|value| String::from_utf8_lossy(&value.0).contains("held"));
                let held = held.count();
                Ok(if held == 4 { Ok(()) } else { Err(format!("{held} of 4 are held")) })
            })
            .await?;
        answers(fleet, 20).await?;
        quiet(fleet).await?;
        ensure!(fleet.ledger().identifies == 4, "a deleted Secret cost IDENTIFYs");
        Ok(())
    })
}

pub fn objects_deleted(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("objects-deleted", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        let maps: Api<ConfigMap> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let name = layouts_config_map(BOT);
        let _ = maps.delete(&name, &DeleteParams::default()).await?;
        fleet
            .wait("the ConfigMap to be back", PATIENCE, async || {
                Ok(maps.get_opt(&name).await?.map(drop).ok_or_else(|| "none".to_owned()))
            })
            .await?;
        answers(fleet, 10).await?;
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let before = sets.list(&ListParams::default()).await?.items;
        for set in &before {
            let _ = sets.delete(&set.name_any(), &DeleteParams::default()).await?;
        }
        fleet
            .wait("a StatefulSet to be back", PATIENCE, async || {
                let now = sets.list(&ListParams::default()).await?.items;
                let is_new = now.iter().any(|set| before.iter().all(|old| old.uid() != set.uid()));
                Ok(if is_new { Ok(()) } else { Err(format!("{} sets", now.len())) })
            })
            .await?;
        answers(fleet, 10).await?;
        quiet(fleet).await
    })
}
