//! A client made of bytes: it upgrades to a WebSocket and then sends whatever a test gives it.
//!
//! From: a simulator's address. For: what no WebSocket library lets one do. It reads the server's frames one by one.
//! Deliberately absent: answers by itself, also to pings and closes.

use discord_sim::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::PATIENCE;

/// Final text frame.
pub const TEXT: u8 = 0x81;
/// First frame of a text message of several.
pub const FIRST: u8 = 0x01;
/// A frame in the middle.
pub const MIDDLE: u8 = 0x00;
/// The last frame of several.
pub const LAST: u8 = 0x80;
/// A ping.
pub const PING: u8 = 0x89;

pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// TCP alone.
    pub async fn tcp(simulator: &Simulator) -> Self {
        Self { stream: TcpStream::connect(simulator.addr()).await.unwrap() }
    }

    /// Upgraded, HELLO not read yet.
    pub async fn connect(simulator: &Simulator) -> Self {
        let mut raw = Self::tcp(simulator).await;
        raw.send(
            b"GET /?v=10&encoding=json HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
        )
        .await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(raw.stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        raw
    }

    /// Sends; that the connection is already gone is for the reading side to notice.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame: first byte and payload; none at the end.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("something or the end").ok()
    }

    /// Reads to the end of the connection: the close code, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some((first, payload)) = self.frame().await {
            if first == 0x88 {
                code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                // So the server need not wait for an answer.
                self.send(&frame(0x88, &payload[..2])).await;
            }
        }
        code
    }

    async fn read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok((first, payload))
    }
}

/// A masked frame, as clients must send them.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame's header with its mask, which promises so many bytes.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => bytes.push(0x80 | short),
        (_, Ok(middling)) => {
            bytes.push(0xFE);
            bytes.extend(middling.to_be_bytes());
        }
        _ => {
            bytes.push(0xFF);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([1, 2, 3, 4]);
    bytes
}
