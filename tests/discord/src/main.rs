//! The binary `discord-sim`: starts the simulator, says how to point bots at it, and ends on SIGTERM or Ctrl-C.
//!
//! From: the command line (`arguments.rs`). For: people who write bots, the demo, pods. Logs go to stderr, by `RUST_LOG`
//! (default `warn`); the token is in none of them. Deliberately absent: everything that the library does.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use discord_sim::arguments::Arguments;
use discord_sim::{FAKE_TOKEN, Options, Simulator, Token};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let options = arguments.options()?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let simulator = Simulator::start(options.clone()).await?;
    say_how_to_connect(&simulator, &options);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the binary's own word to a person")]
fn say_error(error: &anyhow::Error) {
    eprintln!("discord-sim: {error:#}");
}

#[expect(clippy::print_stdout, reason = "the binary's own word to a person")]
fn say_how_to_connect(simulator: &Simulator, options: &Options) {
    let at = simulator.addr();
    let ledger = simulator.ledger();
    let token = if options.tokens.contains(&Token::new(FAKE_TOKEN)) { FAKE_TOKEN } else { "YOUR_TOKEN" };
    println!(
        "discord-sim at http://{at}: {guilds} guilds, {shards} shard(s) recommended, {buckets} bucket(s), {left} of {total} \
identifies left, time factor {factor}

  token       {token}
  twilight    Client::builder().proxy(\"{at}\".to_owned(), true)
              ConfigBuilder::new(token, intents).proxy_url(\"ws://{at}\".to_owned())
  discord.py  discord.http.Route.BASE = \"http://{at}/api/v10\"
              discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(\"ws://{at}/\")
  hikari      hikari.GatewayBot(token, rest_url=\"http://{at}/api/v10\")
  discord.js  new Client({{ intents, rest: {{ api: \"http://{at}/api\" }} }})

  people      http://{at}/
  programs    http://{at}/ledger
  a message   curl -X POST http://{at}/control/messages -d '{{\"content\":\"!ping\"}}'
",
        guilds = ledger.guilds,
        shards = ledger.recommended_shards,
        buckets = ledger.max_concurrency,
        left = ledger.budget.remaining,
        total = ledger.budget.total,
        factor = ledger.time_factor,
    );
}
