//! Writes of records that come late, twice, or whose answer never comes.
//!
//! The pods' way to the API server is a proxy that does so to one kind of write: the one that gives shards away, or the one
//! that takes them up.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use shard_contract::names::{parse_record_key, sessions_secret};
use shard_contract::record::{Record, State};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::proxy::{Fault, Hits, How, Tamper};
use shard_tests::fleet::schedule::SMALL;
use shard_tests::thread::stage::{on_a_fleet, on_a_tampered_fleet};
use shard_tests::thread::{BOT, NAMESPACE, PATIENCE, Tampered, World};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What the API server says to a patch whose `test` fails.
const REFUSED: u16 = 422;

const TAMPERED: Tampered = Tampered { operators: false, pods: true };

/// Who tampers with what pods ask.
fn tamper(fleet: &World) -> Result<&Tamper> {
    fleet.tampers.of_pods.as_deref().context("nobody tampers")
}

/// A pod's checkpoint words are under way until it is dead and another pod has its shards.
#[test]
fn secret_write_that_lands_after_a_newer_owners_is_refused() -> Result<()> {
    on_a_tampered_fleet(&SMALL, TAMPERED, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        let (proxy, pod) = (tamper(fleet)?, fleet.kubelet.pods().remove(0));
        let before = fleet.uids().await?;
        proxy.add(Fault { hits: Hits::Records(State::Parked), how: How::Keep, count: u64::MAX });
        fleet.delete(&pod).await?;
        kept(fleet).await?;
        fleet.kubelet.kill(&pod);
        fleet.replaced(&pod, &before, PATIENCE).await?;
        all_are_held(fleet).await?;
        proxy.clear();
        refused_and_nothing_changed(fleet).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        // Nobody was told where to resume.
        fleet.no_more_identifies(4 + 2)
    })
}

/// A pod's claim is under way until the same pod has claimed anew.
#[test]
fn secret_write_that_lands_after_the_pods_own_next_one_is_refused() -> Result<()> {
    on_a_tampered_fleet(&SMALL, TAMPERED, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        // Else the write that is kept may be the one that notes a session, which changes nothing when it comes late.
        sessions_are_noted(fleet).await?;
        tamper(fleet)?.add(Fault { hits: Hits::Records(State::Held), how: How::Keep, count: 1 });
        fleet.replace(0).await?;
        kept(fleet).await?;
        all_are_held(fleet).await?;
        refused_and_nothing_changed(fleet).await?;
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

/// Both writes are made, and who made them learns nothing of it, or something else.
#[test]
fn secret_write_that_lands_twice_or_whose_answer_is_lost_is_read_back() -> Result<()> {
    on_a_tampered_fleet(&SMALL, TAMPERED, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        let ways = [How::Twice, How::Lose, How::Deny(503, "ServiceUnavailable")];
        for (how, already) in ways.into_iter().zip([0, 2, 4]) {
            for state in [State::Parked, State::Held] {
                tamper(fleet)?.add(Fault { hits: Hits::Records(state), how, count: 1 });
            }
            fleet.replace(0).await?;
            fleet.resumes(already + 2).await.with_context(|| format!("resume after {how:?}"))?;
            all_are_held(fleet).await?;
            ensure!(tamper(fleet)?.is_used_up(), "{how:?} met no write");
        }
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

/// A pod gives its shards away, and one of the records is refused again and again.
#[test]
fn one_record_that_is_refused_in_a_batch_holds_up_no_other() -> Result<()> {
    on_a_tampered_fleet(&SMALL, TAMPERED, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        sessions_are_noted(fleet).await?;
        let (proxy, pod) = (tamper(fleet)?, fleet.kubelet.pods().remove(0));
        let before = fleet.uids().await?;
        let refused = How::Answer(REFUSED, "Invalid", None);
        proxy.add(Fault { hits: Hits::Record(0, State::Parked), how: refused, count: u64::MAX });
        fleet.delete(&pod).await?;
        fleet
            .wait("the other record to be parked by itself", PATIENCE, async || {
                let states: Vec<_> = records(fleet).await?.into_values().map(|record| record.state).collect();
                let so = states.starts_with(&[State::Held, State::Parked]);
                Ok(if so { Ok(()) } else { Err(format!("{states:?}")) })
            })
            .await?;
        proxy.clear();
        fleet.replaced(&pod, &before, PATIENCE).await?;
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

async fn kept(fleet: &World) -> Result<()> {
    fleet
        .wait("a write to be kept", PATIENCE, async || {
            Ok(if tamper(fleet)?.kept() > 0 { Ok(()) } else { Err("none".to_owned()) })
        })
        .await
}

async fn records(fleet: &World) -> Result<BTreeMap<String, Record>> {
    let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let data = secrets.get(&sessions_secret(BOT, 0)).await?.data.unwrap_or_default();
    let records = data.into_iter().filter(|(key, _)| parse_record_key(key).is_some());
    records.map(|(key, value)| Ok((key, serde_json::from_slice(&value.0)?))).collect()
}

/// Waits until every record names its session.
async fn sessions_are_noted(fleet: &World) -> Result<()> {
    fleet
        .wait("every session to be noted", PATIENCE, async || {
            let noted = records(fleet).await?.values().filter(|record| record.session.is_some()).count();
            Ok(if noted == 4 { Ok(()) } else { Err(format!("{noted} of 4")) })
        })
        .await
}

/// Waits until every record is held by a pod that there is.
async fn all_are_held(fleet: &World) -> Result<()> {
    fleet
        .wait("every record to be held by a pod of now", PATIENCE, async || {
            let (records, pods) = (records(fleet).await?, fleet.uids().await?);
            let lives = |uid: &String| pods.values().any(|pod| pod == uid);
            let is_held = |record: &&Record| {
                record.state == State::Held && record.owner.as_ref().is_some_and(|one| lives(&one.pod_uid))
            };
            let held = records.values().filter(is_held).count();
            Ok(if held == 4 { Ok(()) } else { Err(format!("{held} of 4")) })
        })
        .await
}

/// What was kept arrives now: each write is refused, and the owners stay who they are.
async fn refused_and_nothing_changed(fleet: &World) -> Result<()> {
    let owners = async || -> Result<Vec<_>> {
        Ok(records(fleet).await?.into_values().map(|record| (record.state, record.owner)).collect())
    };
    let before = owners().await?;
    let statuses = tamper(fleet)?.release().await;
    ensure!(!statuses.is_empty() && statuses.iter().all(|status| *status == REFUSED), "{statuses:?}");
    ensure!(owners().await? == before, "a late write changed a record's owner");
    Ok(())
}

#[test]
fn session_record_restored_from_a_backup_is_claimed_within_a_minute_of_being_seen() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let name = sessions_secret(BOT, 0);
        let backup = secrets.get(&name).await?.data;
        fleet.replace(0).await?;
        fleet.resumes(2).await?;
        let restored = Patch::Merge(json!({ "data": backup }));
        let _ = secrets.patch(&name, &PatchParams::default(), &restored).await?;
        let gone = async |fleet: &World| {
            let ready = fleet.condition("Ready").await?.unwrap_or_default();
            Ok(if ready.2.contains("restored from a backup") { Ok(()) } else { Err(format!("{ready:?}")) })
        };
        fleet.wait("the status to name the cause", Duration::from_secs(120), || gone(fleet)).await?;
        let seen = Instant::now();
        fleet.online().await?;
        let took = seen.elapsed();
        ensure!(took <= Duration::from_secs(75), "online {took:?} after the status named it");
        fleet.talk(2.0)?;
        fleet.answers(10).await?;
        fleet.quiet().await
    })
}
