//! The objects of a bot: put back, never taken from others, all gone with it.

use crate::ground::{BOTS, Ground, PATIENCE};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

pub fn what_is_edited_is_put_back(ground: &Ground) -> Result<()> {
    ground.online()?;
    let pods = ground.pods("mybot")?;
    let get = |kind: &str, name: &str| ground.kube.get(&["--namespace", BOTS, kind, name]);
    let uid = get("configmap", "mybot-layouts")?.context("no ConfigMap")?["metadata"]["uid"].clone();
    let number = ground.bot("mybot")?.context("the bot is gone")?["status"]["layouts"][0]["number"].clone();
    let set = format!("statefulset/mybot-{number}");
    // The Role first: nobody watches it, but a round that others wake looks at it too. That a round comes by itself is seen where a
    // token's Secret is deleted.
    let nothing = "--patch={\"rules\":[]}";
    ground.kube.run(&["patch", "role/mybot-shards", "--namespace", BOTS, "--type=merge", nothing])?;
    ground.kube.run(&["delete", "configmap/mybot-layouts", "--namespace", BOTS])?;
    ground.kube.run(&["scale", &set, "--namespace", BOTS, "--replicas=7"])?;
    let back = |what: &str, object: &[&str], holds: &dyn Fn(&Value) -> bool| {
        ground.kube.wait(what, PATIENCE, &[&["--namespace", BOTS], object].concat(), holds).map(drop)
    };
    back("the ConfigMap to be back", &["configmap", "mybot-layouts"], &|map| map["metadata"]["uid"] != uid)?;
    back("the Role to be back", &["role", "mybot-shards"], &|role| {
        role["rules"].as_array().is_some_and(|rules| !rules.is_empty())
    })?;
    back("the StatefulSet to be as it was", &[&set], &|set| set["spec"]["replicas"] == pods.len())?;
    ground.ready("mybot")?;
    let told =
        ground.kube.run(&["get", "events", "--namespace", BOTS, "--output=jsonpath={.items[*].reason}"])?;
    ensure!(told.contains("DriftCorrected"), "no event says so: {told}");
    ground.rules_were_kept()
}

pub fn a_taken_name(ground: &Ground) -> Result<()> {
    ground.installed()?;
    let literal = "--from-literal=note=mine";
    ground.kube.run(&["create", "configmap", "taken-layouts", "--namespace", BOTS, literal])?;
    let bot = json!({
        "apiVersion": "shard-operator.dev/v1alpha1",
        "kind": "ShardedBot",
        "metadata": { "name": "taken", "namespace": BOTS },
        "spec": {
            "tokenSecretRef": { "name": "no-such-secret" },
            "shards": 1,
            "template": { "spec": { "containers": [{ "name": "bot", "image": "x" }] } },
        },
    });
    ground.kube.feed(&["apply", "--filename=-"], &bot.to_string())?;
    let told = ground.reason("taken", "NameTaken")?;
    ensure!(told.contains("ConfigMap taken-layouts"), "{told}");
    ground.kube.run(&["delete", "sbot/taken", "--namespace", BOTS])?;
    let map =
        ground.kube.get(&["--namespace", BOTS, "configmap", "taken-layouts"])?.context("it was removed")?;
    ensure!(
        map["data"] == json!({ "note": "mine" }) && map["metadata"]["ownerReferences"].is_null(),
        "{map}"
    );
    ground.kube.run(&["delete", "configmap/taken-layouts", "--namespace", BOTS]).map(drop)
}

pub fn deleting_the_bot(ground: &Ground) -> Result<()> {
    ground.online()?;
    // A session that Discord has ended is closed with 1000; it is gone either way.
    let closes = |ledger: &discord_sim::Ledger, code: &str| ledger.closes.get(code).copied().unwrap_or(0);
    let before = ground.discord().ledger()?;
    ground.kube.run(&["delete", "sbot/mybot", "--namespace", BOTS, "--timeout=60s"])?;
    let kinds =
        "statefulsets,pods,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    ground
        .kube
        .wait_gone(PATIENCE, &["--namespace", BOTS, kinds, "--selector=shard-operator.dev/bot=mybot"])?;
    let ledger = ground.discord().ledger()?;
    let more = |code| closes(&ledger, code) > closes(&before, code);
    ensure!(!more("1000") && !more("1001") && more("4000"), "shards close resumably: {:?}", ledger.closes);
    ground.rules_were_kept()
}
