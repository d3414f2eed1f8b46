//! What breaks in a real cluster: leader, operator, container, pod, node, API server, Secrets. The fleet comes back, by RESUME
//! where a session is left, and Discord's ledger has nothing against it.

use crate::ground::{BOTS, Ground, PATIENCE, connected};
use anyhow::{Context, Result, ensure};
use discord_sim::Ledger;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use shard_contract::record::{Record, State};
use shard_tests::until::{Seen, until};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const OPERATOR: &str = "shard-operator";
/// The promise of the fault table: a lost node's shards are online again within this time.
const NODE_LOSS: Duration = Duration::from_secs(180);
const ANSWER: Duration = Duration::from_secs(60);

pub fn the_leader_is_killed(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let (before, pods) = (leader(ground)?, ground.pods("mybot")?);
    let pod = before.split('_').next().unwrap_or_default();
    ground.kube.run(&["delete", "pod", pod, "--namespace", OPERATOR, "--grace-period=0", "--force"])?;
    // The session of one shard ends, so that the next leader has something to grant.
    let identified = ground.discord().ledger()?.identifies;
    let first = json!({ "shard": 0, "total": ground.shards()?, "how": "invalid" });
    ground.discord().control("connections/drop", &first)?;
    until("another leader", PATIENCE, || {
        let now = leader(ground)?;
        Ok(if now == before { Seen::NotYet(now) } else { Seen::Yes(()) })
    })?;
    until("the new leader's grant", PATIENCE, || {
        let ledger = ground.discord().ledger()?;
        Ok(if ledger.identifies > identified { Seen::Yes(()) } else { Seen::NotYet("no IDENTIFY".into()) })
    })?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == pods, "the change of leaders replaced pods");
    ground.rules_were_kept()
}

pub fn the_operator_is_deleted(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let (before, pods) = (ground.discord().ledger()?, ground.pods("mybot")?);
    ground.kube.run(&["scale", "deployment/shard-operator", "--namespace", OPERATOR, "--replicas=0"])?;
    let operator = ["--namespace", OPERATOR, "pods", "--selector=app.kubernetes.io/name=shard-operator"];
    ground.kube.wait_gone(PATIENCE, &operator)?;
    ground.discord().control("connections/drop", &json!({ "how": "close", "code": 4000 }))?;
    ground.kube.kill_bot(BOTS, &pods[0].0)?;
    let shards = ground.shards()?;
    until("every shard to resume without the operator", PATIENCE, || {
        let ledger = ground.discord().ledger()?;
        let connected = connected(&ledger);
        Ok(if connected == shards && ledger.resumes >= before.resumes + shards {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("{connected} connected, {} resumed", ledger.resumes - before.resumes))
        })
    })?;
    ensure!(ground.discord().ledger()?.identifies == before.identifies, "a resume became an IDENTIFY");
    ground.discord().ask(&json!({ "content": "!ping" }), "ong", ANSWER)?;
    ground.kube.run(&["scale", "deployment/shard-operator", "--namespace", OPERATOR, "--replicas=2"])?;
    ground.kube.rolled_out(OPERATOR, "shard-operator", PATIENCE)?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == pods, "the operator's absence replaced pods");
    ground.rules_were_kept()
}

pub fn a_killed_container_resumes(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let (before, pods) = (ground.discord().ledger()?, ground.pods("mybot")?);
    ground.kube.kill_bot(BOTS, &pods[0].0)?;
    resumed(ground, &before, "the restarted container's shards")?;
    ensure!(ground.pods("mybot")? == pods, "it is the same pod");
    ground.discord().ask(&json!({ "content": "!ping" }), "ong", ANSWER)?;
    ground.rules_were_kept()
}

pub fn a_deleted_pod_hands_its_sessions_on(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let before = ground.discord().ledger()?;
    let (name, uid) = ground.pods("mybot")?.into_iter().next().context("a fleet without pods")?;
    ground.kube.run(&["delete", "pod", &name, "--namespace", BOTS])?;
    ground.kube.wait("another pod of that name", PATIENCE, &["--namespace", BOTS, "pod", &name], |pod| {
        pod["metadata"]["uid"] != uid.as_str()
    })?;
    resumed(ground, &before, "the next pod's shards")?;
    ground.rules_were_kept()
}

pub fn a_drained_node(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let node = node_of_a_bot(ground)?;
    let before = ground.discord().ledger()?;
    let drain = ["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
    let drained = ground.kube.run(&drain).and_then(|_| {
        until("no bot on the drained node", PATIENCE, || {
            let left = pods_on(ground, &node)?;
            Ok(if left.is_empty() { Seen::Yes(()) } else { Seen::NotYet(left.join(", ")) })
        })?;
        resumed(ground, &before, "the shards of the drained node")
    });
    ground.kube.run(&["uncordon", &node])?;
    drained?;
    ground.rules_were_kept()
}

pub fn a_lost_node(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let cluster = ground.own_cluster()?;
    let node = gathered(ground)?;
    let lost = pods_on(ground, &node)?;
    ensure!(lost.len() > 1, "more than one pod of the bot is on the node");
    let number = number_of(&node)?;
    cluster.kill_node(number)?;
    let began = Instant::now();
    let outcome = online_again(ground, &lost, began);
    cluster.start_node(number)?;
    ground.kube.run(&["wait", "node", &node, "--for=condition=Ready", "--timeout=120s"])?;
    let took = outcome?.as_secs_f64();
    eprintln!("  {} pods of a lost node were online again after {took:.0} s", lost.len());
    let described = ground.described("mybot")?;
    for words in ["NodeLost", &node, "has not answered since"] {
        ensure!(described.contains(words), "no word of {words:?} in\n{described}");
    }
    // A leader that was on the lost node is followed by one that hears nothing before the pods' time is over.
    let remedies = ["bring the node back", "if none has room, add a node"];
    ensure!(remedies.iter().any(|words| described.contains(words)), "no remedy in\n{described}");
    ground.ready("mybot")?;
    ground.discord().ask(&json!({ "content": "!ping" }), "ong", ANSWER)?;
    ground.rules_were_kept()
}

pub fn the_api_server_restarts(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let cluster = ground.own_cluster()?;
    let pods = ground.pods("mybot")?;
    ensure!(cluster.kill_processes(0, "kube-apiserver", None)? == 1, "one API server");
    until("the API server to answer again", PATIENCE, || {
        Ok(match ground.kube.run(&["get", "--raw", "/readyz"]) {
            Ok(_) => Seen::Yes(()),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == pods, "a restart of the API server replaced pods");
    // The watches are alive again: a change is carried out.
    ground.discord().ask(&json!({ "content": "!ping" }), "ong", ANSWER)?;
    ground.rules_were_kept()
}

pub fn secrets_that_are_deleted(ground: &Ground) -> Result<()> {
    ground.spread()?;
    let pods = ground.pods("mybot")?;
    // Both at once: nobody watches Secrets, so each is missed when the next round looks.
    let secrets = ["delete", "secret/mybot-sessions-0", "secret/mybot-token", "--namespace", BOTS];
    ground.kube.run(&secrets)?;
    let told = ground.reason("mybot", "SecretMissing")?;
    ensure!(told.contains("mybot-token"), "{told}");
    ground.discord().ask(&json!({ "content": "!ping" }), "ong", ANSWER)?;
    ground.secret("mybot-token", shard_tests::discord::TOKEN)?;
    let all = ground.shards()?;
    ground.kube.wait(
        "the holders to write their records again",
        PATIENCE,
        &["--namespace", BOTS, "secret", "mybot-sessions-0"],
        |secret| held(secret) >= all,
    )?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == pods, "a deleted Secret replaced pods");
    // Records that were written again are believed: the next owner resumes.
    let before = ground.discord().ledger()?;
    ground.kube.run(&["delete", "pod", &pods[0].0, "--namespace", BOTS])?;
    resumed(ground, &before, "the next pod's shards")?;
    ground.rules_were_kept()
}

/// How many of a Secret's records say that a pod holds them. The operator writes missing ones as free first.
fn held(secret: &Value) -> u64 {
    let data = serde_json::from_value::<Secret>(secret.clone()).ok().and_then(|secret| secret.data);
    let state = |value: &ByteString| serde_json::from_slice::<Record>(&value.0).map(|record| record.state);
    data.iter().flat_map(BTreeMap::values).filter(|value| matches!(state(value), Ok(State::Held))).count()
        as u64
}

/// Who the lease says is the leader: `<pod>_...`.
fn leader(ground: &Ground) -> Result<String> {
    let lease =
        ["get", "lease", OPERATOR, "--namespace", OPERATOR, "--output=jsonpath={.spec.holderIdentity}"];
    ground.kube.run(&lease)
}

/// Waits until the fleet is whole again after a fault, and that no session was lost on the way.
fn resumed(ground: &Ground, before: &Ledger, what: &str) -> Result<()> {
    let shards = ground.shards()?;
    until(what, PATIENCE, || {
        let ledger = ground.discord().ledger()?;
        let (connected, resumed) = (connected(&ledger), ledger.resumes - before.resumes);
        Ok(if connected == shards && resumed > 0 {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("{connected} of {shards} connected, {resumed} resumed"))
        })
    })?;
    ground.ready("mybot")?;
    let after = ground.discord().ledger()?;
    ensure!(
        after.identifies == before.identifies,
        "{} IDENTIFYs where sessions could be resumed",
        after.identifies - before.identifies
    );
    Ok(())
}

/// A node with pods of the bot on which the simulated Discord does not run. After a drain all may be where it is: then one
/// moves.
fn node_of_a_bot(ground: &Ground) -> Result<String> {
    let discord = nodes_of(ground, "discord", "app=discord")?;
    let elsewhere = || {
        let bots = nodes_of(ground, BOTS, "shard-operator.dev/bot=mybot")?;
        Ok::<_, anyhow::Error>(bots.into_iter().find(|node| !discord.contains(node)))
    };
    if let Some(node) = elsewhere()? {
        return Ok(node);
    }
    let first = ground.pods("mybot")?.into_iter().next().context("a fleet without pods")?;
    move_away(ground, &discord, &[first])?;
    elsewhere()?.context("a cluster of one node")
}

/// A node on which all pods of the bot are, and the simulated Discord is not.
fn gathered(ground: &Ground) -> Result<String> {
    let discord = nodes_of(ground, "discord", "app=discord")?;
    let mut there = Vec::new();
    for node in &discord {
        there.extend(pods_on(ground, node)?);
    }
    let mut pods = ground.pods("mybot")?;
    pods.retain(|(_, uid)| there.contains(uid));
    move_away(ground, &discord, &pods)?;
    let bots = nodes_of(ground, BOTS, "shard-operator.dev/bot=mybot")?;
    let node = bots.first().context("a fleet without pods")?;
    ensure!(bots.iter().all(|one| one == node), "the pods are on {}", bots.join(", "));
    Ok(node.clone())
}

/// Deletes these pods, so that they are made anew on other nodes than these; returns when the fleet is whole again.
fn move_away(ground: &Ground, nodes: &[String], pods: &[(String, String)]) -> Result<()> {
    let cordon = |how: &str| nodes.iter().try_for_each(|node| ground.kube.run(&[how, node]).map(drop));
    let moved = cordon("cordon").and_then(|()| {
        for (name, uid) in pods {
            ground.kube.run(&["delete", "pod", name, "--namespace", BOTS])?;
            ground.kube.wait("a pod to move", PATIENCE, &["--namespace", BOTS, "pod", name], |pod| {
                pod["metadata"]["uid"] != uid.as_str() && !pod["spec"]["nodeName"].is_null()
            })?;
        }
        Ok(())
    });
    cordon("uncordon")?;
    moved?;
    ground.ready("mybot").map(drop)
}

fn nodes_of(ground: &Ground, namespace: &str, label: &str) -> Result<Vec<String>> {
    let selector = format!("--selector={label}");
    let path = "--output=jsonpath={.items[*].spec.nodeName}";
    let nodes = ground.kube.run(&["get", "pods", "--namespace", namespace, &selector, path])?;
    Ok(nodes.split_whitespace().map(str::to_owned).collect())
}

fn pods_on(ground: &Ground, node: &str) -> Result<Vec<String>> {
    let field = format!("--field-selector=spec.nodeName={node}");
    let path = "--output=jsonpath={.items[*].metadata.uid}";
    let selector = "--selector=shard-operator.dev/bot=mybot";
    let pods = ground.kube.run(&["get", "pods", "--namespace", BOTS, selector, &field, path])?;
    Ok(pods.split_whitespace().map(str::to_owned).collect())
}

/// Waits until no pod of the lost node is left and every shard is online; how long that took.
fn online_again(ground: &Ground, lost: &[String], began: Instant) -> Result<Duration> {
    until("the lost node's pods to be replaced and online", NODE_LOSS, || {
        let pods = ground.pods("mybot")?;
        let left = pods.iter().filter(|(_, uid)| lost.contains(uid)).count();
        let bot = ground.bot("mybot")?.context("the bot is gone")?;
        let online = bot["status"]["readyShards"] == bot["status"]["shards"];
        Ok(if left == 0 && online {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("{left} pods left, {} shards online", bot["status"]["readyShards"]))
        })
    })?;
    Ok(began.elapsed())
}

fn number_of(node: &str) -> Result<u8> {
    let digits: String = node.chars().filter(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("{node}: not a node of an embedded cluster"))
}
