//! Operators that are down, killed, hung, and installed elsewhere.

use anyhow::{Context, Result, ensure};
use apiserver_sim::{Before, Call, Hook};
use discord_sim::{DropConnections, How, ShardOf};
use serde_json::json;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{SMALL, Shape, TWO_OPERATORS};
use shard_tests::thread::stage::{on_a_fleet, on_a_fleet_with_ways};
use shard_tests::thread::{Making, NAMESPACE, PATIENCE, World, run};
use std::time::Duration;

#[test]
fn operator_down_both_replicas_shards_run_and_restarts_resume() -> Result<()> {
    on_a_fleet(&TWO_OPERATORS, async |fleet| {
        fleet.talk(2.0)?;
        fleet.operators.kill_all();
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        fleet.resumes(2).await?;
        fleet.drop_connections(DropConnections::all(How::Tcp))?;
        fleet.resumes(6).await?;
        fleet.online().await?;
        fleet.answers(20).await?;
        let identifies = fleet.ledger().identifies;
        ensure!(identifies == 4, "{identifies} IDENTIFYs, 4 of them at the start");
        fleet.quiet().await
    })
}

/// Ten minutes of Discord's time with no operator, a tenth of the shards without sessions and a tenth of the pods killed.
#[test]
fn operator_down_for_ten_minutes_new_identifies_go_by_turns() -> Result<()> {
    let shape = Shape { pods: 4, shards: 10, ..TWO_OPERATORS };
    on_a_fleet(&shape, async |fleet| {
        fleet.talk(2.0)?;
        fleet.operators.kill_all();
        let away = tokio::time::Instant::now();
        let lost = ShardOf { id: 3, total: 10 };
        fleet.drop_connections(DropConnections::of(lost, How::Invalid))?;
        fleet.kubelet.kill(&fleet.kubelet.pods()[3]);
        // The shard without a session can come back by its pod's turn alone.
        fleet.online().await.context("come online by the fallback schedule")?;
        fleet.answers(20).await?;
        let rest = Duration::from_mins(10);
        tokio::time::sleep_until(away + rest).await;
        fleet.online().await.context("stay online")?;
        fleet.operators.revive_all().await?;
        fleet.leader().await?;
        fleet.drop_connections(DropConnections::of(lost, How::Invalid))?;
        fleet
            .until("an IDENTIFY by the gate", PATIENCE, |ledger| {
                if ledger.identifies >= 12 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.quiet().await
    })
}

#[test]
fn leader_killed_in_a_cold_start_no_second_grant_in_a_window() -> Result<()> {
    let shape = Shape { pods: 4, shards: 12, buckets: 1, ..TWO_OPERATORS };
    on_a_fleet(&shape, async |fleet| {
        let before = fleet.ledger().identifies;
        // Everything has to be identified anew, one after the other, and the leader goes in the midst of it.
        fleet.drop_connections(DropConnections::all(How::Invalid))?;
        fleet
            .until("some of the IDENTIFYs", PATIENCE, |ledger| {
                let more = ledger.identifies - before;
                if more >= 4 { Ok(()) } else { Err(format!("{more}")) }
            })
            .await?;
        let leading = fleet.leader().await?;
        fleet.operators.kill(leading);
        fleet.online().await?;
        fleet.operators.revive(leading).await
    })
}

#[test]
fn operator_reinstalled_elsewhere_replaces_no_pod_and_pods_find_the_new_gate() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        let before = fleet.uids().await?;
        fleet.operators.reinstall().await?;
        fleet.leader().await?;
        // A shard that has to be identified finds the gate at its new address.
        let shard = ShardOf { id: 1, total: 4 };
        fleet.drop_connections(DropConnections::of(shard, How::Invalid))?;
        fleet
            .until("an IDENTIFY by the new gate", PATIENCE, |ledger| {
                if ledger.identifies == 5 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.quiet().await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

#[test]
fn fresh_leader_that_cannot_ask_discord_leaves_identifies_to_the_fallback_schedule() -> Result<()> {
    on_a_fleet_with_ways(&SMALL, async |fleet| {
        fleet.set_operators_to_discord(false);
        fleet.operators.kill(0);
        fleet.operators.revive(0).await?;
        fleet
            .wait("a leader that says what it lacks", PATIENCE, async || {
                let ready = fleet.condition("Ready").await?.unwrap_or_default();
                Ok(if ready.1 == "DiscordUnreachable" { Ok(()) } else { Err(format!("{ready:?}")) })
            })
            .await?;
        fleet.drop_connections(DropConnections::all(How::Invalid))?;
        fleet
            .until("every shard to identify by turns", Duration::from_secs(900), |ledger| {
                let connected = ledger.sessions.iter().filter(|session| session.connected).count();
                if connected == 4 { Ok(()) } else { Err(format!("{connected} connected")) }
            })
            .await?;
        // Gate and turns must not meet: it comes to itself while pods may still go by turns.
        fleet.drop_connections(DropConnections::all(How::Invalid))?;
        fleet.set_operators_to_discord(true);
        fleet.online().await?;
        fleet.talk(2.0)?;
        fleet.answers(10).await?;
        fleet.quiet().await?;
        let identifies = fleet.ledger().identifies;
        ensure!(identifies == 12, "{identifies} IDENTIFYs for three times four sessions");
        Ok(())
    })
}

/// A namespace that was deleted, and with it the rights to look at it.
struct Gone;

impl Hook for Gone {
    fn read(&mut self, call: &Call) -> Before {
        if call.path.contains("/namespaces/gone/") {
            let message = "forbidden in namespace gone";
            return Before::Refuse(json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": message,
            }));
        }
        Before::GoOn
    }
}

#[test]
fn a_watched_namespace_that_is_gone_keeps_nobody_from_the_others_and_is_named() -> Result<()> {
    run(1, async {
        let watched = vec![NAMESPACE.to_owned(), "gone".to_owned()];
        let world = World::begin(Making { seed: 1, operators: 1, watched, ..Making::default() }).await?;
        world.operators.kill_all();
        world.api.hook(Gone);
        world.operators.revive_all().await?;
        world.apply(json!({ "shards": 1 })).await?;
        world.online().await?;
        let ready = world.operators.page(0, "/readyz").await?;
        ensure!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        let metrics = world.operators.page(0, "/metrics").await?;
        let failures =
            |namespace: &str| metrics.contains(&format!("watch_failures_total{{namespace=\"{namespace}\""));
        ensure!(failures("gone") && !failures(NAMESPACE), "{metrics}");
        Ok(())
    })
}
