//! Answers that refuse, break off or come late.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams};
use shard_contract::names::layouts_config_map;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, Fleet, PATIENCE};
use std::time::Duration;

/// Requests in a second that an operator of one bot may make while everything is refused. At rest it makes about one.
const HOT: u64 = 25;
/// Watches that are refused: each of the operator's twice or so. After each it waits longer, as it should.
const EXPIRED: u64 = 8;

pub fn conflicts(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("conflicts", &ONE, Way::Proxies, async |fleet| {
        let conflict = How::Answer(409, "Conflict", None);
        fleet.proxies[0].add(Fault { hits: Hits::Path("configmaps"), how: conflict, count: 5 });
        put_back(fleet).await?;
        fleet.proxies[0].add(Fault { hits: Hits::Writes, how: conflict, count: u64::MAX });
        let asked = quickly_delete(fleet, Duration::from_secs(5)).await?;
        ensure!(asked <= 5 * HOT, "{asked} requests in 5 s of conflicts");
        fleet.proxies[0].clear();
        is_back(fleet).await
    })
}

pub fn expired_watches(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("expired", &ONE, Way::Proxies, async |fleet| {
        let expired = How::Answer(410, "Expired", None);
        fleet.proxies[0].add(Fault { hits: Hits::Watches, how: expired, count: EXPIRED });
        fleet.proxies[0].cut();
        used_up(fleet).await?;
        put_back(fleet).await
    })
}

pub fn cut_watches(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("cut", &ONE, Way::Proxies, async |fleet| {
        let cut = How::Cut(Duration::from_millis(300));
        fleet.proxies[0].add(Fault { hits: Hits::Watches, how: cut, count: 20 });
        fleet.proxies[0].cut();
        used_up(fleet).await?;
        put_back(fleet).await
    })
}

pub fn too_many(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("too-many", &ONE, Way::Proxies, async |fleet| {
        let too_many = How::Answer(429, "TooManyRequests", Some(1));
        fleet.proxies[0].add(Fault { hits: Hits::All, how: too_many, count: u64::MAX });
        let asked = quickly_delete(fleet, Duration::from_secs(5)).await?;
        ensure!(asked <= 5 * HOT, "{asked} requests in 5 s that were told to wait");
        fleet.proxies[0].clear();
        is_back(fleet).await
    })
}

pub fn errors(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("errors", &ONE, Way::Proxies, async |fleet| {
        let pods = fleet.uids().await?;
        for how in [
            How::Answer(500, "InternalError", None),
            How::Answer(503, "ServiceUnavailable", None),
            How::Answer(504, "Timeout", None),
            How::Slow(Duration::from_secs(1)),
            How::Lose,
        ] {
            fleet.proxies[0].add(Fault { hits: Hits::All, how, count: 8 });
            put_back(fleet).await?;
            used_up(fleet).await?;
        }
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        ensure!(fleet.ledger().identifies == 1, "it cost IDENTIFYs");
        Ok(())
    })
}

/// Deletes the ConfigMap and waits until it is back.
pub async fn put_back(fleet: &Fleet) -> Result<()> {
    let _ = maps(fleet).delete(&layouts_config_map(BOT), &DeleteParams::default()).await?;
    is_back(fleet).await
}

async fn is_back(fleet: &Fleet) -> Result<()> {
    let maps = maps(fleet);
    fleet
        .wait("the ConfigMap to be back", PATIENCE, async || {
            Ok(maps.get_opt(&layouts_config_map(BOT)).await?.map(drop).ok_or_else(|| "none".to_owned()))
        })
        .await
}

/// Deletes the ConfigMap while nothing can be put back; the requests made in this time.
async fn quickly_delete(fleet: &Fleet, time: Duration) -> Result<u64> {
    let before = fleet.proxies[0].asked();
    let _ = maps(fleet).delete(&layouts_config_map(BOT), &DeleteParams::default()).await?;
    // How much is asked in a time needs a time.
    tokio::time::sleep(time).await;
    Ok(fleet.proxies[0].asked() - before)
}

async fn used_up(fleet: &Fleet) -> Result<()> {
    fleet
        .wait("every fault to be met", PATIENCE, async || {
            Ok(if fleet.proxies[0].is_used_up() { Ok(()) } else { Err("not yet".to_owned()) })
        })
        .await
}

fn maps(fleet: &Fleet) -> Api<ConfigMap> {
    Api::namespaced(fleet.client.clone(), &fleet.namespace)
}
