//! A raw gateway client that mostly counts: WebSocket by hand, frames told apart by their headers alone.
//!
//! From: the simulator's address. For: every measurement. It is meant to be so cheap that it is never what is measured.
//! Source: RFC 6455; a mask of zeros is a mask. Deliberately absent: heartbeats (the benchmarks' interval is longer than
//! they last), RESUME, answers to a close.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::decoder::{Decoder, Transport};

/// GUILDS, GUILD_MESSAGES, MESSAGE_CONTENT.
const INTENTS: u64 = 1 | 1 << 9 | 1 << 15;
/// Room for what is read at a time by those who get many events.
const ROOM: usize = 64 * 1024;

/// One connection.
pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// What of the buffer has been read and not yet been looked at.
    begin: usize,
    end: usize,
}

impl Client {
    /// Connects, and has the upgrade.
    pub async fn connect(address: &str, transport: Transport) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect to the simulator")?;
        stream.set_nodelay(true)?;
        let decoder = Decoder::new(transport);
        let mut client = Self { stream, decoder, buffer: vec![0; 4096], begin: 0, end: 0 };
        let request = format!(
            "GET /?v=10&encoding=json{} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            transport.query(),
        );
        client.stream.write_all(request.as_bytes()).await?;
        loop {
            let answer = &client.buffer[..client.end];
            if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                ensure!(
                    answer.starts_with(b"HTTP/1.1 101"),
                    "no upgrade: {}",
                    String::from_utf8_lossy(answer)
                );
                client.begin = at + 4;
                return Ok(client);
            }
            client.fill().await?;
        }
    }

    /// Enters as a shard: HELLO, IDENTIFY, READY and all its GUILD_CREATEs; how many guilds there were.
    pub async fn identify(&mut self, token: &str, (shard, total): (u32, u32)) -> anyhow::Result<usize> {
        let hello = self.next().await?;
        ensure!(hello["op"] == 10, "HELLO was expected: {hello}");
        let identify = json!({ "op": 2, "d": {
            "token": token, "shard": [shard, total], "intents": INTENTS,
            "properties": { "os": "linux", "browser": "bench", "device": "bench" },
        }});
        self.send(&identify).await?;
        let ready = self.next().await?;
        ensure!(ready["t"] == "READY" && ready["s"] == 1, "READY was expected: {ready}");
        let guilds = ready["d"]["guilds"].as_array().map_or(0, Vec::len);
        for _ in 0..guilds {
            let created = self.next().await?;
            ensure!(created["t"] == "GUILD_CREATE", "GUILD_CREATE was expected: {created}");
        }
        Ok(guilds)
    }

    /// The next message, decoded.
    pub async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Some((from, to)) = self.frame()? {
                let text = self.decoder.decode(&self.buffer[from..to])?;
                return serde_json::from_slice(&text).context("a message is not JSON");
            }
            self.fill().await?;
        }
    }

    /// Counts the messages that are there, or waits for more; from here on, none can be decoded.
    pub async fn count(&mut self) -> anyhow::Result<u64> {
        if self.buffer.len() < ROOM {
            self.buffer.resize(ROOM, 0);
        }
        loop {
            let mut count = 0;
            while self.frame()?.is_some() {
                count += 1;
            }
            if count > 0 {
                return Ok(count);
            }
            self.fill().await?;
        }
    }

    /// Where the next whole frame's payload is, if it has been read; it counts as looked at.
    fn frame(&mut self) -> anyhow::Result<Option<(usize, usize)>> {
        let bytes = &self.buffer[self.begin..self.end];
        let (header, length) = match bytes {
            [_, 127, rest @ ..] => (10, rest.first_chunk().map(|length| u64::from_be_bytes(*length))),
            [_, 126, rest @ ..] => (4, rest.first_chunk().map(|length| u16::from_be_bytes(*length).into())),
            [_, length, ..] => (2, Some((*length).into())),
            _ => return Ok(None),
        };
        let Some(length) = length else { return Ok(None) };
        let length = usize::try_from(length)?;
        // Whole messages of text or of bytes are all that the simulator sends while all is well.
        if !matches!(bytes[0], 0x81 | 0x82) {
            bail!("a frame of another kind: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
        }
        if bytes.len() < header + length {
            self.buffer.resize(self.buffer.len().max(header + length), 0);
            return Ok(None);
        }
        let from = self.begin + header;
        self.begin = from + length;
        Ok(Some((from, self.begin)))
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        let read = self.stream.read(&mut self.buffer[self.end..]).await.context("read from the simulator")?;
        ensure!(read > 0, "the simulator ended a connection");
        self.end += read;
        Ok(())
    }

    async fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        let text = message.to_string();
        let mut frame = vec![0x81, 0xFE];
        frame.extend(u16::try_from(text.len())?.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.context("write to the simulator")
    }
}
