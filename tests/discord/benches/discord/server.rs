//! The simulator as people start it: the real binary, in a process of its own.
//!
//! From: options as on the command line. For: every measurement, each with a simulator of its own.
//! Deliberately absent: anything that only a benchmark could do to it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use discord_sim::{ControlClient, FAKE_TOKEN};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::client::Client;
use super::decoder::Transport;
use shard_bench::process;

/// Longer than it ever takes to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running simulator; it ends when this is dropped.
pub struct Server {
    /// `host:port`.
    pub address: String,
    /// Its control API and its ledger.
    pub control: ControlClient,
    id: u32,
    _process: Child,
    /// Held, so that it has somewhere to print to.
    _output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one at a free port, without skew, with buckets and budget for everybody.
    pub async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_discord-sim"));
        // Nobody sends a heartbeat; a window of 5 s is 5 ms.
        command
            .args(["--listen", "127.0.0.1:0", "--skew-ms", "0", "--heartbeat-ms", "600000"])
            .args(["--max-concurrency", "10000", "--identify-total", "1000000", "--time-factor", "1000"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DISCORD_SIM_"))
        {
            command.env_remove(name);
        }
        let mut process = command.spawn().context("start discord-sim")?;
        let id = process.id().context("discord-sim ended at once")?;
        let mut output = BufReader::new(process.stdout.take().context("its output is piped")?);
        let address = tokio::time::timeout(PATIENCE, address(&mut output))
            .await
            .context("discord-sim does not start")??;
        let control = ControlClient::new(&format!("http://{address}"));
        Ok(Self { address, id, control, _process: process, _output: output })
    }

    /// A session of the default bot, and how many guilds it has.
    pub async fn enter(&self, transport: Transport, place: (u32, u32)) -> anyhow::Result<(Client, usize)> {
        let mut client = Client::connect(&self.address, transport).await?;
        let guilds = client.identify(FAKE_TOKEN, place).await;
        let guilds = guilds.with_context(|| format!("enter as shard {} of {}", place.0, place.1))?;
        Ok((client, guilds))
    }

    /// CPU time so far.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        process::cpu_time(self.id)
    }

    /// Memory in use, in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        process::memory(self.id)
    }
}

/// The first `http://` that it prints is its own.
async fn address(output: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).await? == 0 {
            anyhow::bail!("discord-sim ended before it said where it listens");
        }
        if let Some((_, rest)) = line.split_once("http://") {
            let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | ':')).unwrap_or(rest.len());
            return Ok(rest[..end].trim_end_matches(':').to_owned());
        }
    }
}
