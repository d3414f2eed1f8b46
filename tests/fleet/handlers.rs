//! Handlers and jobs that panic or never end, and more events and jobs than a pod can do.

use anyhow::{Context, Result, ensure};
use discord_sim::{Discord, MadeMessage, NewMessage, ReplyWait, ShardOf};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use shard_contract::env::HEALTH_PORT;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::judge::Judge;
use shard_tests::fleet::schedule::{SMALL, Shape};
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{BOT, Fleet, PATIENCE};
use std::sync::{Mutex, PoisonError};

/// What the metrics of the pod say then.
const COUNTED: [&str; 3] = [
    "shard_bot_commands_total{command=\"panic\",outcome=\"panic\"} 1",
    "shard_bot_commands_total{command=\"panic\",outcome=\"error\"} 1",
    "shard_bot_jobs_panicked_total 1",
];

pub fn panic(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("panics", &SMALL, Way::Straight, async |fleet| {
        let in_handler = ask(fleet, "!panic").await?;
        let in_job = ask(fleet, "!panic job").await?;
        let pod = fleet.kubelet.pods().remove(0);
        counted(fleet, &pod).await?;
        ensure!(fleet.kubelet.restarts() == 0 && fleet.ledger().resumes == 0, "a panic went too far");
        // What is done is not done again: the next process finds nothing that was only begun.
        fleet.kubelet.kill(&pod);
        fleet.resumes(2).await?;
        fleet.talk(20.0)?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        for message in [in_handler, in_job] {
            let replies = fleet.discord.replies(message.message_id, ReplyWait::default()).await?;
            ensure!(replies.len() == 1, "{replies:?}");
        }
        let redelivered = fleet.ledger().events.doubled_marked;
        ensure!(redelivered == 0, "{redelivered} messages were handled again");
        fleet.no_more_identifies(4)
    })
}

/// More jobs than wait in a queue and run at a time (64 and as many as there are CPUs), each of some seconds.
const JOBS: usize = 100;

pub fn overload(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("overload", &SMALL, Way::Straight, async |fleet| {
        let discord = &fleet.discord;
        fleet.talk(20.0)?;
        let shard = ShardOf { id: 0, total: SMALL.shards };
        let job = NewMessage { content: "!fib 37".to_owned(), ..NewMessage::default() };
        let asked = write(discord, JOBS, shard, &job)?;
        let pod = fleet.kubelet.pods().remove(0);
        says(fleet, &pod, "jobs to be refused", |text| value(text, "shard_bot_jobs_refused_total") > 0)
            .await?;
        // Others are answered meanwhile, by the same pod too.
        fleet.answers(20).await?;
        let told = told(fleet, &asked).await?;
        ensure!(told.0 >= 64 && told.1 > 0, "{} were done and {} refused", told.0, told.1);
        let done =
            |text: &str| value(text, "shard_bot_jobs_queued") + value(text, "shard_bot_jobs_running") == 0;
        says(fleet, &pod, "the jobs to be done", done).await?;
        fleet.quiet().await?;
        ensure!(fleet.kubelet.restarts() == 0 && fleet.ledger().resumes == 0, "the gateway was harmed");
        fleet.no_more_identifies(4)
    })
}

/// More events than a pod takes in: 256 handled at a time, 256 on their way to handlers, 1,024 held for the shard. Discord lets
/// it answer 5 a second in each channel, so most of them are still there when the socket was left alone for its 5 s.
const EVENTS: usize = 4_000;
/// Discord's 41 s, halved: while the socket is left alone for 5 s no heartbeat is sent either.
const HEARTBEAT_MS: u64 = 20_000;

pub fn flood(stage: &Stage) -> Result<()> {
    let shape = Shape { heartbeat_ms: HEARTBEAT_MS, ..SMALL };
    stage.on_a_fleet("flood", &shape, Way::Straight, async |fleet| {
        let discord = &fleet.discord;
        let shard = ShardOf { id: 0, total: SMALL.shards };
        // The ledger would call those lost that the pod says it has thrown away or passed over; here they are counted. The bot's own
        // messages are events as well, so it may throw away some more.
        let ping = NewMessage { content: "!ping".to_owned(), asks: Some(false), ..NewMessage::default() };
        let asked = write(discord, EVENTS, shard, &ping)?;
        let pod = fleet.kubelet.pods().remove(0);
        let dropped = |text: &str| value(text, "shard_bot_events_dropped_total{shard=\"0\"}");
        let passed = |text: &str| value(text, "shard_bot_events_passed_over_total");
        let done = |text: &str| value(text, "shard_bot_commands_total{command=\"ping\",outcome=\"ok\"}");
        let unfinished = |text: &str| value(text, "shard_bot_events_unfinished{shard=\"0\"}");
        says(fleet, &pod, "each event to be answered, passed over or thrown away", |text| {
            dropped(text) + passed(text) + done(text) >= EVENTS && unfinished(text) == 0
        })
        .await?;
        let text = metrics(fleet, &pod).await?;
        let (dropped, done) = (dropped(&text), done(&text));
        ensure!(dropped > 0 && done > 256, "{done} done and {dropped} thrown away of {EVENTS}");
        let now = ReplyWait { wait_ms: 0, contains: None, edits: None };
        let mut answered = 0;
        for message in &asked {
            let replies = discord.replies(message.message_id, now.clone()).await?.len();
            ensure!(replies <= 1, "a message was answered {replies} times");
            answered += replies;
        }
        // A reply that could not be sent in half a minute is given up, and counted; it may have arrived all the same.
        let failed = value(&text, "shard_bot_replies_failed_total");
        ensure!(
            (done - failed..=done).contains(&answered),
            "{answered} answers, {done} counted, {failed} given up"
        );
        // The gateway was not harmed, and the pod keeps up again.
        fleet.talk(20.0)?;
        fleet.answers(40).await?;
        fleet.quiet().await?;
        ensure!(fleet.kubelet.restarts() == 0 && fleet.ledger().resumes == 0, "the gateway was harmed");
        fleet.no_more_identifies(4)
    })
}

/// A bot whose jobs never end (`bot.rs` beside this file), in place of the reference bot.
const STUBBORN: &str = "stubborn-bot";

pub fn never_ends(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("never-ends", &SMALL, Way::Straight, async |fleet| {
        let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "bot", "image": STUBBORN }] } } } });
        let before = fleet.uids().await?;
        fleet.bots().patch(BOT, &PatchParams::default(), &Patch::Merge(image)).await?;
        fleet
            .until("the other image's pods to be online", PATIENCE, |ledger| {
                if ledger.identifies >= 8 { Ok(()) } else { Err(format!("{} IDENTIFYs", ledger.identifies)) }
            })
            .await?;
        fleet.online().await?;
        let pod = fleet.kubelet.pods().remove(0);
        ensure!(!before.contains_key(&pod), "{pod} is of the old layout");
        fleet.talk(20.0)?;
        told_of(fleet, "!forever", "it has begun").await?;
        says(fleet, &pod, "the job to be counted", |text| value(text, "shard_bot_jobs_running") == 1).await?;
        // It holds up nobody: events and heartbeats go on.
        fleet.answers(40).await?;
        ensure!(fleet.kubelet.restarts() == 0 && fleet.ledger().resumes == 0, "the gateway was harmed");
        // Nor the pod's end: its sessions go to the next one, and what runs ends with the process.
        let now = fleet.uids().await?;
        fleet.delete(&pod).await?;
        fleet.replaced(&pod, &now, PATIENCE).await?;
        fleet.resumes(2).await?;
        fleet.answers(20).await?;
        fleet.quiet().await?;
        fleet.no_more_identifies(8)
    })
}

/// Users write so many messages of one kind, in all guilds of a shard in turn.
fn write(
    discord: &Judge,
    count: usize,
    ShardOf { id, total }: ShardOf,
    message: &NewMessage,
) -> Result<Vec<MadeMessage>> {
    let message = message.clone();
    let made = move |discord: &Discord| {
        let guilds = discord.world.guilds_of(id, total).into_iter().cycle().take(count);
        guilds
            .map(|guild| discord.post_message(NewMessage { guild_id: Some(guild), ..message.clone() }))
            .collect()
    };
    let made: Result<Vec<_>, _> = discord.act(made);
    Ok(made?)
}

/// How many users were told a result, and how many that there are too many jobs; all of them one or the other.
async fn told(fleet: &Fleet, asked: &[MadeMessage]) -> Result<(usize, usize)> {
    let now = ReplyWait { wait_ms: 0, contains: None, edits: None };
    let said = Mutex::new((0, 0));
    fleet
        .wait("every user to be told", PATIENCE, async || {
            let (mut done, mut refused) = (0, 0);
            for message in asked {
                let replies = fleet.discord.replies(message.message_id, now.clone()).await?;
                let has = |part: &str| replies.iter().any(|reply| reply.content.contains(part));
                done += usize::from(has("fib(37) = "));
                refused += usize::from(has("Too many jobs are waiting"));
            }
            *said.lock().unwrap_or_else(PoisonError::into_inner) = (done, refused);
            let open = asked.len() - done - refused;
            Ok(if open == 0 { Ok(()) } else { Err(format!("{open} of {}", asked.len())) })
        })
        .await?;
    Ok(said.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A whole figure in a page of metrics; none is 0.
fn value(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.strip_suffix(".0").unwrap_or(value).parse().ok()).unwrap_or(0)
}

/// A user asks the first shard for it, and is told that it went wrong.
async fn ask(fleet: &Fleet, content: &str) -> Result<MadeMessage> {
    told_of(fleet, content, "went wrong").await
}

/// A user asks the first shard for it, and is told this.
async fn told_of(fleet: &Fleet, content: &str, expected: &str) -> Result<MadeMessage> {
    let discord = &fleet.discord;
    let shard = Some(ShardOf { id: 0, total: SMALL.shards });
    let message = NewMessage { content: content.to_owned(), shard, ..NewMessage::default() };
    let made = discord.act(move |discord| discord.post_message(message))?;
    let told = ReplyWait { wait_ms: 30_000, contains: Some(expected.to_owned()), edits: None };
    let replies = discord.replies(made.message_id, told).await?;
    ensure!(replies.iter().any(|reply| reply.content.contains(expected)), "{content}: {replies:?}");
    Ok(made)
}

/// Waits until the pod has counted both.
async fn counted(fleet: &Fleet, pod: &str) -> Result<()> {
    says(fleet, pod, "both panics to be counted", |text| COUNTED.iter().all(|line| text.contains(line))).await
}

/// Waits until the pod's metrics say so.
async fn says(fleet: &Fleet, pod: &str, what: &str, so: impl Fn(&str) -> bool) -> Result<()> {
    fleet
        .wait(what, PATIENCE, async || {
            let text = metrics(fleet, pod).await?;
            let ours: Vec<_> = text.lines().filter(|line| line.starts_with("shard_bot_")).collect();
            Ok(if so(&text) { Ok(()) } else { Err(ours.join("\n")) })
        })
        .await
}

/// The pod's page of metrics.
async fn metrics(fleet: &Fleet, pod: &str) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let page = format!("http://{}:{HEALTH_PORT}/metrics", fleet.kubelet.address(pod)?);
    http.get(&page).send().await.context("ask for metrics")?.text().await.context("read metrics")
}
