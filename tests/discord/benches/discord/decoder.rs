//! What a gateway message says, compressed or not.
//!
//! From: messages, every one of a connection from its first on. For: the client, which looks at the first ones only: to
//! decode all of them would measure the client. Deliberately absent: recovery; the simulator is right or the run fails.

use anyhow::{Context, anyhow, ensure};
use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

/// How a connection's messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Text.
    Plain,
    /// `zlib-stream`.
    Zlib,
    /// `zstd-stream`.
    Zstd,
}

impl Transport {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "JSON",
            Self::Zlib => "zlib-stream",
            Self::Zstd => "zstd-stream",
        }
    }

    /// What the gateway's URL says of it.
    pub fn query(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Zlib => "&compress=zlib-stream",
            Self::Zstd => "&compress=zstd-stream",
        }
    }
}

/// A connection's one stream, from its beginning.
pub enum Decoder {
    Plain,
    Zlib(Box<Decompress>),
    Zstd(DCtx<'static>),
}

impl Decoder {
    /// Before the first message.
    pub fn new(transport: Transport) -> Self {
        match transport {
            Transport::Plain => Self::Plain,
            Transport::Zlib => Self::Zlib(Box::new(Decompress::new(true))),
            Transport::Zstd => Self::Zstd(DCtx::create()),
        }
    }

    /// The next message's text.
    pub fn decode(&mut self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(message.to_vec()),
            Self::Zlib(context) => inflate(context, message),
            Self::Zstd(context) => unzstd(context, message),
        }
    }
}

fn inflate(context: &mut Decompress, mut message: &[u8]) -> anyhow::Result<Vec<u8>> {
    ensure!(message.ends_with(&[0, 0, 0xFF, 0xFF]), "zlib-stream: a message does not end with its flush");
    let mut text = room(message);
    loop {
        let before = context.total_in();
        let inflated = context.decompress_vec(message, &mut text, FlushDecompress::Sync);
        inflated.context("zlib-stream cannot be decoded")?;
        message = &message[usize::try_from(context.total_in() - before)?..];
        if message.is_empty() && text.len() < text.capacity() {
            return Ok(text);
        }
        text.reserve(text.capacity());
    }
}

fn unzstd(context: &mut DCtx<'_>, message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut text = room(message);
    let mut input = InBuffer::around(message);
    loop {
        let written = text.len();
        let mut output = OutBuffer::around_pos(&mut text, written);
        let left = context.decompress_stream(&mut output, &mut input);
        left.map_err(|code| anyhow!("zstd-stream cannot be decoded: {}", get_error_name(code)))?;
        if input.pos() == message.len() && text.len() < text.capacity() {
            return Ok(text);
        }
        text.reserve(text.capacity());
    }
}

/// Room for a message's text, most likely.
fn room(message: &[u8]) -> Vec<u8> {
    Vec::with_capacity(message.len() * 16 + 1024)
}
