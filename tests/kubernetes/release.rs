//! The chart as its users meet it: lint, values, install, upgrade, uninstall.

use crate::ground::{BOTS, Ground, PATIENCE, condition};
use anyhow::{Result, ensure};
use shard_tests::checkout::root;
use shard_tests::discord::URL;

pub fn the_chart_is_clean(ground: &Ground) -> Result<()> {
    let lint = ground.kube.helm_run(root(), &["lint", "--strict", "charts/"])?;
    ensure!(lint.contains("0 chart(s) failed"), "{lint}");
    for (value, named) in [
        ("concurrency=0", "concurrency"),
        ("discord.api=discord.com", "api"),
        ("replicas=0", "replicas"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("watchNamespaces={Not A Name}", "watchNamespaces"),
    ] {
        let error = ground
            .kube
            .helm_run(root(), &["template", "x", "charts/", "--kube-version=1.37.2", "--set", value]);
        let error = error.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains(named), "{value} was not refused by name: {error}");
    }
    let narrow = ["template", "x", "charts/", "--kube-version=1.37.2", "--set", "watchNamespaces={a,b}"];
    let text = ground.kube.helm_run(root(), &narrow)?;
    let (reviews, rest) = text.split_once("kind: ClusterRole\n").unwrap_or_default();
    ensure!(!reviews.contains("secrets"), "Secrets are readable everywhere although namespaces are named");
    let role = rest.split("kind: ClusterRoleBinding").next().unwrap_or_default();
    ensure!(!role.contains("secrets"), "the ClusterRole reads Secrets although namespaces are named");
    ensure!(
        text.matches("\nkind: Role\n").count() == 3,
        "one Role for each namespace, and one for the lease"
    );
    Ok(())
}

pub fn the_chart_installs(ground: &Ground) -> Result<()> {
    ground.installed()?;
    let pods = ground.kube.run(&["get", "pods", "--namespace=shard-operator", "--output=name"])?;
    ensure!(pods.lines().count() == 2, "one that leads and one that stands by: {pods}");
    let definition = ground.kube.run(&["get", "crd", "shardedbots.shard-operator.dev", "--output=name"])?;
    ensure!(definition.contains("shardedbots"), "{definition}");
    Ok(())
}

pub fn upgrade_and_uninstall(ground: &Ground) -> Result<()> {
    ground.online()?;
    let before = ground.pods("mybot")?;
    let api = format!("discord.api={URL}");
    let upgrade = [
        "upgrade",
        "shard-operator",
        "charts/",
        "--namespace=shard-operator",
        "--wait",
        "--set",
        &api,
        "--set=logLevel=debug",
    ];
    ground.kube.helm_run(root(), &upgrade)?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == before, "an upgrade of the operator replaced pods");
    ground.kube.helm_run(root(), &["uninstall", "shard-operator", "--namespace=shard-operator", "--wait"])?;
    ensure!(ground.pods("mybot")? == before, "the end of the operator ended pods");
    let answer = ground.discord().ask(
        &serde_json::json!({ "content": "!ping" }),
        "ong",
        std::time::Duration::from_secs(30),
    )?;
    ensure!(!answer.is_empty(), "the bot answers without its operator");
    let elsewhere = [
        "install",
        "again",
        "charts/",
        "--namespace=elsewhere",
        "--create-namespace",
        "--wait",
        "--take-ownership",
        "--set",
        &api,
    ];
    ground.kube.helm_run(root(), &elsewhere)?;
    // The pods find the gate at its new address: a report reaches it, so every shard is counted again.
    ground.kube.wait(
        "the new operator to see the fleet",
        PATIENCE,
        &["--namespace", BOTS, "shardedbot", "mybot"],
        |bot| {
            condition(bot, "Ready").is_some_and(|one| one["status"] == "True")
                && bot["status"]["readyShards"] == bot["status"]["shards"]
        },
    )?;
    let map =
        ground.kube.run(&["get", "configmap", "mybot-layouts", "--namespace", BOTS, "--output=yaml"])?;
    ensure!(map.contains("elsewhere.svc"), "the pods were not told the new address: {map}");
    ensure!(ground.pods("mybot")? == before, "another installation replaced pods");
    ground.kube.helm_run(root(), &["uninstall", "again", "--namespace=elsewhere", "--wait"])?;
    ground.kube.helm_run(
        root(),
        &[
            "upgrade",
            "--install",
            "shard-operator",
            "charts/",
            "--namespace=shard-operator",
            "--wait",
            "--take-ownership",
            "--set",
            &api,
        ],
    )?;
    ground.rules_were_kept()
}
