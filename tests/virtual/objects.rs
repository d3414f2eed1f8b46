//! Objects that somebody deletes or edits by hand.

use anyhow::{Result, ensure};
use discord_sim::{DropConnections, How as End};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::rbac::v1::Role;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use shard_contract::names::{layouts_config_map, sessions_secret, shards};
use shard_tests::any_fleet::{AnyFleet as _, without_marks};
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::SMALL;
use shard_tests::thread::stage::{on_a_fleet, on_a_tampered_fleet};
use shard_tests::thread::{BOT, NAMESPACE, PATIENCE, Tampered, World};
use std::time::Duration;
use tokio::time::Instant;

#[test]
fn session_secrets_deleted_by_hand_are_put_back() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
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
        fleet.answers(20).await?;
        fleet.quiet().await?;
        ensure!(fleet.ledger().identifies == 4, "a deleted Secret cost IDENTIFYs");
        Ok(())
    })
}

#[test]
fn config_map_and_stateful_set_deleted_by_hand_are_put_back() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        let maps: Api<ConfigMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let name = layouts_config_map(BOT);
        let _ = maps.delete(&name, &DeleteParams::default()).await?;
        fleet
            .wait("the ConfigMap to be back", PATIENCE, async || {
                Ok(maps.get_opt(&name).await?.map(drop).ok_or_else(|| "none".to_owned()))
            })
            .await?;
        fleet.answers(10).await?;
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), NAMESPACE);
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
        fleet.answers(10).await?;
        fleet.quiet().await
    })
}

/// Nobody watches them, and of a settled bot they are read seldom: but at the latest in the first round after two and a half minutes, and
/// in any that a watch of another object wakes.
#[test]
fn what_nobody_watches_is_put_back_within_minutes_and_at_once_with_something_else() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let maps: Api<ConfigMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        for (with_another, within) in [(false, 215), (true, 10)] {
            // Until it is settled for long.
            tokio::time::sleep(Duration::from_mins(10)).await;
            take_away(fleet).await?;
            if with_another {
                let _ = maps.delete(&layouts_config_map(BOT), &DeleteParams::default()).await?;
            }
            let took = are_back(fleet).await?;
            ensure!(took <= Duration::from_secs(within), "{took:?}, with another change: {with_another}");
        }
        fleet.quiet().await
    })
}

/// Nothing tells the operator of what is gone, and it remembers it. That something else is to be done it reads; then it reads everything.
#[test]
fn a_round_writes_nothing_by_what_it_remembers() -> Result<()> {
    let tampered = Tampered { operators: true, pods: false };
    on_a_tampered_fleet(&SMALL, tampered, async |fleet| {
        let tamper = &fleet.tampers.of_operators[0];
        tamper.add(Fault { hits: Hits::Watches, how: How::Hang, count: u64::MAX });
        tamper.cut();
        // Rounds go on by the clock, and the first of them reads.
        tokio::time::sleep(Duration::from_mins(1)).await;
        take_away(fleet).await?;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let records = sessions_secret(BOT, 0);
        let _ = secrets.delete(&records, &DeleteParams::default()).await?;
        fleet
            .wait("the Secret to be back", PATIENCE, async || {
                Ok(secrets.get_opt(&records).await?.map(drop).ok_or_else(|| "none".to_owned()))
            })
            .await?;
        let after = are_back(fleet).await?;
        ensure!(after <= Duration::from_secs(2), "{after:?} after the Secret");
        tamper.clear();
        fleet.quiet().await
    })
}

/// Takes a bot's rights and its Service.
async fn take_away(fleet: &World) -> Result<()> {
    let roles: Api<Role> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let services: Api<Service> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let nothing = Patch::Merge(json!({ "rules": [] }));
    let _ = roles.patch(&shards(BOT), &PatchParams::default(), &nothing).await?;
    let _ = services.delete(&shards(BOT), &DeleteParams::default()).await?;
    Ok(())
}

/// How long it takes until they are back.
async fn are_back(fleet: &World) -> Result<Duration> {
    let roles: Api<Role> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let services: Api<Service> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let taken = Instant::now();
    fleet
        .wait("rights and Service to be back", PATIENCE, async || {
            let held = roles.get(&shards(BOT)).await?.rules.unwrap_or_default();
            let is_there = services.get_opt(&shards(BOT)).await?.is_some();
            Ok(if is_there && !held.is_empty() {
                Ok(())
            } else {
                Err(format!("{held:?}, Service: {is_there}"))
            })
        })
        .await?;
    Ok(taken.elapsed())
}

#[test]
fn bot_deleted_and_made_again_at_once_inherits_no_back_off() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let invalid = DropConnections::all(End::Invalid);
        for _ in 0..4 {
            fleet.drop_connections(invalid)?;
            fleet.online().await?;
        }
        // Its next IDENTIFYs would wait for minutes: its sessions end again and again.
        fleet.drop_connections(invalid)?;
        let _ = fleet.bots().delete(BOT, &DeleteParams::default()).await?;
        fleet.apply(json!({ "shards": SMALL.shards, "shardsPerPod": 2 })).await?;
        let made = Instant::now();
        fleet.online().await?;
        let took = made.elapsed();
        ensure!(took <= Duration::from_secs(60), "online {took:?} after it was made");
        Ok(())
    })
}

#[test]
fn a_stateful_set_that_somebody_edits_is_put_back_and_it_is_said() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let (name, pods) = (format!("{BOT}-1"), fleet.uids().await?);
        let edited =
            |manager: &str| PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        let image = json!({ "spec": {
            "updateStrategy": { "type": "RollingUpdate" },
            "template": { "spec": { "containers": [{ "name": "bot", "image": "another" }] } },
        } });
        let restart = json!({ "spec": { "template": { "metadata": { "annotations": {
            "kubectl.kubernetes.io/restartedAt": "2026-12-01T00:00:00Z",
        } } } } });
        let edits = [
            ("kubectl-set", image, "was edited by hand and was put back"),
            ("kubectl-rollout", restart, "set spec.restartedAt of the ShardedBot to a new value"),
        ];
        let before = sets.get(&name).await?.spec;
        for (manager, edit, words) in edits {
            sets.patch(&name, &edited(manager), &Patch::Merge(edit)).await?;
            fleet
                .wait("the StatefulSet to be as it was", PATIENCE, async || {
                    let now = sets.get(&name).await?.spec;
                    Ok(if now == before { Ok(()) } else { Err(format!("{now:?}")) })
                })
                .await?;
            ensure!(fleet.told().await?.iter().any(|told| told.contains(words)), "{:?}", fleet.told().await?);
        }
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        Ok(())
    })
}

/// Only the set's own revisions have what it was made from.
#[test]
fn a_stateful_set_that_somebody_edits_while_a_change_waits_is_told_of() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let pods = fleet.uids().await?;
        let other = json!({ "name": "bot", "image": "shard-bot", "env": [{ "name": "A", "value": "b" }] });
        let template = json!({ "spec": { "containers": [other] } });
        let asked =
            json!({ "shards": SMALL.shards, "shardsPerPod": 2, "paused": true, "template": template });
        fleet.apply(asked).await?;
        let says = |part: &'static str, wanted: bool| {
            fleet.wait(part, PATIENCE, async move || {
                let (_, reason, message) = fleet.condition("Ready").await?.unwrap_or_default();
                let is_so = reason == "Paused" && message.contains(part) == wanted;
                Ok(if is_so { Ok(()) } else { Err(message) })
            })
        };
        let words = "others wrote to the template of StatefulSet mybot-1";
        says(words, false).await?;
        let template = json!({ "spec": { "containers": [{ "name": "bot", "image": "another" }] } });
        let edit = json!({ "spec": { "template": template } });
        let editor = PatchParams { field_manager: Some("kubectl-set".into()), ..PatchParams::default() };
        sets.patch(&format!("{BOT}-1"), &editor, &Patch::Merge(edit)).await?;
        says(words, true).await?;
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        fleet.apply(json!({ "shards": SMALL.shards, "shardsPerPod": 2 })).await?;
        fleet.online().await?;
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        Ok(())
    })
}

#[test]
fn a_stateful_set_whose_marks_somebody_takes_away_keeps_its_duty_and_gets_them_back() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let sets: Api<StatefulSet> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let (name, pods) = (format!("{BOT}-1"), fleet.uids().await?);
        let before = sets.get(&name).await?.metadata;
        let bare = without_marks(&before);
        sets.patch(&name, &PatchParams::default(), &Patch::Merge(bare)).await?;
        fleet
            .wait("the marks to be back", PATIENCE, async || {
                let now = sets.get(&name).await?.metadata;
                let are_back = now.labels == before.labels && now.annotations == before.annotations;
                Ok(if are_back { Ok(()) } else { Err(format!("{:?} {:?}", now.labels, now.annotations)) })
            })
            .await?;
        // Its shards are granted IDENTIFYs as before.
        fleet.drop_connections(DropConnections::all(End::Invalid))?;
        fleet.online().await?;
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        let ready = fleet.condition("Ready").await?.unwrap_or_default();
        ensure!(ready.1 != "Recreating", "{ready:?}");
        Ok(())
    })
}
