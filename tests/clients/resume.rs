//! Coming back: whatever ends a connection, the session goes on and nothing is lost or doubled, unless Discord ended it.
//!
//! From: connections that the simulator ends in each of its ways. For: RESUME and replay, op 7, op 9 with true and false.
//! Users ask while the bot is away. Spans are ten times shorter than Discord's, for few libraries wait five seconds after op 9
//! (`breaches.rs` has what follows from that). Deliberately absent: sessions that are too old.

use anyhow::{Result, ensure};
use discord_sim::{How, Ledger, MoveTime, Options, ShardOf};
use std::time::Duration;

use crate::bot::Script;
use crate::library::Library;
use crate::stage::{Stage, play, play_with_breaches};

/// The only shard.
pub const ALL: ShardOf = ShardOf { id: 0, total: 1 };

pub async fn dropped_connection(library: Library) -> Result<()> {
    resumes(library, How::Tcp).await
}

pub async fn told_to_reconnect(library: Library) -> Result<()> {
    resumes(library, How::Reconnect).await
}

pub async fn invalid_session_that_lives(library: Library) -> Result<()> {
    resumes(library, How::InvalidResumable).await
}

pub async fn invalid_session_that_is_gone(library: Library) -> Result<()> {
    play(options(), &[Script::of(library)], async |stage: &Stage| {
        stage.is_up(1).await?;
        let guild = stage.guilds_of(0, 1)[0];
        lets_the_bucket_pass(library, stage)?;
        stage.drop_connection(ALL, How::Invalid)?;
        let is_new = |ledger: &Ledger| ledger.identifies_accepted == 2 && ledger.sessions.len() == 1;
        let ledger = stage.ledger_when("there is a new session", is_new).await?;
        let sessions = (ledger.identifies, ledger.resumes, ledger.resumes_failed);
        ensure!(sessions == (2, 0, 0), "IDENTIFYs, RESUMEs, failed ones: {sessions:?}");
        stage.answers(guild).await
    })
    .await
}

/// A session that lives on, and a library that identifies all the same: what was asked meanwhile stays with the old session.
pub async fn session_given_up(library: Library) -> Result<()> {
    play_with_breaches(options(), &[Script::of(library)], async |stage: &Stage| {
        stage.is_up(1).await?;
        let guilds = stage.guilds_of(0, 1);
        lets_the_bucket_pass(library, stage)?;
        stage.drop_connection(ALL, How::InvalidResumable)?;
        for guild in &guilds[1..] {
            stage.ask(*guild, "!ping")?;
        }
        let is_back = |ledger: &Ledger| ledger.identifies + ledger.resumes + ledger.resumes_failed > 1;
        let ledger = stage.ledger_when("the bot is back", is_back).await?;
        let sessions = (ledger.identifies, ledger.identifies_accepted, ledger.resumes, ledger.resumes_failed);
        ensure!(sessions == (2, 2, 0, 0), "IDENTIFYs, READYs, RESUMEs, failed ones: {sessions:?}");
        stage.answers(guilds[0]).await?;
        // Asked last, answered: by now answers to the others would be there.
        let ledger = stage.simulator.ledger();
        ensure!(ledger.messages.replies == 1, "{} answers", ledger.messages.replies);
        ensure!(ledger.violations == 0, "{} rules were broken", ledger.violations);
        Ok(())
    })
    .await
}

/// discordgo and oceanic.js identify on the same connection, at once, whatever the bucket says. Here it says yes.
fn lets_the_bucket_pass(library: Library, stage: &Stage) -> Result<()> {
    if matches!(library, Library::Discordgo | Library::Oceanic) {
        stage.simulator.control().move_time(MoveTime { advance_ms: Some(5_000), factor: None })?;
    }
    Ok(())
}

async fn resumes(library: Library, how: How) -> Result<()> {
    play(options(), &[Script::of(library)], async |stage: &Stage| {
        stage.is_up(1).await?;
        let guilds = stage.guilds_of(0, 1);
        stage.answers(guilds[0]).await?;
        stage.drop_connection(ALL, how)?;
        if how == How::Tcp {
            // The other ways have said their last word already.
            let is_gone = |ledger: &Ledger| ledger.sessions.iter().all(|session| !session.connected);
            stage.ledger_when("the connection is gone", is_gone).await?;
        }
        // Nothing moves on the wire before the next `await`, so the bot is surely away.
        let missed =
            guilds[1..].iter().map(|guild| stage.ask(*guild, "!ping")).collect::<Result<Vec<_>>>()?;
        let is_back = |ledger: &Ledger| ledger.identifies + ledger.resumes + ledger.resumes_failed > 1;
        let ledger = stage.ledger_when("the bot is back", is_back).await?;
        let sessions = (ledger.identifies, ledger.resumes, ledger.resumes_failed);
        ensure!(sessions == (1, 1, 0), "IDENTIFYs, RESUMEs, failed ones: {sessions:?}");
        let replayed = ledger.resume_log[0].replayed;
        ensure!(replayed >= missed.len() as u64, "{replayed} events were replayed");
        for made in &missed {
            stage.is_answered(made, "pong").await?;
        }
        // Asked last, answered last: by now a second answer to the others would be there.
        stage.answers(guilds[0]).await
    })
    .await
}

fn options() -> Options {
    // Without skew, what is asked while the bot is away is also Discord's while it is away. And no heartbeat is due while a bot is away:
    // discordgo 0.29.0 lets its heart beat on the connection that it is leaving for a second, and then one of its goroutines closes what the
    // other has opened, in turns and for ever.
    let heartbeat_interval = Duration::from_mins(20);
    Options { guilds: 4, time_factor: 10.0, skew_ms: 0, heartbeat_interval, ..Options::default() }
}
