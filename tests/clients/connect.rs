//! Connecting: every shard gets a session, every guild reaches its shard, and nobody identifies too early.
//!
//! From: a simulator that recommends the shards, as Discord does. For: the formula and the identify limit, each as strangers
//! understand it. Time is not made shorter here: the libraries' five seconds are real ones.
//! Deliberately absent: what happens after a connection ended (`resume.rs`).

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use discord_sim::Options;
use discord_sim::ledger::Identify;

use crate::bot::Script;
use crate::library::Library;
use crate::stage::play;

/// Not divisible by four, so that the shards differ.
const GUILDS: u32 = 41;
/// Short enough that several come during a start with four shards; a missing one ends the connection.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A bucket's 5 s, as the stage's Discord counts them (3 % faster than real time).
const SPAN_MS: u64 = 4_850;

pub async fn one_shard(library: Library) -> Result<()> {
    connects(library, 1).await
}

pub async fn four_shards(library: Library) -> Result<()> {
    connects(library, 4).await
}

async fn connects(library: Library, total: u32) -> Result<()> {
    let options = Options {
        guilds: GUILDS,
        shards: Some(total),
        max_concurrency: 2,
        heartbeat_interval: HEARTBEAT,
        ..Options::default()
    };
    play(options, &[Script::of(library)], async |stage| {
        stage.is_up(total).await?;
        let ledger = stage.simulator.ledger();
        let sessions = (ledger.identifies, ledger.identifies_accepted, ledger.resumes);
        ensure!(
            sessions == (u64::from(total), u64::from(total), 0),
            "IDENTIFYs, READYs, RESUMEs: {sessions:?}"
        );
        ensure!(ledger.server_closes.is_empty() && ledger.closes.is_empty(), "a connection ended");
        let guilds: u32 = ledger.sessions.iter().map(|session| session.guilds).sum();
        ensure!(guilds == GUILDS, "the shards have {guilds} guilds together");
        if total == 4 {
            has_its_pace(library, &ledger.identify_log)?;
        }
        for shard in 0..total {
            let guild = stage.guilds_of(shard, total)[0];
            stage.answers(guild).await?;
        }
        Ok(())
    })
    .await
}

/// How each library starts four shards in two buckets.
fn has_its_pace(library: Library, log: &[Identify]) -> Result<()> {
    let starts: Vec<_> = log.iter().map(|identify| (identify.shard, identify.at_ms)).collect();
    let &[first, second, third, fourth] = starts.as_slice() else { bail!("four starts, found {starts:?}") };
    let waits = |earlier: (u32, u64), later: (u32, u64)| later.1 - earlier.1 >= SPAN_MS;
    let shards = starts.iter().map(|start| start.0);
    let of = |bucket| starts.iter().copied().filter(move |start| start.0 % 2 == bucket).collect::<Vec<_>>();
    // Each bucket has a queue of its own, and they do not wait for each other.
    let has_queues = !waits(first, second) && [0, 1].map(of).iter().all(|queue| waits(queue[0], queue[1]));
    let keeps_order = [0, 1].map(of).iter().all(|queue| queue[0].0 < queue[1].0);
    let as_known = match library {
        // One after the other, whatever is allowed.
        Library::DiscordPy | Library::Pycord => {
            shards.eq(0..4) && waits(first, second) && waits(second, third) && waits(third, fourth)
        }
        // A window of as many as are allowed, then the next; within a window in any order.
        Library::Hikari => {
            first.0 + second.0 == 1 && !waits(first, second) && waits(second, third) && !waits(third, fourth)
        }
        // discord.js waits up to a second and a half more, by chance; oceanic.js counts from READY and looks each half second.
        Library::DiscordJs | Library::Oceanic => has_queues && keeps_order,
        // Its queues are in any order.
        Library::Jda => has_queues,
        // It is the bot's own loop that waits, after as many as are allowed.
        Library::Discordgo => {
            shards.eq(0..4) && !waits(first, second) && waits(second, third) && !waits(third, fourth)
        }
    };
    ensure!(as_known, "{library} starts its shards in another way than before: {starts:?}");
    Ok(())
}
