//! Handlers that kill their process.
//!
//! From messages to how often each is begun, and to what becomes of the others. Deliberately absent: jobs, and handlers of real
//! processes (`tests/fleet/handlers.rs`).

use anyhow::{Context, Result, ensure};
use discord_sim::{NewMessage, ReplyWait};
use reqwest::Client;
use shard_contract::env::HEALTH_PORT;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::ONE;
use shard_tests::thread::stage::on_a_fleet;
use std::time::Duration;

#[test]
fn event_that_kills_its_process_is_begun_twice_and_the_others_with_it_are_answered() -> Result<()> {
    on_a_fleet(&ONE, async |fleet| {
        let discord = fleet.discord.control();
        let ping = NewMessage { content: "!ping".to_owned(), ..NewMessage::default() };
        let die = NewMessage { content: "!die".to_owned(), asks: Some(false), ..NewMessage::default() };
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.push(discord.post_message(ping.clone())?.message_id);
        }
        discord.post_message(die)?;
        for _ in 0..4 {
            asked.push(discord.post_message(ping.clone())?.message_id);
        }
        fleet.talk(5.0)?;
        fleet.resumes(2).await?;
        fleet.answers(100).await?;
        // As long as it would take to die of it many times more.
        tokio::time::sleep(Duration::from_mins(10)).await;
        fleet.quiet().await?;
        ensure!(fleet.kubelet.restarts() == 2, "{} restarts", fleet.kubelet.restarts());
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 1 && ledger.resumes == 2, "{ledger:?}");
        let pod = fleet.kubelet.address(&fleet.kubelet.pods()[0]).context("it runs")?;
        let metrics =
            Client::builder().no_proxy().build()?.get(format!("http://{pod}:{HEALTH_PORT}/metrics"));
        let metrics = metrics.send().await?.text().await?;
        let given_up = "shard_bot_events_given_up_total 1";
        ensure!(metrics.lines().any(|line| line == given_up), "{metrics}");
        for message in asked {
            let wait = ReplyWait { wait_ms: 0, contains: None, edits: None };
            let replies = discord.replies(message, &wait).await?;
            ensure!(replies.len() == 1, "{replies:?}");
        }
        Ok(())
    })
}
