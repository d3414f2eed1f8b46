//! Two operators, and an API server that one of them or all lose.
//!
//! Deliberately absent: an API server that is stopped as a process (`tests/loop`).

use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, How as End, ShardOf};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams};
use shard_contract::names::layouts_config_map;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::{SMALL, Shape};
use shard_tests::thread::stage::{on_a_fleet, on_a_tampered_fleet};
use shard_tests::thread::{BOT, NAMESPACE, PATIENCE, Tampered, World};
use std::time::Duration;

/// One pod, one shard, two operators.
const TWO: Shape = Shape { pods: 1, shards: 1, buckets: 1, operators: 2, ..SMALL };
const LEASE: &str = "shard-operator";
/// Pods that see each other: one alone lets its shards go when API server and gate are both away.
const THREE_PODS: Shape = Shape { pods: 3, shards: 3, buckets: 3, ..TWO };
const TAMPERED: Tampered = Tampered { operators: true, pods: false };
/// How long one fleet cannot reach it, longer than anything in it waits for an answer.
const OUT_OF_REACH: Duration = Duration::from_secs(150);
/// How often shards lose their connections meanwhile.
const DROPS: Duration = Duration::from_secs(30);

#[test]
fn two_operators_at_once_never_two_that_would_grant() -> Result<()> {
    on_a_tampered_fleet(&TWO, TAMPERED, async |fleet| {
        for _ in 0..2 {
            let leading = fleet.leader().await?;
            fleet.operators.kill(leading);
            let other = 1 - leading as usize;
            fleet.leads(|leading| leading[other]).await?;
            fleet.operators.revive(leading).await?;
        }
        Ok(())
    })
}

#[test]
fn the_leaders_way_to_the_api_server_hangs_and_the_other_leads() -> Result<()> {
    on_a_tampered_fleet(&TWO, TAMPERED, async |fleet| {
        let leading = fleet.leader().await?;
        // It can neither renew its lease nor hear that it has lost it.
        fleet.tampers.of_operators[leading as usize].add(Fault {
            hits: Hits::All,
            how: How::Hang,
            count: u64::MAX,
        });
        fleet.tampers.of_operators[leading as usize].cut();
        let other = 1 - leading as usize;
        fleet.leads(|leading| leading[other]).await?;
        fleet.drop_connections(DropConnections::all(End::Invalid))?;
        fleet
            .until("an IDENTIFY by the other", PATIENCE, |ledger| {
                if ledger.identifies == 2 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.tampers.of_operators[leading as usize].clear();
        fleet.leads(|leading| leading[other]).await.map(drop)
    })
}

/// It keeps its lease, and its watches say nothing for five minutes: what it remembers of pods is what they were before.
#[test]
fn a_leader_whose_watches_are_silent_tells_a_pod_that_is_gone_so() -> Result<()> {
    // Alone, so that no other pod tells it.
    let shape = Shape { operators: 1, ..TWO };
    on_a_tampered_fleet(&shape, TAMPERED, async |fleet| {
        fleet.talk(1.0)?;
        // Reviews of pods' tokens count for five minutes; when those are over the watches are still silent.
        tokio::time::sleep(Duration::from_secs(90)).await;
        let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let holder = async || anyhow::Ok(leases.get(LEASE).await?.spec.and_then(|spec| spec.holder_identity));
        let leads = holder().await?;
        let tamper = &fleet.tampers.of_operators[0];
        tamper.add(Fault { hits: Hits::Watches, how: How::Hang, count: u64::MAX });
        tamper.cut();
        tokio::time::sleep(Duration::from_secs(30)).await;
        tamper.clear();
        let pod = fleet.kubelet.pods().remove(0);
        let before = fleet.uids().await?;
        fleet.lose_kubelet(&pod).await?;
        fleet.replaced(&pod, &before, Duration::from_mins(10)).await?;
        let closes = fleet.ledger().closes.get("4000").copied().unwrap_or_default();
        ensure!(closes == 1, "{closes} of 1 shards was let go before the pod was replaced");
        ensure!(holder().await? == leads, "it did not lead all the time");
        fleet.online().await?;
        fleet.find_again().await?;
        fleet.quiet().await
    })
}

#[test]
fn a_lease_that_is_deleted_makes_no_second_leader() -> Result<()> {
    on_a_tampered_fleet(&TWO, TAMPERED, async |fleet| {
        let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let holder = |lease: Option<Lease>| lease.and_then(|lease| lease.spec?.holder_identity);
        let leading = fleet.leader().await?;
        let before = holder(leases.get_opt(LEASE).await?).context("nobody holds the lease")?;
        let _ = leases.delete(LEASE, &DeleteParams::default()).await?;
        fleet
            .wait("its holder to write it again", PATIENCE, async || {
                let now = holder(leases.get_opt(LEASE).await?);
                Ok(if now.as_ref() == Some(&before) { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        // Now its holder cannot see that it is gone, and leads until it runs out.
        fleet.tampers.of_operators[leading as usize].add(Fault {
            hits: Hits::All,
            how: How::Hang,
            count: u64::MAX,
        });
        fleet.tampers.of_operators[leading as usize].cut();
        let _ = leases.delete(LEASE, &DeleteParams::default()).await?;
        let other = 1 - leading as usize;
        fleet.leads(|leading| leading[other]).await?;
        fleet.tampers.of_operators[leading as usize].clear();
        fleet.leads(|leading| leading[other]).await.map(drop)
    })
}

/// The gate grants again: a session that ends costs the IDENTIFY that makes so many in all, and everybody is answered.
async fn goes_on(fleet: &World, ends: DropConnections, identifies: u64) -> Result<()> {
    fleet.drop_connections(ends)?;
    fleet
        .until("an IDENTIFY by the gate", PATIENCE, |ledger| {
            if ledger.identifies == identifies { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
        })
        .await?;
    fleet.online().await?;
    fleet.hush();
    fleet.settled().await.map(drop)
}

/// Minutes without it, for this fleet alone.
#[test]
fn the_api_server_out_of_reach_for_minutes_the_fleet_lives_and_rounds_go_on_after() -> Result<()> {
    on_a_fleet(&THREE_PODS, async |fleet| {
        let before = fleet.uids().await?;
        fleet.talk(1.0)?;
        let gone = tokio::time::Instant::now();
        fleet.set_api(false);
        fleet
            .wait("no replica to lead", PATIENCE, async || {
                let says = fleet.doors().await?;
                Ok(if says.iter().any(|one| one.leads()) { Err(format!("{says:?}")) } else { Ok(()) })
            })
            .await?;
        while gone.elapsed() < OUT_OF_REACH {
            let ledger = fleet.ledger();
            fleet.drop_connections(DropConnections::all(End::Tcp))?;
            fleet
                .until("every shard to resume and users to be answered", PATIENCE, |now| {
                    let (resumes, answers) =
                        (now.resumes - ledger.resumes, now.events.answered - ledger.events.answered);
                    if resumes >= 3 && answers >= 20 { Ok(()) } else { Err(format!("{resumes}, {answers}")) }
                })
                .await?;
            tokio::time::sleep(DROPS).await;
        }
        ensure!(fleet.ledger().identifies == 3, "it cost IDENTIFYs");
        fleet.set_api(true);
        fleet.leader().await?;
        put_back(fleet).await?;
        goes_on(fleet, DropConnections::of(ShardOf { id: 1, total: 3 }, End::Invalid), 4).await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

/// Deletes the ConfigMap and waits until it is back.
async fn put_back(fleet: &World) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let _ = maps.delete(&layouts_config_map(BOT), &DeleteParams::default()).await?;
    fleet
        .wait("the ConfigMap to be back", PATIENCE, async || {
            Ok(maps.get_opt(&layouts_config_map(BOT)).await?.map(drop).ok_or_else(|| "none".to_owned()))
        })
        .await
}
