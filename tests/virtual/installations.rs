//! Two installations of the operator that watch the same bot.

use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, FAKE_TOKEN, How};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, PostParams};
use serde_json::json;
use shard_contract::names::layouts_config_map;
use shard_operator::crd::ShardedBot;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{Kind, Schedule, Shape, TWO_OPERATORS, seed_of};
use shard_tests::thread::stage::on_a_fleet;
use shard_tests::thread::{BOT, Making, NAMESPACE, PATIENCE, World, run, storm};
use std::time::Duration;

/// Four pods that wait for one bucket, and an operator of each of two installations.
const TWO_INSTALLATIONS: Shape = Shape { pods: 4, shards: 8, buckets: 1, installations: 2, ..TWO_OPERATORS };
/// Runs by seed in which operators of two installations die.
const RUNS: u64 = 20;
const SEED: u64 = 17;
/// Of the form of a token, of an application that the simulated Discord does not know.
const ANOTHER_TOKEN: &str = "OTk5OTk5OTk5OTk5OTk5OTk5OQ.sim.another";

/// The number of the installation that keeps the bot.
async fn keeper(fleet: &World) -> Result<u32> {
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let lease = leases.get("shard-operator.dev").await.context("read the claim")?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).context("nobody holds it")?;
    match holder.as_str() {
        "bots/shard-operator" => Ok(0),
        "bots/shard-operator-1" => Ok(1),
        other => anyhow::bail!("held by {other}"),
    }
}

async fn is_told(fleet: &World, status: &str, named: &str) -> Result<()> {
    fleet
        .wait("what is told of a second installation", PATIENCE, async || {
            let told = fleet.condition("InstallationExclusive").await?.unwrap_or_default();
            Ok(if told.0 == status && told.2.contains(named) { Ok(()) } else { Err(format!("{told:?}")) })
        })
        .await
}

#[test]
fn two_installations_on_one_bot_one_keeps_it_and_the_other_takes_over() -> Result<()> {
    on_a_fleet(&TWO_INSTALLATIONS, async |fleet| {
        let names = ["bots/shard-operator", "bots/shard-operator-1"];
        let first = keeper(fleet).await?;
        let second = 1 - first;
        is_told(fleet, "False", &format!("installation {} watches", names[second as usize])).await?;
        is_told(fleet, "False", &format!("installation {} keeps", names[first as usize])).await?;
        let maps: Api<ConfigMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let version = async || {
            let map = maps.get(&layouts_config_map(BOT)).await?;
            anyhow::Ok(map.metadata.resource_version)
        };
        let (written, pods) = (version().await?, fleet.uids().await?);
        // Time in which both would write, on the paused clock.
        tokio::time::sleep(Duration::from_secs(300)).await;
        ensure!(version().await? == written, "the document was written though nothing changed");
        // All have to be identified anew, and the one who grants dies in the midst of it.
        fleet.talk(1.0)?;
        fleet.drop_connections(DropConnections::all(How::Invalid))?;
        fleet
            .until("some of the IDENTIFYs", PATIENCE, |ledger| {
                if ledger.identifies >= 11 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.operators.kill(first);
        fleet.online().await.context("come online without the one that granted")?;
        fleet
            .wait("the other to take over", PATIENCE, async || {
                Ok(if keeper(fleet).await? == second { Ok(()) } else { Err("it does not".to_owned()) })
            })
            .await?;
        fleet.drop_connections(DropConnections::all(How::Invalid))?;
        fleet.online().await.context("come online by the other's gate")?;
        ensure!(fleet.uids().await? == pods, "pods were replaced");
        fleet.operators.revive(first).await?;
        is_told(fleet, "False", &format!("installation {} watches", names[first as usize])).await?;
        ensure!(keeper(fleet).await? == second, "the one that came back took it");
        fleet.operators.kill(first);
        is_told(fleet, "True", "no other installation").await?;
        fleet.quiet().await
    })
}

/// A Lease by which an installation that is elsewhere keeps the fleet's namespace, for a minute at least.
async fn keep_elsewhere(world: &World) -> Result<()> {
    let claim = json!({
        "metadata": { "name": "shard-operator.dev" },
        "spec": { "holderIdentity": "elsewhere/shard-operator", "leaseDurationSeconds": 60 },
    });
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), NAMESPACE);
    leases.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
    Ok(())
}

/// Makes a younger bot with this token in another namespace, and waits until its condition `Ready` has this reason.
async fn another(world: &World, token: &str, reason: &str) -> Result<()> {
    const OTHERS: &str = "others";
    let (params, named) = (PostParams::default(), |name: &str| json!({ "metadata": { "name": name } }));
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.create(&params, &serde_json::from_value(named(OTHERS))?).await?;
    let mut secret = named("token");
    secret["stringData"] = json!({ "token": token });
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), OTHERS);
    secrets.create(&params, &serde_json::from_value(secret)?).await?;
    let mut bot = json!({ "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot", "spec": {
        "tokenSecretRef": { "name": "token" }, "shards": 1,
        "template": { "spec": { "containers": [{ "name": "bot", "image": "shard-bot" }] } },
    } });
    bot["metadata"] = json!({ "name": "younger" });
    let bots: Api<ShardedBot> = Api::namespaced(world.client.clone(), OTHERS);
    bots.create(&params, &serde_json::from_value(bot)?).await?;
    world
        .wait("the younger bot", Duration::from_secs(50), async || {
            let status = bots.get("younger").await?.status.unwrap_or_default();
            let ready = status.conditions.into_iter().find(|one| one.type_ == "Ready");
            let found = ready.map(|one| (one.reason, one.message)).unwrap_or_default();
            Ok(if found.0 == reason { Ok(()) } else { Err(format!("{found:?}")) })
        })
        .await
}

#[test]
fn a_first_bot_waits_for_no_claim() -> Result<()> {
    run(1, async {
        let world = World::begin(Making { seed: 1, operators: 1, ..Making::default() }).await?;
        world.apply(json!({ "shards": 1 })).await?;
        // A fresh leader's 9 s, and what a pod takes to start.
        world
            .until("an IDENTIFY", Duration::from_secs(30), |ledger| {
                if ledger.identifies == 1 { Ok(()) } else { Err("none".to_owned()) }
            })
            .await
            .map(drop)
    })
}

#[test]
fn bots_that_another_installation_keeps_hold_up_no_other_and_hold_their_token() -> Result<()> {
    for (token, reason) in [(FAKE_TOKEN, "TokenInUse"), (ANOTHER_TOKEN, "TokenRefused")] {
        run(1, async {
            let making = Making { seed: 1, operators: 1, ..Making::default() };
            let world = World::begin(making).await?;
            keep_elsewhere(&world).await?;
            world.apply(json!({ "shards": 1 })).await?;
            // One that is looked at is not told to wait for others, whatever comes of it.
            another(&world, token, reason).await?;
            ensure!(world.ledger().identifies == 0, "another's bot was started");
            Ok(())
        })?;
    }
    Ok(())
}

fn ends_operators(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::OperatorKill
            | Kind::OperatorStop
            | Kind::OperatorsKill
            | Kind::OperatorDeaf
            | Kind::NodeDrained
    )
}

#[test]
fn two_installations_whose_operators_die_at_random_break_no_rule() -> Result<()> {
    let schedules = (0..).map(|run| Schedule::of(seed_of(SEED, run)));
    let about_two = schedules.filter(|schedule| {
        schedule.shape.installations == 2 && schedule.faults.iter().any(|fault| ends_operators(fault.kind))
    });
    let failed: Vec<_> = about_two
        .take(usize::try_from(RUNS)?)
        .map(|schedule| storm::run(&schedule).run)
        .filter(|run| run.failure.is_some())
        .map(|run| run.line())
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
