//! Two operators, and an API server that one of them or everybody loses.

use crate::refusals::{ONE, put_back};
use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, How as End, ShardOf};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use shard_tests::fleet::proxy::{Fault, Hits, How};
use shard_tests::fleet::schedule::Shape;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};
use std::time::{Duration, Instant};

const TWO: Shape = Shape { operators: 2, ..ONE };
const LEASE: &str = "shard-operator";
/// Pods that see each other: one alone lets its shards go when API server and gate are both away.
const THREE_PODS: Shape = Shape { pods: 3, shards: 3, buckets: 3, ..TWO };
/// How long the API server is stopped, for everybody: longer than any lease is good for.
const STOPPED: Duration = Duration::from_secs(25);
/// How long one fleet cannot reach it, longer than anything in it waits for an answer.
const OUT_OF_REACH: Duration = Duration::from_secs(150);
/// How often shards lose their connections meanwhile.
const DROPS: Duration = Duration::from_secs(30);

/// Looks at both gates all the time: never do both look at what is asked of them.
async fn watch(fleet: &Fleet, until: impl Fn(&[bool]) -> bool) -> Result<usize> {
    let started = Instant::now();
    let mut last = String::new();
    while started.elapsed() < PATIENCE {
        let says = fleet.doors().await?;
        let leading: Vec<bool> = says.iter().map(|one| one.leads()).collect();
        let count = leading.iter().filter(|leads| **leads).count();
        ensure!(count <= 1, "both would grant: {says:?}");
        if until(&leading) {
            return leading.iter().position(|leads| *leads).context("nobody leads");
        }
        last = format!("{says:?}");
        // The pace of looking.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("waited in vain; the gates last said {last}")
}

pub fn never_two(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("never-two", &TWO, Way::Proxies, async |fleet| {
        for _ in 0..2 {
            let leading = watch(fleet, |leading| leading.contains(&true)).await?;
            fleet.replicas.kill(leading);
            let other = 1 - leading;
            watch(fleet, |leading| leading[other]).await?;
            fleet.replicas.revive(leading)?;
        }
        Ok(())
    })
}

pub fn leader_cut_off(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("leader-cut-off", &TWO, Way::Proxies, async |fleet| {
        let leading = watch(fleet, |leading| leading.contains(&true)).await?;
        // It can neither renew its lease nor hear that it has lost it.
        fleet.proxies[leading].add(Fault { hits: Hits::All, how: How::Hang, count: u64::MAX });
        fleet.proxies[leading].cut();
        let other = 1 - leading;
        watch(fleet, |leading| leading[other]).await?;
        fleet.discord.drop_connections(DropConnections::all(End::Invalid))?;
        fleet
            .until("an IDENTIFY by the other", PATIENCE, |ledger| {
                if ledger.identifies == 2 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.proxies[leading].clear();
        watch(fleet, |leading| leading[other]).await.map(drop)
    })
}

pub fn lease_deleted(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("lease-deleted", &TWO, Way::Proxies, async |fleet| {
        let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let holder = |lease: Option<Lease>| lease.and_then(|lease| lease.spec?.holder_identity);
        let leading = watch(fleet, |leading| leading.contains(&true)).await?;
        let before = holder(leases.get_opt(LEASE).await?).context("nobody holds the lease")?;
        let _ = leases.delete(LEASE, &DeleteParams::default()).await?;
        fleet
            .wait("its holder to write it again", PATIENCE, async || {
                let now = holder(leases.get_opt(LEASE).await?);
                Ok(if now.as_ref() == Some(&before) { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        // Now its holder cannot see that it is gone, and leads until it runs out.
        fleet.proxies[leading].add(Fault { hits: Hits::All, how: How::Hang, count: u64::MAX });
        fleet.proxies[leading].cut();
        let _ = leases.delete(LEASE, &DeleteParams::default()).await?;
        let other = 1 - leading;
        watch(fleet, |leading| leading[other]).await?;
        fleet.proxies[leading].clear();
        watch(fleet, |leading| leading[other]).await.map(drop)
    })
}

pub fn server_stopped(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("server-stopped", &TWO, Way::ProxiesAlone, async |fleet| {
        let before = fleet.uids().await?;
        fleet.talk(10.0)?;
        fleet.ground.api().stop()?;
        let gone = tokio::time::Instant::now();
        let answered = fleet.ledger().events.answered;
        tokio::time::sleep_until(gone + STOPPED).await;
        let ledger = fleet.ledger();
        ensure!(ledger.events.answered > answered, "nobody was answered while it was away");
        ensure!(ledger.sessions.iter().all(|session| session.connected), "connections were lost");
        fleet.ground.api().start()?;
        watch(fleet, |leading| leading.contains(&true)).await?;
        goes_on(fleet, DropConnections::all(End::Invalid), 2).await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

/// The gate grants again: a session that ends costs the IDENTIFY that makes so many in all, and everybody is answered.
async fn goes_on(fleet: &Fleet, ends: DropConnections, identifies: u64) -> Result<()> {
    fleet.discord.drop_connections(ends)?;
    fleet
        .until("an IDENTIFY by the gate", PATIENCE, |ledger| {
            if ledger.identifies == identifies { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
        })
        .await?;
    fleet.online().await?;
    fleet.hush();
    fleet.settled(PATIENCE).await.map(drop)
}

/// Minutes without it, for this fleet alone.
pub fn out_of_reach(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("out-of-reach", &THREE_PODS, Way::Straight, async |fleet| {
        let before = fleet.uids().await?;
        fleet.talk(10.0)?;
        let gone = tokio::time::Instant::now();
        fleet.api.set(false);
        fleet
            .wait("no replica to lead", PATIENCE, async || {
                let says = fleet.doors().await?;
                Ok(if says.iter().any(|one| one.leads()) { Err(format!("{says:?}")) } else { Ok(()) })
            })
            .await?;
        while gone.elapsed() < OUT_OF_REACH {
            let ledger = fleet.ledger();
            fleet.discord.drop_connections(DropConnections::all(End::Tcp))?;
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
        fleet.api.set(true);
        watch(fleet, |leading| leading.contains(&true)).await?;
        put_back(fleet).await?;
        goes_on(fleet, DropConnections::of(ShardOf { id: 1, total: 3 }, End::Invalid), 4).await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}
