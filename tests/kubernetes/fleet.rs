//! A fleet's life: online, answering, scaled, changed, a pod killed.

use crate::ground::{BOTS, Ground, PATIENCE, connected, manifest};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(60);

pub fn the_example_comes_online(ground: &Ground) -> Result<()> {
    let bot = ground.online()?;
    let status = &bot["status"];
    ensure!(status["shards"] == status["recommendedShards"], "it follows Discord: {status}");
    ensure!(status["readyShards"] == status["shards"] && status["guilds"] == 60, "{status}");
    let ledger = ground.discord().ledger()?;
    let total = status["shards"].as_u64().context("no shards in the status")?;
    ensure!(ledger.identifies == total, "{} IDENTIFYs for {total} shards", ledger.identifies);
    let connected = connected(&ledger);
    ensure!(connected == total, "{connected} of {total} sessions are connected");
    let left = status["identifies"]["remaining"].as_u64();
    ensure!(
        left == Some(u64::from(ledger.budget.remaining)),
        "status says {left:?} are left, Discord {}",
        ledger.budget.remaining
    );
    ground.rules_were_kept()
}

pub fn a_user_is_answered(ground: &Ground) -> Result<()> {
    let bot = ground.online()?;
    let total = bot["status"]["shards"].as_u64().context("no shards in the status")?;
    for shard in 0..total {
        let place = json!({ "id": shard, "total": total });
        ground.discord().ask(&json!({ "content": "!ping", "shard": place }), "ong", ANSWER)?;
    }
    let fib = ground.discord().ask(&json!({ "content": "!fib 30" }), "832040", ANSWER)?;
    ensure!(
        fib.len() == 2 && fib[0].contains("alculating"),
        "first that it computes, then the result: {fib:?}"
    );
    let bad = ground.discord().ask(&json!({ "content": "!fib many" }), "many", ANSWER)?;
    ensure!(bad[0].contains("fib"), "bad input is answered by name: {bad:?}");
    let shards = ground.discord().ask(&json!({ "content": "!shards" }), "hard", ANSWER)?;
    ensure!(shards[0].contains("15 guild"), "guilds per shard: {shards:?}");
    ground.rules_were_kept()
}

pub fn kubectl_knows_the_resource(ground: &Ground) -> Result<()> {
    let bot = ground.online()?;
    let explained = ground.kube.run(&["explain", "sbot.spec"])?;
    for field in
        ["tokenSecretRef", "shards", "shardsPerPod", "follow", "update", "identify", "paused", "template"]
    {
        ensure!(explained.contains(field), "{field} is not explained");
    }
    let table = ground.kube.run(&["get", "sbot", "--namespace", BOTS])?;
    let head = table.lines().next().unwrap_or_default();
    for column in ["SHARDS", "ONLINE", "PODS", "GUILDS", "RECOMMENDED", "AVAILABLE", "READY", "REASON", "AGE"]
    {
        ensure!(head.contains(column), "{column} is not in {head}");
    }
    let wait = ["wait", "shardedbot/mybot", "--namespace", BOTS, "--for=condition=Ready", "--timeout=60s"];
    ensure!(ground.kube.run(&wait)?.contains("condition met"), "kubectl wait");
    let described = ground.kube.run(&["describe", "sbot", "mybot", "--namespace", BOTS])?;
    ensure!(
        described.contains("Online") && described.contains("shard-operator"),
        "no events in\n{described}"
    );
    ensure!(!described.contains(shard_tests::discord::TOKEN), "the token is in the description");
    ensure!(bot["status"]["observedGeneration"] == bot["metadata"]["generation"], "observedGeneration");
    Ok(())
}

/// What becomes of a scaled number when the file is applied again, which README tells.
pub fn a_scaled_number(ground: &Ground) -> Result<()> {
    const CLIENT: &[&str] = &["apply", "--filename=-"];
    const SERVER: &[&str] = &["apply", "--server-side", "--filename=-"];
    ground.installed()?;
    let apply = |how: &[&str], shards: &Value| {
        let mut file = manifest("scaled", "no-such-token");
        file["spec"]["shards"] = shards.clone();
        if shards.is_null() {
            file["spec"].as_object_mut().context("no spec")?.remove("shards");
        }
        ground.kube.feed(how, &file.to_string())
    };
    let (none, four, seven) = (Value::Null, json!(4), json!(7));
    // How it is applied, with how many shards before the scaling to 7 and after it, and what they are then; none: refused.
    let cases = [
        (CLIENT, &four, &four, Some(&four)),
        (CLIENT, &none, &none, Some(&seven)),
        (CLIENT, &four, &none, Some(&none)),
        (SERVER, &four, &four, None),
        (SERVER, &four, &seven, Some(&seven)),
        (SERVER, &four, &none, Some(&seven)),
        (SERVER, &none, &four, Some(&four)),
        (SERVER, &none, &none, Some(&seven)),
    ];
    for (how, before, after, becomes) in cases {
        let case = format!("{how:?} {before} then {after}");
        apply(how, before)?;
        ground.kube.run(&["scale", "sbot", "scaled", "--namespace", BOTS, "--replicas=7"])?;
        match (apply(how, after), becomes) {
            (Ok(_), Some(becomes)) => {
                let bot = ground.bot("scaled")?.context("the bot is gone")?;
                ensure!(bot["spec"]["shards"] == *becomes, "{case}: {}", bot["spec"]["shards"]);
            }
            (Ok(_), None) => bail!("{case}: it was not refused"),
            (Err(error), Some(_)) => return Err(error.context(case)),
            (Err(error), None) => {
                let told = format!("{error:#}");
                ensure!(told.contains("conflict") && told.contains(".spec.shards"), "{case}: {told}");
            }
        }
        ground.kube.run(&["delete", "sbot/scaled", "--namespace", BOTS, "--timeout=60s"])?;
    }
    Ok(())
}

pub fn another_total(ground: &Ground) -> Result<()> {
    let before = ground.online()?;
    let identified = ground.discord().ledger()?.identifies;
    ground.kube.run(&["scale", "sbot", "mybot", "--namespace", BOTS, "--replicas=6"])?;
    let after = ground.ready("mybot")?;
    ensure!(after["status"]["shards"] == 6 && after["status"]["pods"] == 2, "{}", after["status"]);
    let number = |bot: &Value| bot["status"]["layouts"][0]["number"].as_u64();
    ensure!(number(&after) == number(&before).map(|number| number + 1), "the layout's number rises by one");
    let ledger = ground.discord().ledger()?;
    ensure!(ledger.identifies == identified + 6, "{} IDENTIFYs for 6 shards", ledger.identifies - identified);
    let told =
        ground.kube.run(&["get", "events", "--namespace", BOTS, "--output=jsonpath={.items[*].message}"])?;
    ensure!(told.contains("Handover is not there yet"), "the events do not say how it was done: {told}");
    ground.discord().ask(&json!({ "content": "!ping", "shard": { "id": 5, "total": 6 } }), "ong", ANSWER)?;
    ground.rules_were_kept()
}

pub fn another_template(ground: &Ground) -> Result<()> {
    ground.online()?;
    let before = ground.pods("mybot")?;
    ground.patch("mybot", &json!({ "identify": { "reservePercent": 30 } }))?;
    ground.ready("mybot")?;
    ensure!(ground.pods("mybot")? == before, "another reserve replaced pods");
    ground.patch("mybot", &json!({ "restartedAt": "2026-01-01T00:00:00Z" }))?;
    ground.ready("mybot")?;
    let after = ground.pods("mybot")?;
    ensure!(
        after.len() == before.len() && after.iter().all(|pod| !before.contains(pod)),
        "{before:?} then {after:?}"
    );
    ground.rules_were_kept()
}

pub fn a_killed_pod(ground: &Ground) -> Result<()> {
    let bot = ground.online()?;
    let (name, uid) = ground.pods("mybot")?.into_iter().next().context("a fleet without pods")?;
    ground.kube.run(&["delete", "pod", &name, "--namespace", BOTS, "--grace-period=0", "--force"])?;
    ground.kube.wait("another pod of that name", PATIENCE, &["--namespace", BOTS, "pod", &name], |pod| {
        pod["metadata"]["uid"] != uid.as_str()
    })?;
    let selector = ["wait", "pod", &name, "--namespace", BOTS, "--for=condition=Ready", "--timeout=120s"];
    ground.kube.run(&selector)?;
    let after = ground.ready("mybot")?;
    ensure!(after["status"]["readyShards"] == bot["status"]["shards"], "{}", after["status"]);
    ground.rules_were_kept()
}
