//! Limits: a bot that is refused waits as long as it is told and tries again; one that is told what is left is not refused.
//!
//! From: the documented headers, and a second program that uses up a limit under the same token. For: 429 and its headers as
//! strangers read them. Deliberately absent: the global limit, which none of these bots comes near.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use discord_sim::{FAKE_TOKEN, Ledger, Options, Snowflake};

use crate::bot::Script;
use crate::library::Library;
use crate::stage::{PATIENCE, Stage, play};

/// As the ledger calls it.
const WRITE: &str = "POST /channels/{channel}/messages";
/// More than two windows of a channel's messages.
const MANY: usize = 12;

pub async fn refused(library: Library) -> Result<()> {
    play(Options { guilds: 1, ..Options::default() }, &[Script::of(library)], async |stage: &Stage| {
        stage.is_up(1).await?;
        let guild = stage.guilds_of(0, 1)[0];
        let first = stage.ask(guild, "!ping")?;
        stage.is_answered(&first, "pong").await?;
        // Somebody else uses up what the bot, by what it was told, believes to have.
        while write(stage.simulator.addr(), first.channel_id).await? != 429 {}
        let second = stage.ask(guild, "!ping")?;
        let asked_at = stage.simulator.ledger().now_ms;
        let is_refused = |ledger: &Ledger| refusals(ledger) > 1;
        stage.ledger_when("the bot is refused", is_refused).await?;
        stage.is_answered(&second, "pong").await?;
        let ledger = stage.simulator.ledger();
        let refused = refusals(&ledger) - 1;
        ensure!(refused == expected_refusals(library), "the bot was refused {refused} times");
        ensure!(ledger.now_ms - asked_at < 10_000, "it waited much longer than it was told");
        ensure!(ledger.messages.replies == 2, "{} answers", ledger.messages.replies);
        Ok(())
    })
    .await
}

pub async fn told(library: Library) -> Result<()> {
    let options = Options { guilds: 1, time_factor: 5.0, ..Options::default() };
    play(options, &[Script::of(library)], async |stage: &Stage| {
        stage.is_up(1).await?;
        let guild = stage.guilds_of(0, 1)[0];
        let asked = (0..MANY).map(|_| stage.ask(guild, "!ping")).collect::<Result<Vec<_>>>()?;
        for made in &asked {
            stage.is_answered(made, "pong").await?;
        }
        let ledger = stage.simulator.ledger();
        ensure!(ledger.messages.replies == MANY as u64, "{} answers", ledger.messages.replies);
        ensure!(refusals(&ledger) == 0, "the bot was refused {} times", refusals(&ledger));
        Ok(())
    })
    .await
}

/// Two wait as they are told. hikari first tries as often as it believes, by its own count, that the limit has room: five in
/// all, one of them used.
fn expected_refusals(library: Library) -> u64 {
    if library == Library::Hikari { 4 } else { 1 }
}

fn refusals(ledger: &Ledger) -> u64 {
    let refused = ledger.rest.iter().filter(|count| count.route == WRITE && count.status == 429);
    refused.map(|count| count.count).sum()
}

/// Writes a message under the bot's token; the status of the answer.
async fn write(address: SocketAddr, channel: Snowflake) -> Result<u16> {
    let call = move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = r#"{"content":"from another program"}"#;
        write!(
            stream,
            "POST /api/v10/channels/{channel}/messages HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bot {FAKE_TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.with_context(|| format!("the answer begins with {line:?}"))
    };
    tokio::task::spawn_blocking(call).await?
}
