//! What a user gets wrong, and what they are told.

use crate::ground::{BOTS, Ground, OTHER_TOKEN, condition, manifest};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use shard_tests::discord::TOKEN;

/// What makes a fine manifest a bad one.
type Spoil = fn(&mut Value);

pub fn bad_specs_are_refused(ground: &Ground) -> Result<()> {
    ground.installed()?;
    let table: [(&str, Spoil, &str); 13] = [
        (
            "a long name",
            |bot| bot["metadata"]["name"] = "a".repeat(41).into(),
            "metadata.name: at most 40 characters",
        ),
        (
            "a name with a dot",
            |bot| bot["metadata"]["name"] = "my.bot".into(),
            "metadata.name: lower-case letters",
        ),
        (
            "a name with a digit first",
            |bot| bot["metadata"]["name"] = "1bot".into(),
            "beginning with a letter",
        ),
        ("too many shards", |bot| bot["spec"]["shards"] = 16_385.into(), "spec.shards"),
        ("fewer than none", |bot| bot["spec"]["shards"] = (-1).into(), "spec.shards"),
        (
            "not a multiple",
            |bot| {
                bot["spec"]["shards"] = 8.into();
                bot["spec"]["shardMultiple"] = 16.into();
            },
            "spec.shards: not a multiple of spec.shardMultiple",
        ),
        ("no shards in a pod", |bot| bot["spec"]["shardsPerPod"] = 0.into(), "spec.shardsPerPod"),
        (
            "bounds the wrong way",
            |bot| bot["spec"]["follow"] = json!({ "minShards": 9, "maxShards": 3 }),
            "minShards is above maxShards",
        ),
        (
            "no multiple between the bounds",
            |bot| {
                bot["spec"].as_object_mut().map(|spec| spec.remove("shards"));
                bot["spec"]["shardMultiple"] = 16.into();
                bot["spec"]["follow"] = json!({ "minShards": 17, "maxShards": 20 });
            },
            "no multiple of spec.shardMultiple",
        ),
        (
            "a reserve of everything",
            |bot| bot["spec"]["identify"] = json!({ "reservePercent": 100 }),
            "reservePercent",
        ),
        (
            "another update type",
            |bot| bot["spec"]["update"] = json!({ "type": "Rolling" }),
            "spec.update.type",
        ),
        (
            "which is the bot?",
            |bot| {
                bot["spec"]["template"]["spec"]["containers"] = json!([{ "name": "a" }, { "name": "b" }]);
            },
            "which one is the bot?",
        ),
        (
            "pods that end",
            |bot| bot["spec"]["template"]["spec"]["restartPolicy"] = "Never".into(),
            "restartPolicy",
        ),
    ];
    for (name, spoil, told) in table {
        let mut bot = manifest("bad", "token");
        spoil(&mut bot);
        let refusal = ground.kube.feed(&["create", "--dry-run=server", "--filename=-"], &bot.to_string());
        let refusal = refusal.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(refusal.contains(told), "{name}: expected {told:?}, was told {refusal:?}");
    }
    let fine = manifest("fine", "token");
    ground
        .kube
        .feed(&["create", "--dry-run=server", "--filename=-"], &fine.to_string())
        .context("a fine spec")?;
    Ok(())
}

pub fn tokens(ground: &Ground) -> Result<()> {
    ground.online()?;
    let asked = calls(ground, 401)?;
    ground.kube.feed(&["apply", "--filename=-"], &manifest("other", "other-token").to_string())?;
    let told = ground.reason("other", "SecretMissing")?;
    ensure!(
        told.contains("spec.tokenSecretRef.name") && told.contains("create secret generic other-token"),
        "{told}"
    );
    ground.kube.run(&[
        "create",
        "secret",
        "generic",
        "other-token",
        "--namespace",
        BOTS,
        "--from-literal=password=x",
    ])?;
    let told = ground.reason("other", "TokenKeyMissing")?;
    ensure!(told.contains("spec.tokenSecretRef.key") && told.contains("password"), "{told}");
    put_token(ground, "wrong.token.here")?;
    let told = ground.reason("other", "TokenRefused")?;
    ensure!(told.contains("401") && !told.contains("wrong.token.here"), "{told}");
    put_token(ground, TOKEN)?;
    let told = ground.reason("other", "TokenInUse")?;
    ensure!(told.contains(&format!("{BOTS}/mybot")), "{told}");
    let bot = ground.bot("other")?.context("the bot is gone")?;
    ensure!(condition(&bot, "Stalled").is_some_and(|one| one["status"] == "True"), "Stalled is not True");
    ensure!(ground.pods("other")?.is_empty(), "pods were started without a token of their own");
    put_token(ground, OTHER_TOKEN)?;
    ground.ready("other")?;
    let refused = calls(ground, 401)? - asked;
    ensure!(refused <= 4, "{refused} refused calls to Discord are a storm");
    let events = [
        "get",
        "events",
        "--namespace",
        BOTS,
        "--field-selector=type=Warning",
        "--output=jsonpath={.items[*].reason}",
    ];
    let events = ground.kube.run(&events)?;
    for reason in ["SecretMissing", "TokenKeyMissing", "TokenRefused", "TokenInUse"] {
        ensure!(events.contains(reason), "no event {reason} in {events}");
    }
    ground.kube.run(&["delete", "sbot/other", "secret/other-token", "--namespace", BOTS])?;
    ground.rules_were_kept()
}

pub fn a_refused_template(ground: &Ground) -> Result<()> {
    ground.online()?;
    let before = ground.pods("mybot")?;
    let template = ground.bot("mybot")?.context("the bot is gone")?["spec"]["template"].clone();
    let mut typo = template.clone();
    typo["spec"]["terminationGraceSeconds"] = 5.into();
    ground.patch("mybot", &json!({ "template": typo }))?;
    let told = ground.reason("mybot", "TemplateRefused")?;
    ensure!(told.contains("spec.template") && told.contains("terminationGraceSeconds"), "{told}");
    let bot = ground.bot("mybot")?.context("the bot is gone")?;
    ensure!(
        condition(&bot, "Available").is_some_and(|one| one["status"] == "True"),
        "the fleet runs on: {}",
        bot["status"]
    );
    ensure!(ground.pods("mybot")? == before, "a refused template touched pods");
    let put_back = json!([{ "op": "replace", "path": "/spec/template", "value": template }]);
    let patch = format!("--patch={put_back}");
    ground.kube.run(&["patch", "sbot", "mybot", "--namespace", BOTS, "--type=json", &patch])?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == before, "putting the template back touched pods");
    Ok(())
}

/// The operator uses the right to create pods in dry runs alone; an administrator may take it away.
pub fn without_the_right_to_try(ground: &Ground) -> Result<()> {
    ground.online()?;
    let role = ["clusterrole", "shard-operator-shard-operator"];
    let mut role = ground.kube.get(&role)?.context("the chart's ClusterRole is gone")?;
    if let Some(metadata) = role["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let mut less = role.clone();
    for rule in less["rules"].as_array_mut().into_iter().flatten() {
        if rule["resources"] == json!(["pods"])
            && let Some(verbs) = rule["verbs"].as_array_mut()
        {
            verbs.retain(|verb| verb != "create");
        }
    }
    ensure!(less != role, "the chart gives no right to create pods: {}", role["rules"]);
    let write = |role: &Value| ground.kube.feed(&["replace", "--filename=-"], &role.to_string());
    write(&less)?;
    let outcome = pods_that_nobody_tried(ground);
    write(&role)?;
    outcome?;
    ground.rules_were_kept()
}

fn pods_that_nobody_tried(ground: &Ground) -> Result<()> {
    let (before, identifies) = (ground.pods("mybot")?, ground.discord().ledger()?.identifies);
    let template = |fields: Value| ground.patch("mybot", &json!({ "template": { "spec": fields } }));
    template(json!({ "priorityClassName": "no-such-class" }))?;
    let told = ground.reason("mybot", "PodsFailing")?;
    ensure!(told.contains("runs on") && told.contains("no-such-class"), "{told}");
    ensure!(ground.pods("mybot")? == before, "pods were replaced by none");
    template(json!({ "priorityClassName": null }))?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == before, "putting the template back touched pods");
    let spent = ground.discord().ledger()?.identifies - identifies;
    ensure!(spent == 0, "{spent} IDENTIFYs for a change that came to nothing");
    template(json!({ "terminationGracePeriodSeconds": 31 }))?;
    ground.ready("mybot")?;
    let after = ground.pods("mybot")?;
    ensure!(after.len() == before.len() && after.iter().all(|pod| !before.contains(pod)), "{after:?}");
    template(json!({ "terminationGracePeriodSeconds": null }))?;
    ground.ready("mybot")?;
    Ok(())
}

fn put_token(ground: &Ground, token: &str) -> Result<()> {
    let patch = format!("--patch={}", json!({ "stringData": { "token": token } }));
    ground
        .kube
        .run(&["patch", "secret", "other-token", "--namespace", BOTS, "--type=merge", &patch])
        .map(drop)
}

/// Calls that Discord answered with this status.
fn calls(ground: &Ground, status: u16) -> Result<u64> {
    let ledger = ground.discord().ledger()?;
    Ok(ledger.rest.iter().filter(|call| call.status == status).map(|call| call.count).sum())
}
