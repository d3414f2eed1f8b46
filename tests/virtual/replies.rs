//! Replies where many are asked for at once, and where Discord takes none.
//!
//! From messages and a 429 to how soon, and how often, the bot answers. Deliberately absent: faults of REST in general (`discord.rs`).

use anyhow::{Context, Result, ensure};
use discord_sim::{FaultKind, NewFault, NewMessage, ReplyWait, Scope};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::ONE;
use shard_tests::thread::stage::on_a_fleet;
use std::time::Duration;
use tokio::time::Instant;

#[test]
fn one_busy_channel_does_not_delay_the_others() -> Result<()> {
    on_a_fleet(&ONE, async |fleet| {
        let discord = fleet.discord.control();
        let ping = NewMessage { content: "!ping".to_owned(), ..NewMessage::default() };
        let mut guilds = discord.world.guilds_of(0, 1).into_iter();
        let busy = guilds.next().context("a guild")?;
        // Each is asked in seldom enough for Discord's own limit of a channel.
        let mut others = guilds.cycle();
        let mut slowest = Duration::ZERO;
        for second in 0..60 {
            for _ in 0..15 {
                let typed = NewMessage { guild_id: Some(busy), asks: Some(false), ..ping.clone() };
                discord.post_message(typed)?;
            }
            let asked = Instant::now();
            let made = discord.post_message(NewMessage { guild_id: others.next(), ..ping.clone() })?;
            let wait = ReplyWait { wait_ms: 30_000, contains: None, edits: None };
            let replies = discord.replies(made.message_id, &wait).await?;
            ensure!(replies.len() == 1, "second {second}: {replies:?}");
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        ensure!(slowest <= Duration::from_millis(100), "another guild was answered after {slowest:?}");
        Ok(())
    })
}

#[test]
fn replies_during_a_429_of_all_routes_are_held_at_any_load() -> Result<()> {
    for (scope, retry_after_ms) in [(Scope::Global, Some(90_000)), (Scope::Cloudflare, None)] {
        on_a_fleet(&ONE, async |fleet| {
            let discord = fleet.discord.control();
            let limited = NewFault {
                kind: FaultKind::RateLimit,
                method: Some("POST".to_owned()),
                route: Some("/channels/{channel}/messages".to_owned()),
                status: None,
                scope: Some(scope),
                retry_after_ms,
                delay_ms: None,
                count: None,
                for_ms: Some(600_000),
                executes: false,
            };
            discord.add_fault(limited)?;
            let guilds = discord.world.guilds_of(0, 1);
            let ping = NewMessage { content: "!ping".to_owned(), asks: Some(false), ..NewMessage::default() };
            for guild in guilds.iter().cycle().take(3_000) {
                discord.post_message(NewMessage { guild_id: Some(*guild), ..ping.clone() })?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let refused = fleet.ledger().invalid_requests;
            ensure!((5..=20).contains(&refused), "{scope:?}: {refused} refused requests in ten minutes");
            // The last wait may be a minute and a half long.
            tokio::time::sleep(Duration::from_secs(120)).await;
            fleet.talk(1.0)?;
            fleet.answers(10).await?;
            fleet.quiet().await
        })?;
    }
    Ok(())
}
