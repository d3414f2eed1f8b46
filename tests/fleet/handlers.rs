//! Handlers and jobs that panic.

use crate::life::{SMALL, answers, quiet, resumes};
use crate::pods::no_more_identifies;
use anyhow::{Context, Result, ensure};
use discord_sim::{MadeMessage, NewMessage, ReplyWait, ShardOf};
use shard_contract::env::HEALTH_PORT;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};

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
        resumes(fleet, 2).await?;
        fleet.talk(20.0)?;
        answers(fleet, 20).await?;
        quiet(fleet).await?;
        for message in [in_handler, in_job] {
            let replies = fleet.discord.control().replies(message.message_id, &ReplyWait::default()).await?;
            ensure!(replies.len() == 1, "{replies:?}");
        }
        let again = fleet.ledger().events.doubled_marked;
        ensure!(again == 0, "{again} messages were handled again");
        no_more_identifies(fleet, 4)
    })
}

/// A user asks the first shard for it, and is told that it went wrong.
async fn ask(fleet: &Fleet, content: &str) -> Result<MadeMessage> {
    let discord = fleet.discord.control();
    let shard = Some(ShardOf { id: 0, total: SMALL.shards });
    let message = NewMessage { content: content.to_owned(), shard, ..NewMessage::default() };
    let made = discord.post_message(message)?;
    let told = ReplyWait { wait_ms: 30_000, contains: Some("went wrong".to_owned()), edits: None };
    let replies = discord.replies(made.message_id, &told).await?;
    ensure!(replies.iter().any(|reply| reply.content.contains("went wrong")), "{content}: {replies:?}");
    Ok(made)
}

/// Waits until the pod has counted both.
async fn counted(fleet: &Fleet, pod: &str) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let metrics = format!("http://{}:{HEALTH_PORT}/metrics", fleet.kubelet.address(pod)?);
    fleet
        .wait("both panics to be counted", PATIENCE, async || {
            let text = http.get(&metrics).send().await.context("ask for metrics")?.text().await?;
            let missing: Vec<_> = COUNTED.iter().filter(|line| !text.contains(**line)).collect();
            Ok(if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) })
        })
        .await
}
