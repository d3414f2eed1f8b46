//! The writing half of a connection: orders first, then the session's events, compressed where that was asked for.
//!
//! From: orders and the session's log. For: the WebSocket. It ends only with the connection, so that the reader can wait for
//! the client's answer to a close. Deliberately absent: queues; what is not written yet stays in the log.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use flate2::{Compress, Compression, FlushCompress};
use futures::SinkExt;
use futures::stream::SplitSink;
use tokio::sync::mpsc;

use super::{FAREWELL, Transport};
use crate::discord::Discord;
use crate::session::id::SessionId;
use crate::session::wire::{Order, Wire};

/// Room that the compressor gets at a time.
const ROOM: usize = 4096;

/// Writes until the client is gone or has been told to go and was given time for it.
pub async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut orders: mpsc::Receiver<Order>,
    transport: Transport,
    discord: &Arc<Discord>,
    wire: &Wire,
) {
    let mut encoder = Encoder::new(transport);
    let mut session = None;
    loop {
        let written = tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Frame(text)) => sink.send(encoder.encode(text)).await,
                Some(Order::Attach(id)) => {
                    session = Some(id);
                    wire.wake();
                    Ok(())
                }
                Some(Order::Close(code, reason)) => {
                    let _ = sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
                    return tokio::time::sleep(FAREWELL + Duration::from_secs(1)).await;
                }
                None => return,
            },
            () = wire.woken() => match session {
                Some(session) => write_events(&mut sink, &mut encoder, discord, wire, session).await,
                None => Ok(()),
            },
        };
        if written.is_err() {
            return;
        }
    }
}

/// One batch; the bell rings again while there is more, so that orders are looked at in between.
async fn write_events(
    sink: &mut SplitSink<WebSocket, Message>,
    encoder: &mut Encoder,
    discord: &Discord,
    wire: &Wire,
    session: SessionId,
) -> Result<(), axum::Error> {
    let Some(batch) = discord.next_events(session, wire) else { return Ok(()) };
    for frame in discord.frames(&batch) {
        sink.feed(encoder.encode(frame)).await?;
    }
    sink.flush().await?;
    wire.wake();
    Ok(())
}

enum Encoder {
    Plain,
    Zlib(Box<Compress>),
}

impl Encoder {
    fn new(transport: Transport) -> Self {
        match transport {
            Transport::Plain => Self::Plain,
            Transport::Zlib => Self::Zlib(Box::new(Compress::new(Compression::fast(), true))),
        }
    }

    fn encode(&mut self, text: String) -> Message {
        match self {
            Self::Plain => Message::Text(text.into()),
            Self::Zlib(context) => Message::Binary(compress(context, text.as_bytes()).into()),
        }
    }
}

/// One message of the connection's one stream, flushed so that it ends with `00 00 ff ff`.
fn compress(context: &mut Compress, mut input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len() / 2 + 64);
    loop {
        let before = context.total_in();
        // Compressing cannot fail: the context never ends and is never given a dictionary.
        let _ = context.compress_vec(input, &mut output, FlushCompress::Sync);
        let taken = usize::try_from(context.total_in() - before).unwrap_or(usize::MAX);
        input = input.get(taken..).unwrap_or_default();
        // Room left over means that everything, the flush included, has come out.
        if input.is_empty() && output.len() < output.capacity() {
            return output;
        }
        output.reserve(ROOM);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;

    use super::*;

    #[test]
    fn messages_of_every_size_share_one_stream_and_end_with_the_suffix() {
        let mut context = Compress::new(Compression::fast(), true);
        let (mut stream, mut expected) = (Vec::new(), String::new());
        for size in (0..200).chain([1000, 50_000, 300_000]) {
            let text: String =
                (0..size).map(|i: u32| char::from(b'a' + (i.wrapping_mul(i) % 23) as u8)).collect();
            let message = compress(&mut context, text.as_bytes());
            assert!(message.is_empty() && size == 0 || message.ends_with(&[0, 0, 0xFF, 0xFF]), "{size}");
            stream.extend(message);
            expected.push_str(&text);
        }
        let mut found = vec![0; expected.len()];
        ZlibDecoder::new(stream.as_slice()).read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    }
}
