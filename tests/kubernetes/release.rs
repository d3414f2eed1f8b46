//! The chart as its users meet it: lint, values, install, upgrade, uninstall.

use crate::ground::{BOTS, Ground, PATIENCE, condition};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shard_tests::checkout::root;
use shard_tests::discord::URL;

pub fn the_chart_is_clean(ground: &Ground) -> Result<()> {
    let lint = ground.kube.helm_run(root(), &["lint", "--strict", "charts/"])?;
    ensure!(lint.contains("0 chart(s) failed"), "{lint}");
    // Without a cluster, as a user renders it.
    let plain = ["template", "x", "charts/"];
    ensure!(ground.kube.helm_run(root(), &plain)?.contains("kind: Deployment"), "nothing was rendered");
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
    labels_and_contexts(ground)?;
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

/// Values that a parent chart, OpenShift or a company's labels bring.
fn labels_and_contexts(ground: &Ground) -> Result<()> {
    let values = "enabled=true,commonLabels.app\\.kubernetes\\.io/managed-by=me,commonLabels.team=a,podLabels.team=b,\
        podLabels.app\\.kubernetes\\.io/name=other,podSecurityContext.runAsUser=null,dnsPolicy=Default,\
        service.ipFamilyPolicy=PreferDualStack";
    let asked = ["template", "x", "charts/", "--kube-version=1.37.2", "--set", values];
    let text = ground.kube.helm_run(root(), &asked)?;
    let mut deployment = Value::Null;
    for document in text.split("\n---\n") {
        // A key that stands twice is an error here, as it is to whoever applies it on the server.
        let object: Value = serde_saphyr::from_str(document).with_context(|| document.to_owned())?;
        if object["kind"] == "Deployment" {
            deployment = object;
        }
    }
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    ensure!(labels["app.kubernetes.io/managed-by"] == "me" && labels["team"] == "b", "{labels}");
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    ensure!(labels["app.kubernetes.io/name"] == selector["app.kubernetes.io/name"], "{labels} {selector}");
    let pod = &deployment["spec"]["template"]["spec"];
    let context = &pod["securityContext"];
    ensure!(context.get("runAsUser").is_none() && context["runAsNonRoot"] == true, "{context}");
    ensure!(pod["dnsPolicy"] == "Default", "{pod}");
    Ok(())
}

pub fn autoscalers_are_refused(ground: &Ground) -> Result<()> {
    ground.installed()?;
    let autoscaler = |kind: &str, version: &str| {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "by-load", "namespace": BOTS },
            "spec": { "scaleTargetRef": { "kind": kind, "name": "mybot", "apiVersion": version }, "minReplicas": 4, "maxReplicas": 10 },
        })
    };
    let apply = |object: Value| ground.kube.feed(&["apply", "--filename=-"], &object.to_string());
    let refused = apply(autoscaler("ShardedBot", "shard-operator.dev/v1alpha1"));
    let said = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("a ShardedBot is not scaled by load") && said.contains("follow Discord"), "{said}");
    apply(autoscaler("Deployment", "apps/v1"))?;
    ground.kube.run(&["delete", "hpa/by-load", "--namespace", BOTS]).map(drop)
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
    let mut gone = upgrade.to_vec();
    let watched = format!("--set=watchNamespaces={{{BOTS},gone}}");
    gone.extend([watched.as_str(), "--dry-run=server"]);
    let text = ground.kube.helm_run(root(), &gone)?;
    ensure!(
        text.contains(&format!("namespace: {BOTS}\n")) && !text.contains("namespace: gone\n"),
        "an upgrade would ask for rights in a namespace that is gone: {text}"
    );
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
    // Another installation waits until the one before has not been heard for a minute.
    ground.kube.wait(
        "the pods to be told the new address",
        PATIENCE,
        &["--namespace", BOTS, "configmap", "mybot-layouts"],
        |map| map["data"]["layouts.json"].as_str().is_some_and(|told| told.contains("elsewhere.svc")),
    )?;
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

/// Whoever installed with Helm 3 goes on with Helm 4, and back.
pub fn one_helm_after_the_other(ground: &Ground) -> Result<()> {
    ground.online()?;
    let before = ground.pods("mybot")?;
    let api = format!("--set=discord.api={URL}");
    let release = |verb: &'static str, more: &[&'static str]| {
        let mut words = vec![verb, "shard-operator"];
        words.extend(more);
        words.extend(["--namespace=shard-operator", "--wait"]);
        words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let run = |helm3: bool, words: Vec<String>, installs: bool| -> Result<()> {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(installs.then_some(api.as_str()));
        let said =
            if helm3 { ground.kube.helm3_run(root(), &words) } else { ground.kube.helm_run(root(), &words) };
        let version = if helm3 { 3 } else { 4 };
        said.with_context(|| format!("Helm {version}: {}", words.join(" ")))?;
        ensure!(ground.pods("mybot")? == before, "Helm {version}: {}: pods were replaced", words.join(" "));
        Ok(())
    };
    run(false, release("uninstall", &[]), false)?;
    run(true, release("install", &["charts/", "--set=logLevel=debug"]), true)?;
    run(false, release("upgrade", &["charts/"]), true)?;
    run(false, release("rollback", &["1"]), false)?;
    run(true, release("upgrade", &["charts/"]), true)?;
    run(true, release("rollback", &["2"]), false)?;
    run(true, release("uninstall", &[]), false)?;
    // What Helm 4 installs it applies on the server's side, with owners of fields, of whom Helm 3 knows nothing.
    run(false, release("install", &["charts/"]), true)?;
    run(true, release("upgrade", &["charts/"]), true)?;
    run(false, release("upgrade", &["charts/"]), true)?;
    // Without a cluster it goes by the version of Kubernetes that it was built for.
    ground.kube.helm3_run(root(), &["template", "x", "charts/"])?;
    ground.ready("mybot")?;
    ground.rules_were_kept()
}
