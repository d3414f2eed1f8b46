//! Transport compression: one context for a connection's whole life, every message flushed.
//!
//! From: a frame's text. For: the writer. `zlib-stream` ends each message with `00 00 ff ff`; `zstd-stream` makes one
//! WebSocket message of one gateway message and never ends its frame. Source: Discord, `developers/events/gateway.mdx`
//! "Transport Compression". Deliberately absent: dictionaries, and anything for connections that asked for nothing.
//!
//! Resident memory of one context: zlib 312 KiB (zlib-rs, 32 KiB window: a smaller one saves at most a third and changes
//! the stream's first byte, which some clients look at); zstd 61 KiB after HELLO, 77 KiB with a session, 149 KiB once every
//! buffer was in use (16 KiB window; zstd's own choice for this level would take 940 KiB and more). Both bring a message
//! of 800 bytes to a tenth of that, in 2 to 4 µs.

use axum::extract::ws::Message;
use flate2::{Compress, Compression, FlushCompress};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, ErrorCode, InBuffer, OutBuffer, Strategy};

/// Room that a compressor gets at a time once its first room is used up.
const ROOM: usize = 4096;
/// What zstd may look back at, as a power of two.
const ZSTD_WINDOW: u32 = 14;
/// Places of zstd's hash table, as a power of two.
const ZSTD_HASH: u32 = 12;

/// What a client asked for with `compress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Text.
    Plain,
    /// `zlib-stream`.
    Zlib,
    /// `zstd-stream`.
    Zstd,
}

/// A connection's compressor, if it has one.
pub enum Encoder {
    Plain,
    Zlib(Box<Compress>),
    Zstd(CCtx<'static>),
}

impl Encoder {
    /// A new stream.
    pub fn new(transport: Transport) -> Self {
        match transport {
            Transport::Plain => Self::Plain,
            Transport::Zlib => Self::Zlib(Box::new(Compress::new(Compression::fast(), true))),
            Transport::Zstd => Self::Zstd(zstd_context()),
        }
    }

    /// The frame as a message, or nothing where the compressor failed, which it never should.
    pub fn encode(&mut self, text: String) -> Option<Message> {
        match self {
            Self::Plain => Some(Message::Text(text.into())),
            Self::Zlib(context) => Some(Message::Binary(deflate(context, text.as_bytes()).into())),
            Self::Zstd(context) => {
                let bytes = zstd_stream(context, text.as_bytes());
                let bytes = bytes.inspect_err(|code| tracing::error!(code, "zstd failed"));
                bytes.ok().map(|bytes| Message::Binary(bytes.into()))
            }
        }
    }
}

/// One message of the connection's one stream, flushed so that it ends with `00 00 ff ff`.
fn deflate(context: &mut Compress, mut input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len() / 4 + 64);
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

fn zstd_context() -> CCtx<'static> {
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(1),
        CParameter::Strategy(Strategy::ZSTD_fast),
        CParameter::WindowLog(ZSTD_WINDOW),
        CParameter::HashLog(ZSTD_HASH),
        CParameter::ChainLog(ZSTD_HASH),
    ] {
        // All of them are within zstd's bounds; at worst the context is larger than it need be.
        let set = context.set_parameter(parameter);
        debug_assert!(set.is_ok(), "{parameter:?}");
    }
    context
}

/// One message of the connection's one frame, flushed.
fn zstd_stream(context: &mut CCtx<'_>, input: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let mut output = Vec::with_capacity(input.len() / 4 + 64);
    let mut input = InBuffer::around(input);
    loop {
        let written = output.len();
        let mut room = OutBuffer::around_pos(&mut output, written);
        let left = context.compress_stream2(&mut room, &mut input, ZSTD_EndDirective::ZSTD_e_flush)?;
        if left == 0 && input.pos() == input.src.len() {
            return Ok(output);
        }
        output.reserve(left.max(ROOM));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;
    use zstd::zstd_safe::DCtx;

    use super::*;

    fn texts() -> impl Iterator<Item = String> {
        let sizes = (0..200).chain([1000, 50_000, 300_000]);
        sizes.map(|size| (0..size).map(|i: u32| char::from(b'a' + (i.wrapping_mul(i) % 23) as u8)).collect())
    }

    fn encoded(encoder: &mut Encoder, text: &str) -> Vec<u8> {
        let Some(Message::Binary(bytes)) = encoder.encode(text.to_owned()) else { panic!("{text}") };
        bytes.to_vec()
    }

    #[test]
    fn zlib_messages_of_every_size_share_one_stream_and_end_with_the_suffix() {
        let mut encoder = Encoder::new(Transport::Zlib);
        let (mut stream, mut expected) = (Vec::new(), String::new());
        for text in texts() {
            let message = encoded(&mut encoder, &text);
            assert!(
                message.is_empty() && text.is_empty() || message.ends_with(&[0, 0, 0xFF, 0xFF]),
                "{text}"
            );
            stream.extend(message);
            expected.push_str(&text);
        }
        let mut found = vec![0; expected.len()];
        ZlibDecoder::new(stream.as_slice()).read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    }

    #[test]
    fn zstd_messages_of_every_size_are_whole_and_share_one_frame_that_never_ends() {
        let (mut encoder, mut decoder) = (Encoder::new(Transport::Zstd), DCtx::create());
        for (number, text) in texts().enumerate() {
            let message = encoded(&mut encoder, &text);
            let (mut input, mut found) = (InBuffer::around(&message), vec![0; text.len() + 1]);
            let mut room = OutBuffer::around(found.as_mut_slice());
            while input.pos() < message.len() {
                let left = decoder.decompress_stream(&mut room, &mut input).unwrap();
                assert_ne!(left, 0, "message {number} ended the frame");
            }
            assert_eq!(room.as_slice(), text.as_bytes(), "message {number}");
        }
    }

    #[test]
    fn a_zstd_context_stays_as_small_as_the_documentation_says() {
        let mut context = zstd_context();
        for text in texts() {
            zstd_stream(&mut context, text.as_bytes()).unwrap();
        }
        assert!(context.sizeof() <= 160 * 1024, "{}", context.sizeof());
    }
}
