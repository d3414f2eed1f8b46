//! The gateway: a WebSocket from HELLO to its end.
//!
//! From: an upgrade of `/` with `v`, `encoding`, `compress`. For: bots. Reading (`gateway/reader.rs`) and writing
//! (`gateway/writer.rs`) run side by side, so that a client that does not read is still timed. Deliberately absent: etf and
//! zstd-stream, refused with 4002 and a reason; payload compression, which Discord offers but never owes.

mod frames;
mod reader;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::StreamExt;
use futures::stream::SplitStream;
use serde::Deserialize;

use crate::discord::{Discord, End};
use crate::ledger::ViolationKind;
use crate::session::wire::{Order, Wire};

/// The longest message that is read at all; between Discord's 4096 bytes and this, the client surely hears its 4002.
pub const LONGEST_MESSAGE: usize = 1024 * 1024;
/// How long a client may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the client asked for in the URL.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Query {
    /// Gateway version; only 10 is spoken.
    #[serde(default)]
    v: Option<String>,
    /// `json`, also where it is left out.
    #[serde(default)]
    encoding: Option<String>,
    /// `zlib-stream`, or nothing.
    #[serde(default)]
    compress: Option<String>,
}

/// How frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Plain,
    Zlib,
}

/// Serves one connection to its end. `host` is what the client called us.
pub async fn serve(socket: WebSocket, query: Query, host: String, discord: Arc<Discord>) {
    let (wire, orders) = discord.connect();
    let wire = Arc::new(wire);
    let (sink, stream) = socket.split();
    let transport = match query.transport() {
        Ok(transport) => transport,
        Err((code, reason)) => {
            let broken =
                (code == 4012).then(|| (ViolationKind::Version, format!("gateway version {:?}", query.v)));
            discord.close_for(&wire, None, (code, reason), broken);
            Transport::Plain
        }
    };
    if !wire.is_closing() {
        let interval = discord.options.heartbeat_interval;
        wire.order(Order::Frame(frames::hello(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))));
    }
    let mut reader = reader::Reader::new(Arc::clone(&discord), Arc::clone(&wire), host);
    let end = tokio::select! {
        end = reader.read(stream) => end,
        () = writer::write(sink, orders, transport, &discord, &wire) => End::Client(None),
        () = wire.is_cut() => End::Cut,
    };
    discord.leave(&wire, reader.session(), end);
}

/// Reads on until the client has answered the close, or has taken too long.
async fn farewell(stream: &mut SplitStream<WebSocket>) {
    let rest = async {
        while let Some(Ok(message)) = stream.next().await
            && !matches!(message, Message::Close(_))
        {}
    };
    let _ = tokio::time::timeout(FAREWELL, rest).await;
}

impl Query {
    fn transport(&self) -> Result<Transport, (u16, &'static str)> {
        if self.v.as_deref() != Some("10") {
            return Err((4012, "Invalid API version: the simulator speaks v=10."));
        }
        if !matches!(self.encoding.as_deref(), None | Some("json")) {
            return Err((4002, "This encoding is not simulated; use encoding=json."));
        }
        match self.compress.as_deref() {
            None | Some("") => Ok(Transport::Plain),
            Some("zlib-stream") => Ok(Transport::Zlib),
            Some(_) => Err((4002, "This compression is not simulated; use zlib-stream or none.")),
        }
    }
}

fn lost(wire: &Wire) -> End {
    tracing::debug!(connection = wire.id(), "the connection ended without a close");
    End::Client(None)
}
