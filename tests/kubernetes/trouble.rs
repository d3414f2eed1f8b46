//! Trouble that a person has to end: a refused token, a spent budget, a bot that burns its IDENTIFYs, pods that cannot run.
//! `kubectl describe` names cause and remedy, and Discord's rules are kept meanwhile.
//!
//! Each has a bot and a token of its own, since what Discord holds against a token stays. Deliberately absent: a lost node,
//! which is among the faults that end by themselves (`faults.rs`).

use crate::ground::{
    BLOCKED_TOKEN, BOTS, BURNING_TOKEN, Ground, PATIENCE, REFUSED_TOKEN, SPENT_TOKEN, condition, manifest,
};
use anyhow::{Context, Result, ensure};
use discord_sim::ledger::Identify;
use discord_sim::{ChangeToken, IdentifyLeadsTo, SettingsChange, Token};
use serde_json::{Value, json};
use shard_tests::until::{Seen, until};
use std::time::Instant;

/// What the token that was refused is replaced by.
const NEXT_TOKEN: &str = "MzAwMDAwMDAwMDAwMDAwMDAwMA.sim.next";

/// The breaker trips after this many failures.
const LEAST: usize = 10;
/// Those that were under way when it did: one in each bucket.
const UNDER_WAY: usize = 2;
/// The waits before the first and the second probe, in milliseconds.
const WAITS: [u64; 2] = [30_000, 60_000];
/// By so much a grant's way to Discord may differ from the next one's, in milliseconds.
const TRAVEL: u64 = 1_000;

pub fn a_refused_token(ground: &Ground) -> Result<()> {
    ground.installed()?;
    begin(ground, "refused", REFUSED_TOKEN, |_| {})?;
    ground.ready("refused")?;
    let change = ChangeToken { token: REFUSED_TOKEN.to_owned(), refused: true };
    ground.discord().control("tokens", &serde_json::to_value(change)?)?;
    ground.reason("refused", "TokenRefused")?;
    tells(ground, "refused", &["TokenRefused", "4004", "put the current one into the Secret"])?;
    let described = ground.described("refused")?;
    ensure!(!described.contains(REFUSED_TOKEN), "the token is in the description");
    let sent = identifies(ground, REFUSED_TOKEN)?.len();
    ensure!(sent == 1, "{sent} IDENTIFYs; one was enough");
    replace_token(ground)?;
    end(ground, "refused")
}

/// The next token reaches the pod that runs, whose kubelet is told.
fn replace_token(ground: &Ground) -> Result<()> {
    let before = ground.pods("refused")?;
    let change = ChangeToken { token: NEXT_TOKEN.to_owned(), refused: false };
    ground.discord().control("tokens", &serde_json::to_value(change)?)?;
    let next = json!({ "stringData": { "token": NEXT_TOKEN } }).to_string();
    let begun = Instant::now();
    ground.kube.run(&[
        "patch",
        "secret",
        "refused-token",
        "--namespace",
        BOTS,
        "--type=merge",
        "--patch",
        &next,
    ])?;
    ground.ready("refused")?;
    eprintln!("  token replaced to Ready: {:.1} s", begun.elapsed().as_secs_f64());
    ensure!(ground.pods("refused")? == before, "the pod was replaced");
    let pods =
        ["get", "pods", "--namespace", BOTS, "--selector=shard-operator.dev/bot=refused", "--output=yaml"];
    let pods = ground.kube.run(&pods)?;
    ensure!(pods.contains("shard-operator.dev/token-replaced-at"), "its kubelet was not told:\n{pods}");
    Ok(())
}

pub fn a_spent_budget(ground: &Ground) -> Result<()> {
    ground.installed()?;
    settle(
        ground,
        &SettingsChange {
            application_id: Some(Token::new(SPENT_TOKEN).application()),
            remaining: Some(0),
            ..SettingsChange::default()
        },
    )?;
    begin(ground, "spent", SPENT_TOKEN, |spec| {
        let logs = json!([{ "name": "RUST_LOG", "value": "info,shard_bot=debug" }]);
        spec["template"]["spec"]["containers"][0]["env"] = logs;
    })?;
    // Its pod has asked, and was told to ask again.
    until("the gate's answer in the pod's log", PATIENCE, || {
        let logs = ["logs", "--selector=shard-operator.dev/bot=spent", "--namespace", BOTS, "--tail=-1"];
        Ok(match ground.kube.run(&logs) {
            Ok(text) if text.contains("0 of 500 daily IDENTIFYs are left") => Seen::Yes(()),
            Ok(text) => Seen::NotYet(text),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })?;
    ground.reason("spent", "BudgetSpent")?;
    tells(
        ground,
        "spent",
        &["BudgetSpent", "the daily budget is spent", "wait until", "look for what burned them"],
    )?;
    let sent = identifies(ground, SPENT_TOKEN)?.len();
    ensure!(sent == 0, "{sent} IDENTIFYs where none was left");
    end(ground, "spent")
}

pub fn a_burning_bot(ground: &Ground) -> Result<()> {
    ground.installed()?;
    let leads_to =
        |what| settle(ground, &SettingsChange { identify_leads_to: Some(what), ..SettingsChange::default() });
    leads_to(IdentifyLeadsTo::Close)?;
    let slowed = begin(ground, "burning", BURNING_TOKEN, |spec| {
        spec["shards"] = 4.into();
        spec["shardsPerPod"] = 2.into();
    })
    .and_then(|()| is_slowed_to_probes(ground));
    leads_to(IdentifyLeadsTo::Ready)?;
    slowed?;
    let bot = ground.ready("burning")?;
    ensure!(is(&bot, "BreakerClosed", "True"), "the breaker is closed again: {}", bot["status"]);
    let sent = identifies(ground, BURNING_TOKEN)?;
    let burned = sent.iter().filter(|one| !one.accepted).count();
    // Ten burned, perhaps two more that were under way, then the probe that failed, the one that did not, and the rest.
    ensure!((LEAST + 1..=LEAST + UNDER_WAY + 1).contains(&burned), "{burned} IDENTIFYs were burned");
    ensure!(sent.len() == burned + 4, "{} IDENTIFYs, {burned} of them burned, for 4 shards", sent.len());
    for (probe, wait) in [burned - 1, burned].into_iter().zip(WAITS) {
        let waited = sent[probe].at_ms - sent[probe - 1].at_ms;
        ensure!(waited >= wait - TRAVEL, "a probe came {waited} ms after the last IDENTIFY, not {wait}");
    }
    end(ground, "burning")
}

/// An image that nobody has, then a node that nobody is, then a quota that is used up: each is quoted, and the last one gone, the
/// bot comes online.
pub fn blocked_pods(ground: &Ground) -> Result<()> {
    ground.installed()?;
    begin(ground, "blocked", BLOCKED_TOKEN, |spec| {
        spec["template"]["spec"]["containers"][0]["image"] = "shard-bot.invalid/nobody-has-this:1".into();
    })?;
    quotes(ground, "blocked", &["container bot: ", "ImagePull", "nobody-has-this"])?;
    let mut template = manifest("blocked", "")["spec"]["template"].take();
    template["spec"]["nodeSelector"] = json!({ "example.com/nobody": "has-this" });
    ground.patch("blocked", &json!({ "template": template }))?;
    quotes(ground, "blocked", &["not scheduled: ", "node affinity/selector"])?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "no-more", "namespace": BOTS },
        "spec": { "hard": { "pods": "0" } },
    });
    ground.kube.feed(&["apply", "--filename=-"], &quota.to_string())?;
    ground.patch("blocked", &json!({ "template": { "spec": { "nodeSelector": null } } }))?;
    let quoted = ground.reason("blocked", "QuotaExceeded").and_then(|told| {
        ensure!(told.contains("exceeded quota: no-more") && told.contains("runs on"), "{told}");
        // Room for one, which others have: that there will be none is not known before.
        let one = "--patch={\"spec\":{\"hard\":{\"pods\":\"1\"}}}";
        ground.kube.run(&["patch", "resourcequota/no-more", "--namespace", BOTS, "--type=merge", one])?;
        quotes(ground, "blocked", &["exceeded quota: no-more"])
    });
    ground.kube.run(&["delete", "resourcequota/no-more", "--namespace", BOTS])?;
    quoted?;
    ground.ready("blocked")?;
    let sent = identifies(ground, BLOCKED_TOKEN)?.len();
    ensure!(sent == 1, "{sent} IDENTIFYs; one was enough");
    end(ground, "blocked")
}

/// Waits until `Ready` quotes these words, and looks for them in the description.
fn quotes(ground: &Ground, name: &str, words: &[&str]) -> Result<()> {
    let what = format!("{name} to quote {words:?}");
    ground.kube.wait(&what, PATIENCE, &["--namespace", BOTS, "shardedbot", name], |bot| {
        condition(bot, "Ready").is_some_and(|one| {
            let message = one["message"].as_str().unwrap_or_default();
            one["reason"] == "PodsFailing" && words.iter().all(|words| message.contains(words))
        })
    })?;
    tells(ground, name, words)
}

/// The breaker trips, says so, and stays so while containers restart and a first probe fails.
fn is_slowed_to_probes(ground: &Ground) -> Result<()> {
    let told = ground.reason("burning", "BreakerOpen")?;
    ensure!(told.contains("did not reach READY"), "{told}");
    let bot = ground.bot("burning")?.context("the bot is gone")?;
    ensure!(is(&bot, "BreakerClosed", "False"), "{}", bot["status"]);
    tells(
        ground,
        "burning",
        &[
            "BreakerOpen",
            "only one at a time is tried",
            "look at the pods' logs",
            "correct the image or the cluster",
        ],
    )?;
    // A crash of the process gets nobody past the breaker.
    let (pod, _) = ground.pods("burning")?.into_iter().next().context("a fleet without pods")?;
    ground.kube.kill_bot(BOTS, &pod)?;
    until("the first probe", PATIENCE, || {
        let sent = identifies(ground, BURNING_TOKEN)?;
        let probed = sent.windows(2).any(|two| two[1].at_ms - two[0].at_ms >= WAITS[0] - TRAVEL);
        Ok(if probed { Seen::Yes(()) } else { Seen::NotYet(format!("{} IDENTIFYs", sent.len())) })
    })
}

fn begin(ground: &Ground, name: &str, token: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let secret = format!("{name}-token");
    ground.secret(&secret, token)?;
    let mut bot = manifest(name, &secret);
    change(&mut bot["spec"]);
    ground.kube.feed(&["apply", "--filename=-"], &bot.to_string()).map(drop)
}

/// Takes the bot away, and judges.
fn end(ground: &Ground, name: &str) -> Result<()> {
    let (bot, secret) = (format!("sbot/{name}"), format!("secret/{name}-token"));
    ground.kube.run(&["delete", &bot, &secret, "--namespace", BOTS, "--timeout=60s"])?;
    ground.rules_were_kept()
}

/// The description has all these words.
fn tells(ground: &Ground, name: &str, words: &[&str]) -> Result<()> {
    let described = ground.described(name)?;
    for words in words {
        ensure!(described.contains(words), "no word of {words:?} in\n{described}");
    }
    Ok(())
}

/// What the bot with this token sent, in order.
fn identifies(ground: &Ground, token: &str) -> Result<Vec<Identify>> {
    let bot = Token::new(token).application();
    let mut sent = ground.discord().ledger()?.identify_log;
    sent.retain(|one| one.application_id == bot);
    Ok(sent)
}

fn is(bot: &Value, type_: &str, status: &str) -> bool {
    condition(bot, type_).is_some_and(|one| one["status"] == status)
}

fn settle(ground: &Ground, change: &SettingsChange) -> Result<()> {
    ground.discord().control("settings", &serde_json::to_value(change)?).map(drop)
}
