//! The gateway: a WebSocket from HELLO to its end.
//!
//! From: an upgrade of `/` with `v`, `encoding`, `compress`. For: bots. Reading (`gateway/reader.rs`) and writing
//! (`gateway/writer.rs`) run side by side in one task, so that a client that does not read is still timed.
//! What a client asks for in the URL and does not get is said before HELLO: 4012 for the version, 4002 for the rest. Versions 9
//! and 10 are the available ones (Discord, `developers/reference.mdx` "API Versioning"); nothing that is simulated differs.
//! Deliberately absent: the deprecated versions 6 to 8, which have other rules for intents and channels; ETF; payload compression, which Discord offers but never owes; a limit of its own for connections
//! that never identify: they must heartbeat like all others, else 4009.

mod encoder;
mod fields;
mod frames;
mod reader;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use futures::StreamExt;
use futures::stream::SplitStream;

use crate::arrival::Arrival;
use crate::close_answer::CloseAnswer;
use crate::discord::{Discord, End};
use crate::ledger::ViolationKind;
use crate::session::wire::{Order, Wire};
use encoder::Transport;

/// The longest message that is read at all; between Discord's 4096 bytes and this, the connection goes on being read
/// until the client has answered its 4002.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// A client sends little: 120 messages a minute of at most 4096 bytes. This buffer is there for each connection, always.
const READ_BUFFER: usize = 4096;
/// So much is collected before it goes to the kernel, unless there is nothing to be added. It grows with use and stays.
const WRITE_BUFFER: usize = 8 * 1024;
/// No message to a client comes near to this; what does is a flood of pings by a client that does not read the pongs.
const WRITE_BUFFER_LIMIT: usize = 16 * 1024 * 1024;
/// How long a client may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the client asked for in the URL.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Gateway version: 9 or 10.
    v: Option<String>,
    /// `json`, also where it is left out.
    encoding: Option<String>,
    /// `zlib-stream`, `zstd-stream`, or nothing.
    compress: Option<String>,
}

/// Bounds what the WebSocket of a connection holds in memory: a bot has one a shard, and tests have thousands.
///
/// Measured with 2,000 connections to the release build: 10 KiB of resident memory each after HELLO, 12 KiB with a
/// session, 38 KiB after 100 GUILD_CREATEs; tungstenite's own 128 KiB for reading alone would be ten times that.
pub fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .max_message_size(LONGEST_MESSAGE)
        .max_frame_size(LONGEST_MESSAGE)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_LIMIT)
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Client {
    /// What it called us.
    pub host: String,
    /// The version that it speaks.
    pub version: u8,
    /// When what it sent last came.
    pub arrival: Arrival,
    /// What its close is answered with.
    pub close_answer: CloseAnswer,
}

/// Serves one connection to its end.
pub async fn serve(socket: WebSocket, query: Query, client: Client, discord: Arc<Discord>) {
    let (wire, orders) = discord.connect();
    let wire = Arc::new(wire);
    let (sink, mut stream) = socket.split();
    let mut client = client;
    let transport = match query.version().and_then(|version| Ok((version, query.transport()?))) {
        Ok((version, transport)) => {
            client.version = version;
            transport
        }
        Err((code, reason)) => {
            let broken = (code == 4012)
                .then(|| (ViolationKind::Version, format!("gateway version {:?}", query.named_version())));
            discord.close_for(&wire, None, (code, reason), broken);
            Transport::Plain
        }
    };
    if !wire.is_closing() {
        let interval = discord.options.heartbeat_interval;
        wire.order(Order::Frame(frames::hello(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))));
    }
    let mut reader = reader::Reader::new(Arc::clone(&discord), Arc::clone(&wire), client);
    let writing = async {
        writer::write(sink, orders, transport, &discord, &wire).await;
        // Nothing can be written any more, but a close may lie unread: its code decides what becomes of the session.
        tokio::time::sleep(FAREWELL).await;
    };
    let end = tokio::select! {
        biased;
        () = wire.is_cut() => End::Cut,
        end = reader.read(&mut stream) => end,
        () = writing => End::Client(None),
        () = patience(&wire) => End::Cut,
    };
    discord.leave(&wire, reader.session(), end);
    if matches!(end, End::Client(Some(_))) {
        // Reading on sends the answer to the client's close, for which it may be waiting.
        let _ =
            tokio::time::timeout(FAREWELL, async { while let Some(Ok(_)) = stream.next().await {} }).await;
    }
}

/// Ends some time after a close was ordered, whatever the client does or leaves undone, also where the close could not
/// even be written.
async fn patience(wire: &Wire) {
    wire.closes().await;
    tokio::time::sleep(FAREWELL).await;
}

/// Reads on until the client has answered the close. To drop the connection with something unread would take the close
/// from a client that has not read it yet.
async fn farewell(stream: &mut SplitStream<WebSocket>) {
    let mut pings = 0;
    while let Some(Ok(message)) = stream.next().await {
        pings += usize::from(matches!(message, Message::Ping(_)));
        if matches!(message, Message::Close(_)) || pings > reader::PINGS {
            return;
        }
    }
}

impl Query {
    /// The parameters that count; of one that is there twice, the last.
    pub fn of(mut parameters: HashMap<String, String>) -> Self {
        let mut take = |name| parameters.remove(name);
        Self { v: take("v"), encoding: take("encoding"), compress: take("compress") }
    }

    /// The beginning of the version that was asked for.
    fn named_version(&self) -> Option<String> {
        self.v.as_ref().map(|version| version.chars().take(20).collect())
    }

    fn version(&self) -> Result<u8, (u16, &'static str)> {
        match self.v.as_deref() {
            Some("9") => Ok(9),
            Some("10") => Ok(10),
            _ => Err((4012, "Invalid API version: the simulator speaks v=10 and v=9.")),
        }
    }

    fn transport(&self) -> Result<Transport, (u16, &'static str)> {
        match self.encoding.as_deref() {
            None | Some("json") => {}
            Some("etf") => return Err((4002, "ETF is not simulated; use encoding=json.")),
            Some(_) => return Err((4002, "This encoding does not exist; use encoding=json.")),
        }
        match self.compress.as_deref() {
            None | Some("") => Ok(Transport::Plain),
            Some("zlib-stream") => Ok(Transport::Zlib),
            Some("zstd-stream") => Ok(Transport::Zstd),
            Some(_) => {
                Err((4002, "This compression does not exist; use compress=zlib-stream, zstd-stream or none."))
            }
        }
    }
}

fn lost(wire: &Wire) -> End {
    tracing::debug!(connection = wire.id(), "the connection ended without a close");
    End::Client(None)
}
