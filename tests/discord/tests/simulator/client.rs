//! A gateway client that does what a test says, also what no library would do, and calls to REST and control.
//!
//! From: a simulator's address. For: every test here. Deliberately absent: reconnecting, heartbeats by themselves.

use std::time::Duration;

use discord_sim::{FAKE_TOKEN, Options, Simulator};
use flate2::{Decompress, FlushDecompress};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

/// Longer than anything takes, even with all cores busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT.
pub const INTENTS: u64 = 1 | 1 << 9 | 1 << 12 | 1 << 15;

/// Many buckets and no skew, so that tests of other things need not wait.
pub fn options() -> Options {
    Options { max_concurrency: 64, guilds: 40, skew_ms: 0, ..Options::default() }
}

pub async fn start(options: Options) -> Simulator {
    Simulator::start(options).await.expect("a free port of loopback")
}

/// What comes from the gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Frame(Value),
    /// The close code; none where the connection just ended.
    Closed(Option<u16>),
}

pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    stream: Stream,
    /// Sequence number of the last dispatch.
    pub sequence: u64,
    pub session: String,
    /// Reason of the close, once there was one.
    pub reason: String,
}

/// What the connection's messages are compressed as, with the one context that they all need.
enum Stream {
    Plain,
    Zlib(Decompress),
    Zstd(DCtx<'static>),
}

impl Client {
    /// Connects and takes the HELLO.
    pub async fn connect(simulator: &Simulator) -> Self {
        Self::connect_with(simulator, "/?v=10&encoding=json").await.greeted().await
    }

    /// Connects and takes nothing.
    pub async fn connect_with(simulator: &Simulator, path_and_query: &str) -> Self {
        let url = format!("{}{path_and_query}", simulator.gateway_url());
        let (socket, _) = connect_async(url).await.expect("the gateway takes connections");
        let stream = if path_and_query.contains("zlib-stream") {
            Stream::Zlib(Decompress::new(true))
        } else if path_and_query.contains("zstd-stream") {
            Stream::Zstd(DCtx::create())
        } else {
            Stream::Plain
        };
        Self { socket, stream, sequence: 0, session: String::new(), reason: String::new() }
    }

    pub async fn greeted(mut self) -> Self {
        assert_eq!(self.frame().await["op"], 10);
        self
    }

    /// Connects, identifies, takes READY. While the bucket is closed, it tries again: a time factor makes that short.
    pub async fn ready(simulator: &Simulator, shard: u32, total: u32) -> Self {
        Self::ready_with(simulator, shard, total, INTENTS).await
    }

    pub async fn ready_with(simulator: &Simulator, shard: u32, total: u32, intents: u64) -> Self {
        loop {
            let mut client = Self::connect(simulator).await;
            client.identify(shard, total, intents).await;
            let answer = client.frame().await;
            if answer["t"] == "READY" {
                return client;
            }
            assert_eq!(answer["op"], 9, "{answer}");
        }
    }

    pub async fn identify(&mut self, shard: u32, total: u32, intents: u64) {
        self.send(&identify(shard, total, intents)).await;
    }

    pub async fn resume(&mut self, session: &str, sequence: u64) {
        self.send(&json!({ "op": 6, "d": { "token": FAKE_TOKEN, "session_id": session, "seq": sequence } }))
            .await;
    }

    /// Sends a heartbeat and takes its answer, so that what was sent before is known to be done.
    pub async fn beat(&mut self) {
        self.send(&json!({ "op": 1, "d": self.sequence })).await;
        assert_eq!(self.frame().await["op"], 11);
    }

    pub async fn send(&mut self, frame: &Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    /// Sends it so many times at once.
    pub async fn burst(&mut self, frame: &Value, count: usize) {
        for _ in 0..count {
            let _ = self.socket.feed(Message::text(frame.to_string())).await;
        }
        let _ = self.socket.flush().await;
    }

    /// Sends; that the connection is already gone is for the reading side to notice.
    pub async fn send_raw(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        let _ = self.socket.close(Some(frame)).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// The next frame or the end.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the gateway says something");
            let text = match message {
                Some(Ok(Message::Text(text))) => text.to_string(),
                Some(Ok(Message::Binary(bytes))) => self.stream.read(&bytes),
                Some(Ok(Message::Close(frame))) => {
                    self.reason = frame.as_ref().map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Heard::Closed(None),
            };
            let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
            if let Some(sequence) = frame["s"].as_u64() {
                assert_eq!(frame["op"], 0);
                self.sequence = sequence;
            }
            if frame["t"] == "READY" {
                frame["d"]["session_id"].as_str().expect("READY has a session").clone_into(&mut self.session);
            }
            return Heard::Frame(frame);
        }
    }

    pub async fn frame(&mut self) -> Value {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            closed @ Heard::Closed(_) => panic!("expected a frame, heard {closed:?}"),
        }
    }

    /// The next frame as it came; only without compression.
    pub async fn text(&mut self) -> String {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the gateway says something");
            if let Some(Ok(Message::Text(text))) = message {
                return text.to_string();
            }
        }
    }

    /// The next dispatch, which must be of this kind.
    pub async fn dispatch(&mut self, name: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["t"], name, "{frame}");
        frame["d"].clone()
    }

    /// Everything up to a dispatch of this kind, it included.
    pub async fn until(&mut self, name: &str) -> Vec<Value> {
        let mut frames = vec![self.frame().await];
        while frames.last().is_some_and(|frame| frame["t"] != name) {
            frames.push(self.frame().await);
        }
        frames
    }

    /// Reads to the end of the connection.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Heard::Closed(code) = self.hear().await {
                return code;
            }
        }
    }
}

impl Stream {
    fn read(&mut self, bytes: &[u8]) -> String {
        let mut text = Vec::with_capacity(256 * 1024);
        match self {
            Self::Plain => panic!("binary only with compression"),
            Self::Zlib(context) => {
                assert!(bytes.ends_with(&[0, 0, 0xFF, 0xFF]), "each message is flushed");
                context
                    .decompress_vec(bytes, &mut text, FlushDecompress::Sync)
                    .expect("one stream for the connection");
            }
            Self::Zstd(context) => {
                let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(&mut text));
                while input.pos() < bytes.len() {
                    let left = context.decompress_stream(&mut output, &mut input).expect("one stream");
                    assert_ne!(left, 0, "the frame never ends");
                }
            }
        }
        String::from_utf8(text).expect("UTF-8")
    }
}

pub fn identify(shard: u32, total: u32, intents: u64) -> Value {
    let properties = json!({ "os": "linux", "browser": "test", "device": "test" });
    json!({ "op": 2, "d": { "token": FAKE_TOKEN, "intents": intents, "shard": [shard, total], "properties": properties } })
}

/// A call to REST or control: status and JSON.
pub async fn call(simulator: &Simulator, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let answer = request(simulator, method, path, body).await;
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

pub async fn request(
    simulator: &Simulator,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> reqwest::Response {
    let url = format!("http://{}{path}", simulator.addr());
    let method = method.parse().expect("a method");
    let mut request = http().request(method, url).header("Authorization", format!("Bot {FAKE_TOKEN}"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.expect("the simulator answers")
}

/// twilight's REST client, pointed at the simulator.
pub fn twilight(simulator: &Simulator) -> twilight_http::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    twilight_http::Client::builder().proxy(simulator.rest_proxy(), true).token(FAKE_TOKEN.to_owned()).build()
}

pub fn http() -> reqwest::Client {
    // reqwest is built without a crypto provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
