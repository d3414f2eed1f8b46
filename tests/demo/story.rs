//! The story: install, apply, watch, ask, change. What a user types is shown as typed.
//!
//! From a bare cluster to what was told and measured on the way. Deliberately absent: the closing figures, which the
//! ledger gives.

use crate::stage::Stages;
use anyhow::{Context, Result};
use discord_sim::Ledger;
use serde_json::{Value, json};
use shard_tests::checkout::root;
use shard_tests::discord::{Discord, TOKEN, URL};
use shard_tests::grants;
use shard_tests::images::Image;
use shard_tests::kube::Kube;
use shard_tests::until::{Seen, until};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The world of the demo: guilds, the recommended shards, buckets.
const GUILDS: &str = "400";
const RECOMMENDED: &str = "8";
const CONCURRENCY: &str = "4";
/// The total after the change.
const MORE: u32 = 12;
/// The namespaces that the demo makes.
pub const NAMESPACES: [&str; 3] = ["shard-operator", "discord", "demo"];
/// The longest that anything here may take; nothing depends on it but a failure.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest that a user waits for an answer; the simulator holds a question for a minute at most.
const ANSWER: Duration = Duration::from_secs(60);

/// What was told, and measured on the way.
#[derive(Debug)]
pub struct Told {
    /// From `kubectl apply` until every shard was online.
    pub online: Duration,
    /// From the first IDENTIFY until the last READY, as Discord saw it.
    pub identifying: Duration,
    /// Shards of the first layout.
    pub shards: u32,
    /// Pods of the first layout.
    pub pods: u32,
    /// The user's command, and the answer's history.
    pub fib: (String, Vec<String>),
    /// From, to, and how long it took.
    pub reshard: (u32, u32, Duration),
    /// From the end of a pod's process until its shards had resumed.
    pub recovery: Duration,
    /// IDENTIFYs by priority, as the gate counted them.
    pub granted: BTreeMap<String, u64>,
    /// The ledger at the end.
    pub ledger: Ledger,
}

/// Tells it.
///
/// # Errors
/// The first thing that did not go as it should.
pub fn tell(kube: &Kube, images: &[Image], stages: &mut Stages) -> Result<Told> {
    let discord = stages.run("start a simulated Discord", |say| {
        say(&format!("{GUILDS} guilds, {RECOMMENDED} shards recommended, {CONCURRENCY} identifies per 5 s"));
        let settings =
            [("GUILDS", GUILDS), ("SHARDS", RECOMMENDED), ("MAX_CONCURRENCY", CONCURRENCY), ("TOKEN", TOKEN)];
        Discord::start(kube, &settings)
    })?;
    stages.run("install the operator", |say| install(kube, images, say))?;
    let online = stages.run("bring the bot online", |say| apply(kube, say))?;
    let first = discord.ledger()?;
    let bot = bot(kube)?;
    stages.run("look at its guilds", |say| {
        let mut sessions: Vec<_> = first.sessions.iter().collect();
        sessions.sort_by_key(|session| session.shard);
        for session in sessions {
            say(&format!("shard {:>2} of {}: {:>3} guilds", session.shard, session.total, session.guilds));
        }
        Ok(())
    })?;
    let fib = stages.run("let a user ask for CPU work", |say| ask(discord, say))?;
    let recovery = stages.run("kill a pod's process", |say| recover(kube, discord, say))?;
    let from = number(&bot["status"]["shards"])?;
    let reshard = stages.run("change the number of shards", |say| reshard(kube, from, say))?;
    let identifying =
        first.last_ready_at_ms.zip(first.first_identify_at_ms).map_or(0, |(last, first)| last - first);
    Ok(Told {
        online,
        identifying: Duration::from_millis(identifying),
        shards: from,
        pods: number(&bot["status"]["pods"])?,
        fib,
        reshard,
        recovery,
        granted: granted(kube)?,
        ledger: discord.ledger()?,
    })
}

fn install(kube: &Kube, images: &[Image], say: &mut dyn FnMut(&str)) -> Result<()> {
    let api = format!("discord.api={URL}");
    let command = [
        "install",
        "shard-operator",
        "charts/",
        "--namespace",
        "shard-operator",
        "--create-namespace",
        "--wait",
        "--set",
        &api,
    ];
    say(&format!("$ helm {}", command.join(" ")));
    for image in images {
        say(&format!("image {}", image.name));
    }
    kube.helm_run(root(), &command)?;
    Ok(())
}

fn apply(kube: &Kube, say: &mut dyn FnMut(&str)) -> Result<Duration> {
    say("$ kubectl create namespace demo");
    kube.run(&["create", "namespace", "demo"])?;
    say("$ kubectl create secret generic mybot-token --namespace demo --from-literal=token=...");
    let token = format!("--from-literal=token={TOKEN}");
    kube.run(&["create", "secret", "generic", "mybot-token", "--namespace=demo", &token])?;
    say("$ kubectl apply -f bot/mybot.yaml --namespace demo");
    let file = root().join("bot/mybot.yaml");
    let began = Instant::now();
    kube.run(&["apply", "--namespace=demo", "--filename", &file.to_string_lossy()])?;
    watch(kube, say)?;
    Ok(began.elapsed())
}

/// Shows the table of `kubectl get shardedbots` whenever it changes, until the bot is Ready.
fn watch(kube: &Kube, say: &mut dyn FnMut(&str)) -> Result<()> {
    say("$ kubectl get shardedbots --namespace demo --watch");
    let mut shown = String::new();
    until("the bot to be Ready", PATIENCE, || {
        // Asked before the table, so that the last row shown is the one with READY True.
        let bot = bot(kube)?;
        let table = kube.run(&["get", "shardedbots", "mybot", "--namespace=demo"])?;
        let mut lines = table.lines();
        let (head, row) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        // The last column is the age, which changes by itself.
        let columns: Vec<_> = row.split_whitespace().collect();
        let story = columns[..columns.len().saturating_sub(1)].join(" ");
        if story != shown {
            if shown.is_empty() {
                say(head);
            }
            say(row);
            shown = story;
        }
        Ok(if is_ready(&bot) { Seen::Yes(()) } else { Seen::NotYet(bot["status"]["conditions"].to_string()) })
    })
}

/// Ready, and of the generation that was asked for.
fn is_ready(bot: &Value) -> bool {
    let conditions = bot["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|one| {
        one["type"] == "Ready"
            && one["status"] == "True"
            && one["observedGeneration"] == bot["metadata"]["generation"]
    })
}

fn ask(discord: Discord<'_>, say: &mut dyn FnMut(&str)) -> Result<(String, Vec<String>)> {
    let mut told = Vec::new();
    for (question, expected) in [("!ping", "ong"), ("!shards", "shard"), ("!fib 30", "832040")] {
        let answers = discord.ask(&json!({ "content": question }), expected, ANSWER)?;
        say(&format!("user: {question}"));
        for line in answers.iter().flat_map(|answer| answer.lines()) {
            say(&format!("bot:  {line}"));
        }
        told = answers;
    }
    Ok(("!fib 30".to_owned(), told))
}

/// Kills one pod's process and waits until its shards have resumed: no IDENTIFY, nothing lost.
fn recover(kube: &Kube, discord: Discord<'_>, say: &mut dyn FnMut(&str)) -> Result<Duration> {
    let pod = "mybot-1-0";
    let connected = |ledger: &Ledger| ledger.sessions.iter().filter(|session| session.connected).count();
    let before = discord.ledger()?;
    say(&format!("$ kill -9 (the bot of pod {pod})"));
    let began = Instant::now();
    kube.kill_bot("demo", pod)?;
    until("the killed pod's shards to resume", PATIENCE, || {
        let now = discord.ledger()?;
        Ok(if now.resumes > before.resumes && connected(&now) == connected(&before) {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("{} connected", connected(&now)))
        })
    })?;
    let took = began.elapsed();
    let after = discord.ledger()?;
    say(&format!(
        "{} shards resumed after {:.1} s, {} IDENTIFYs",
        after.resumes - before.resumes,
        took.as_secs_f64(),
        after.identifies - before.identifies
    ));
    watch(kube, say)?;
    Ok(took)
}

/// IDENTIFYs by priority, from the metrics of both replicas; the one that does not lead has granted none.
fn granted(kube: &Kube) -> Result<BTreeMap<String, u64>> {
    let pods = kube.run(&[
        "get",
        "pods",
        "--namespace=shard-operator",
        "--output=jsonpath={.items[*].metadata.name}",
    ])?;
    let mut granted = BTreeMap::new();
    for pod in pods.split_whitespace() {
        let path = format!("/api/v1/namespaces/shard-operator/pods/{pod}:8081/proxy/metrics");
        for (priority, count) in grants::by_priority(&kube.run(&["get", "--raw", &path])?)? {
            *granted.entry(priority).or_insert(0) += count;
        }
    }
    granted.retain(|_, count| *count > 0);
    Ok(granted)
}

fn reshard(kube: &Kube, from: u32, say: &mut dyn FnMut(&str)) -> Result<(u32, u32, Duration)> {
    let patch = format!("--patch={{\"spec\":{{\"shards\":{MORE}}}}}");
    say(&format!(
        "$ kubectl patch shardedbot mybot --namespace demo --type merge {}",
        patch.replace("--patch=", "-p ")
    ));
    let began = Instant::now();
    kube.run(&["patch", "shardedbot", "mybot", "--namespace=demo", "--type=merge", &patch])?;
    watch(kube, say)?;
    Ok((from, MORE, began.elapsed()))
}

fn bot(kube: &Kube) -> Result<Value> {
    kube.get(&["shardedbot", "mybot", "--namespace=demo"])?.context("the bot is gone")
}

fn number(value: &Value) -> Result<u32> {
    value
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .with_context(|| format!("expected a number, found {value}"))
}

/// What to type while everything is left running.
#[must_use]
pub fn how_to_use(kube: &Kube) -> String {
    let (reach, end) = match kube {
        Kube::Embedded(_) => ("eval \"$(cargo cluster env --name demo)\"", "cargo cluster down --name demo"),
        Kube::Users(_) => (
            "",
            "helm uninstall shard-operator -n shard-operator; kubectl delete namespace demo discord shard-operator; kubectl delete crd shardedbots.shard-operator.dev",
        ),
    };
    format!(
        "
Everything is still running.

  {reach}
  kubectl get shardedbots -n demo
  kubectl describe shardedbot mybot -n demo
  kubectl scale shardedbot mybot -n demo --replicas=6
  kubectl get --raw /api/v1/namespaces/discord/services/discord:8090/proxy/ledger
  {end}
"
    )
}
