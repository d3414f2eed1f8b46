//! Talking: prefix commands and slash commands are answered, in a guild.
//!
//! From: users who type and use commands. For: MESSAGE_CREATE and INTERACTION_CREATE as strangers read them, over every
//! transport that they ask for, and their REST calls as the simulator reads those.
//! Deliberately absent: messages that nobody answers, and limits (`limits.rs`).

use anyhow::{Result, ensure};
use discord_sim::{NewInteraction, Options, ReplyWait};

use crate::bot::Script;
use crate::library::Library;
use crate::stage::{PATIENCE, Stage, play};

pub async fn prefix_command(library: Library) -> Result<()> {
    answers_both_commands(Script::of(library)).await
}

/// discord.js asks for no compression unless it is told to.
pub async fn zlib_stream(library: Library) -> Result<()> {
    answers_both_commands(Script::of(library).variable("COMPRESSION", "zlib")).await
}

/// discord.py asks for it where the package zstandard is installed.
pub async fn zstd_stream(library: Library) -> Result<()> {
    answers_both_commands(Script::of(library).with_zstandard()).await
}

/// Registered by the library's own means, used by a user, answered by the library's own means.
pub async fn slash_command(library: Library) -> Result<()> {
    let script = Script::of(library).variable("SLASH", "1");
    play(Options { guilds: 1, ..Options::default() }, &[script], async |stage: &Stage| {
        stage.is_up(1).await?;
        stage.bot().says("registered /ping").await?;
        let control = stage.simulator.control();
        let made = control
            .post_interaction(NewInteraction { command: "ping".into(), ..NewInteraction::default() })?;
        let most = u64::try_from(PATIENCE.as_millis())?;
        let wait = ReplyWait { wait_ms: most, contains: Some("pong".into()), edits: None };
        let replies = control.interaction_replies(made.interaction_id, &wait).await?;
        ensure!(replies.len() == 1 && replies[0].content == "pong", "{replies:?}");
        Ok(())
    })
    .await
}

async fn answers_both_commands(script: Script) -> Result<()> {
    play(Options { guilds: 3, ..Options::default() }, &[script], async |stage: &Stage| {
        stage.is_up(1).await?;
        let guild = stage.guilds_of(0, 1)[2];
        let made = stage.ask(guild, "!ping")?;
        ensure!(made.delivered_to.len() == 1, "one session got it: {:?}", made.delivered_to);
        stage.is_answered(&made, "pong").await?;
        stage.answers(guild).await?;
        let by_bots = stage.simulator.ledger().messages.by_bots;
        ensure!(by_bots == 2, "the bot wrote {by_bots} messages");
        Ok(())
    })
    .await
}
