//! The binary `discord-sim`: starts the simulator, says how to point bots at it, and ends on SIGTERM or Ctrl-C.
//!
//! From: the command line (`arguments.rs`). For: people who write bots, the demo, pods. Logs go to stderr, by `RUST_LOG`
//! (default `warn`); the token is in none of them. It ends with 0 when told to end, 1 when it cannot run, 2 for options that
//! it does not take. Deliberately absent: everything that the library does.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap::error::ErrorKind;
use discord_sim::arguments::Arguments;
use discord_sim::{Options, Simulator, welcome};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Libraries that would write frames down at their finest levels.
const QUIET: [&str; 2] = ["tungstenite=info", "tokio_tungstenite=info"];

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Below that it would write down what clients send, tokens included, whatever RUST_LOG says.
    let filter = QUIET.iter().filter_map(|quiet| quiet.parse().ok()).fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let options = match Arguments::typed(std::env::args_os()).options() {
        Ok(options) => options,
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            Arguments::command().error(ErrorKind::ValueValidation, text).exit()
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let open_files = discord_sim::raise_open_files();
    tracing::debug!(open_files, "as many connections are possible, about");
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let simulator = Simulator::start(options.clone()).await?;
    // Whoever reads only the first lines of it, or none, still wants the simulator.
    let _ = writeln!(std::io::stdout(), "{}", welcome(&simulator, &options));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the binary's own word to a person")]
fn say_error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
