//! A bot that is a bare socket: it identifies, resumes, and reads what comes so that it is not cut off.
//!
//! From: a simulator. For: the page to have something to show. Deliberately absent: heartbeats (a test is shorter than the
//! first one), and everything else that a library does.

use discord_sim::{FAKE_TOKEN, Simulator};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// GUILDS, GUILD_MESSAGES, MESSAGE_CONTENT.
const INTENTS: u64 = 1 | 1 << 9 | 1 << 15;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A bot with a session. Its connection ends when it is dropped.
pub struct Bot {
    session: String,
    reading: JoinHandle<()>,
}

impl Bot {
    /// Identifies and is ready.
    pub async fn ready(simulator: &Simulator, shard: u32, total: u32) -> Self {
        let (socket, ready) = greet(simulator, &identify(shard, total)).await;
        let session = ready["d"]["session_id"].as_str().expect("READY").to_owned();
        Self { session, reading: read(socket) }
    }

    /// The session's id.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Comes back with its session, on a new connection.
    pub async fn resume(&mut self, simulator: &Simulator) {
        self.reading.abort();
        // From the first event on: what comes first is a replay or RESUMED, never op 9.
        let (socket, first) = greet(simulator, &resume(&self.session, 1)).await;
        assert_eq!(first["op"], 0, "{first}");
        self.reading = read(socket);
    }

    /// The answer to an IDENTIFY; the connection is not kept.
    pub async fn identify(simulator: &Simulator, shard: u32, total: u32) -> Value {
        greet(simulator, &identify(shard, total)).await.1
    }

    /// The answer to a RESUME of any session; the connection is not kept.
    pub async fn resume_of(simulator: &Simulator, session: &str) -> Value {
        greet(simulator, &resume(session, 1)).await.1
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn identify(shard: u32, total: u32) -> Value {
    let properties = json!({ "os": "linux", "browser": "page", "device": "page" });
    json!({ "op": 2, "d": { "token": FAKE_TOKEN, "intents": INTENTS, "shard": [shard, total], "properties": properties } })
}

fn resume(session: &str, sequence: u64) -> Value {
    json!({ "op": 6, "d": { "token": FAKE_TOKEN, "session_id": session, "seq": sequence } })
}

/// A connection on which this was said after HELLO, and what came back; null where it was closed.
async fn greet(simulator: &Simulator, frame: &Value) -> (Socket, Value) {
    let url = format!("{}/?v=10&encoding=json", simulator.gateway_url());
    let (mut socket, _) = connect_async(url).await.expect("the gateway takes connections");
    assert_eq!(hear(&mut socket).await["op"], 10);
    socket.send(Message::text(frame.to_string())).await.expect("the gateway listens");
    let answer = hear(&mut socket).await;
    (socket, answer)
}

async fn hear(socket: &mut Socket) -> Value {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("a frame is JSON"),
        _ => Value::Null,
    }
}

fn read(mut socket: Socket) -> JoinHandle<()> {
    tokio::spawn(async move { while socket.next().await.is_some_and(|message| message.is_ok()) {} })
}
