//! Pods that are killed, evicted, lost and cut off.

use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, EventFilter, How, LedgerQuery};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams};
use shard_contract::names::shards;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{SMALL, Shape, TWO_OPERATORS};
use shard_tests::thread::stage::{on_a_fleet, on_a_fleet_with_ways};
use shard_tests::thread::{BOT, NAMESPACE, World};
use std::time::Duration;

/// The longest that the replacement of a lost node's pod may take: it has to be silent for 90 s first.
const REPLACED: Duration = Duration::from_secs(120);
/// The same where its pod goes on reporting until its token is refused: for its grace and a minute, and for as long as a review of its token counts.
const WITHOUT_KUBELET: Duration = Duration::from_mins(10);

/// Four pods on three nodes: the first and the last share one.
const FOUR: Shape = Shape { pods: 4, buckets: 4, ..SMALL };

#[test]
fn pod_killed_its_container_resumes() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

#[test]
fn every_container_killed_at_once_all_resume() -> Result<()> {
    let shape = Shape { pods: 4, shards: 8, ..SMALL };
    on_a_fleet(&shape, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        fleet.kubelet.pods().iter().for_each(|pod| fleet.kubelet.kill(pod));
        fleet.resumes(8).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(8)
    })
}

#[test]
fn pod_evicted_its_sessions_are_resumed_without_identifies() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        fleet.replace(0).await?;
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

#[test]
fn node_drained_one_pod_at_a_time_costs_no_identify() -> Result<()> {
    let shape = Shape { pods: 3, shards: 6, ..SMALL };
    on_a_fleet(&shape, async |fleet| {
        fleet.talk(2.0)?;
        for place in 0..3 {
            let resumed = fleet.ledger().resumes;
            fleet.replace(place).await?;
            fleet.resumes(resumed + 2).await?;
            fleet.online().await?;
        }
        fleet.quiet().await?;
        fleet.no_more_identifies(6)
    })
}

#[test]
fn container_restarts_while_the_api_server_is_away_and_goes_by_its_file() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        fleet.answers(5).await?;
        fleet.set_api(false);
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        fleet.resumes(2).await.context("resume by the file alone")?;
        fleet.answers(20).await?;
        fleet.set_api(true);
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

#[test]
fn api_server_away_shards_run_on() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        fleet.set_api(false);
        fleet.answers(60).await?;
        let before = fleet.ledger();
        ensure!(before.resumes == 0 && before.sessions.iter().all(|session| session.connected));
        fleet.set_api(true);
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

#[test]
fn node_lost_its_pod_is_replaced_and_online_again() -> Result<()> {
    let shape = Shape { pods: 3, shards: 3, buckets: 3, ..SMALL };
    on_a_fleet_with_ways(&shape, async |fleet| {
        let pod = fleet.kubelet.pods().remove(0);
        let before = fleet.uids().await?;
        fleet.lose(&pod, true).await?;
        fleet.replaced(&pod, &before, REPLACED).await?;
        fleet.talk(2.0)?;
        fleet.quiet().await
    })
}

/// It goes on running where nobody can reach it; another takes its place; then its link is joined again.
#[test]
fn pod_partitioned_and_back_fences_itself_and_nothing_is_handled_twice() -> Result<()> {
    let shape = Shape { pods: 3, shards: 3, buckets: 3, ..SMALL };
    on_a_fleet_with_ways(&shape, async |fleet| {
        let pod = fleet.kubelet.pods().remove(0);
        let before = fleet.uids().await?;
        fleet.talk(1.0)?;
        fleet.lose(&pod, false).await?;
        fleet.replaced(&pod, &before, REPLACED).await?;
        fleet.online().await?;
        fleet.find_again().await?;
        fleet.answers(20).await?;
        fleet.quiet().await
    })
}

/// It goes on running and reaches everybody, but no kubelet ends it when it is replaced.
#[test]
fn pod_whose_kubelet_is_dead_lets_its_shards_go_before_another_has_them() -> Result<()> {
    let shape = Shape { pods: 3, shards: 3, buckets: 3, ..SMALL };
    on_a_fleet(&shape, async |fleet| {
        let pod = fleet.kubelet.pods().remove(0);
        let before = fleet.uids().await?;
        fleet.talk(1.0)?;
        fleet.lose_kubelet(&pod).await?;
        fleet.replaced(&pod, &before, WITHOUT_KUBELET).await?;
        let closes = fleet.ledger().closes.get("4000").copied().unwrap_or_default();
        ensure!(closes == 1, "{closes} of 1 shards was let go before the pod was replaced");
        fleet.online().await?;
        fleet.answers(20).await?;
        fleet.find_again().await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(3 + 1)
    })
}

/// It runs on and no gate hears it, alone or with others whose gate is away too: only the layouts document can tell it.
#[test]
fn pod_whose_kubelet_is_dead_and_whose_gate_is_away_lets_its_shards_go_before_another_has_them() -> Result<()>
{
    let both = [0, 75].map(Duration::from_secs);
    for (pods, before_deletion) in [1, 3].into_iter().flat_map(|pods| both.map(|both| (pods, both))) {
        let shape = Shape { pods, shards: 3, ..SMALL };
        on_a_fleet(&shape, async |fleet| {
            let pod = fleet.kubelet.pods().remove(0);
            let before = fleet.uids().await?;
            fleet.talk(1.0)?;
            fleet.operators.set_reachable(false);
            tokio::time::sleep(before_deletion).await;
            fleet.lose_kubelet(&pod).await?;
            fleet.replaced(&pod, &before, REPLACED).await?;
            let closes = fleet.ledger().closes.get("4000").copied().unwrap_or_default();
            let its = u64::from(3 / pods);
            ensure!(closes == its, "{closes} of {its} shards were let go before the pod was replaced");
            fleet.operators.set_reachable(true);
            fleet.online().await?;
            fleet.answers(20).await?;
            fleet.find_again().await?;
            fleet.quiet().await
        })?;
    }
    Ok(())
}

/// Long enough for its pod to be deleted, and it is told when its kubelet is back.
#[test]
fn kubelet_away_for_a_moment_costs_no_identify() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(1.0)?;
        let before = fleet.uids().await?;
        fleet.lose_kubelet(&fleet.kubelet.pods()[0]).await?;
        tokio::time::sleep(Duration::from_secs(20)).await;
        fleet.find_again().await?;
        fleet.resumes(2).await?;
        fleet.quiet().await?;
        ensure!(fleet.uids().await? != before, "the pod was not replaced");
        fleet.no_more_identifies(4)
    })
}

/// Each of its containers is gone before the 30 s are over in which it would find that it is cut off.
#[test]
fn pod_cut_off_that_crashes_again_and_again_lets_its_shards_go() -> Result<()> {
    on_a_fleet_with_ways(&SMALL, async |fleet| {
        fleet.talk(1.0)?;
        let pod = fleet.kubelet.pods().remove(0);
        let cut = fleet.cut_but_from_discord(&pod).context("it runs")?;
        for _ in 0..6 {
            // It goes on by its file after 15 s without the API server.
            tokio::time::sleep(Duration::from_secs(20)).await;
            fleet.kubelet.kill(&pod);
        }
        let resumes = fleet.ledger().resumes;
        ensure!(resumes == 0, "{resumes} RESUMEs of a pod that may have been replaced");
        fleet.join(cut);
        fleet.resumes(2).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4)
    })
}

/// Its pods' tokens are nobody's from then on, at the API server and at the gate, and yet each pod is there.
#[test]
fn service_account_made_anew_lets_no_shard_go() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(1.0)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let _ = accounts.delete(&shards(BOT), &DeleteParams::default()).await?;
        // As long as the gate goes by its last review of their tokens, and then longer than they would need to find that they are cut off.
        tokio::time::sleep(WITHOUT_KUBELET).await;
        ensure!(accounts.get_opt(&shards(BOT)).await?.is_some(), "the account is back");
        let ledger = fleet.ledger();
        ensure!(ledger.closes.is_empty() && ledger.sessions.iter().all(|session| session.connected));
        fleet.answers(20).await
    })
}

/// How much later.
const SLOW: Duration = Duration::from_millis(700);

/// Everything between hosts arrives later: what is sent to gates, to other pods, to the API server and to Discord.
#[test]
fn slow_ways_between_hosts_lose_nothing_and_break_no_rule() -> Result<()> {
    on_a_fleet_with_ways(&TWO_OPERATORS, async |fleet| {
        fleet.delay(SLOW, SLOW);
        fleet.talk(1.0)?;
        fleet.answers(5).await?;
        let query = LedgerQuery { events: Some(EventFilter::All), ..LedgerQuery::default() };
        for event in fleet.ledger_of(query).event_details {
            let took = event.acts.first().map(|act| act.at_ms - event.made_at_ms);
            ensure!(
                took.is_none_or(|ms| u128::from(ms) >= 2 * SLOW.as_millis()),
                "there and back: {event:?}"
            );
        }
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        fleet.resumes(2).await?;
        fleet.drop_connections(DropConnections::all(How::Invalid))?;
        fleet.online().await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4 + 4)
    })
}

/// Two nodes are gone at once, and half of the fleet with them.
#[test]
fn two_pods_on_lost_nodes_at_once_are_both_replaced() -> Result<()> {
    on_a_fleet_with_ways(&FOUR, async |fleet| {
        let pods = on_two_nodes(fleet)?;
        let before = fleet.uids().await?;
        fleet.talk(1.0)?;
        for pod in &pods {
            fleet.lose(pod, true).await?;
        }
        for pod in &pods {
            fleet.replaced(pod, &before, REPLACED).await?;
        }
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4 + 2)
    })
}

/// They go on running, reach each other and Discord and nobody else; others take their places; then they are back.
#[test]
fn two_pods_cut_off_from_all_but_each_other_fence_themselves_and_nothing_is_handled_twice() -> Result<()> {
    on_a_fleet_with_ways(&FOUR, async |fleet| {
        let pods = on_two_nodes(fleet)?;
        let before = fleet.uids().await?;
        fleet.talk(1.0)?;
        fleet.lose_together(&pods).await?;
        fleet
            .wait("others in their places", REPLACED, async || {
                one_session_a_shard(fleet)?;
                let now = fleet.uids().await?;
                let replaced =
                    pods.iter().all(|pod| now.contains_key(pod) && now.get(pod) != before.get(pod));
                Ok(if replaced { Ok(()) } else { Err(format!("{now:?}")) })
            })
            .await?;
        // Discord heard them say so: they were connected until they saw how alone they are.
        let closes = fleet.ledger().closes.get("4000").copied().unwrap_or_default();
        ensure!(closes == 2, "{closes} of 2 shards were let go");
        fleet.online().await?;
        one_session_a_shard(fleet)?;
        fleet.find_again().await?;
        fleet.answers(20).await?;
        one_session_a_shard(fleet)?;
        fleet.quiet().await?;
        fleet.no_more_identifies(4 + 2)
    })
}

/// Two pods of the fleet that are not on one node, nor on the node of any other.
fn on_two_nodes(fleet: &World) -> Result<[String; 2]> {
    let mut pods = fleet.kubelet.pods().into_iter();
    let [first, second] = [pods.nth(1), pods.next()];
    Ok([first.context("no second pod")?, second.context("no third pod")?])
}

/// Nobody has a session beside another's.
fn one_session_a_shard(fleet: &World) -> Result<()> {
    let sessions = fleet.ledger().sessions;
    for shard in 0..FOUR.shards {
        let connected = sessions.iter().filter(|one| one.shard == shard && one.connected).count();
        ensure!(connected <= 1, "shard {shard} has {connected} sessions with a connection");
    }
    Ok(())
}
