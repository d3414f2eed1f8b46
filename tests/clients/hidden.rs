//! Hidden channels: a guild of which the bot may view a part is a guild like others, what is hidden and shown is an update.
//!
//! From: worlds whose staff areas are all hidden, as every bot has met them since 2026-11-16. For: caches of strangers, which
//! keep a hidden channel among the others, under the name that it has then. Whether Discord sends the bitrate of a hidden voice
//! channel is not known. Four of the libraries are shown both; discord.py, hikari and JDA cannot do without, so they are shown
//! guilds that have it (`tests/discord/src/clients.rs` says what becomes of them otherwise).
//! Deliberately absent: what each library thinks that the bot may do in such a channel.

use anyhow::{Context, Result, ensure};
use discord_sim::{ChannelAccess, ChannelKind, Options, SettingsChange};

use crate::bot::Script;
use crate::library::Library;
use crate::stage::{Stage, play};

pub async fn with_bitrate(library: Library) -> Result<()> {
    knows_what_is_hidden(library, true).await
}

pub async fn without_bitrate(library: Library) -> Result<()> {
    knows_what_is_hidden(library, false).await
}

async fn knows_what_is_hidden(library: Library, has_bitrate: bool) -> Result<()> {
    let options = Options { guilds: 3, hidden_share: 100, ..Options::default() };
    play(options, &[Script::of(library)], async |stage: &Stage| {
        let control = stage.simulator.control();
        // Nothing moves on the wire before the first `await`, so no bot has met the other position.
        let bitrate = SettingsChange { hidden_voice_bitrate: Some(has_bitrate), ..SettingsChange::default() };
        control.settle(&bitrate)?;
        stage.is_up(1).await?;
        let guild = stage.guilds_of(0, 1)[0];
        tells(stage, "3 hidden").await?;
        let channels = control.channels_of(guild)?;
        let voice = channels.iter().find(|channel| channel.kind == ChannelKind::Voice);
        let channel_id = voice.context("there is a voice channel")?.channel_id;
        // With the voice channel its category is shown, and the text channel is not.
        control.change_access(ChannelAccess { channel_id, visible: true })?;
        tells(stage, "1 hidden").await?;
        control.change_access(ChannelAccess { channel_id, visible: false })?;
        tells(stage, "3 hidden").await?;
        let ledger = stage.simulator.ledger();
        ensure!(ledger.identifies == 1 && ledger.close_log.is_empty(), "a connection ended");
        Ok(())
    })
    .await
}

async fn tells(stage: &Stage, expected: &str) -> Result<()> {
    let made = stage.ask(stage.guilds_of(0, 1)[0], "!hidden")?;
    stage.is_answered(&made, expected).await
}
