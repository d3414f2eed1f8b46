//! With which code a client's close is answered: its own, as RFC 6455 advises, or 1000.
//!
//! From: the reader, which has just read the close. For: the TCP stream, on which the WebSocket library writes its answer. That
//! library always gives the client's own frame back and has no switch, so the code is changed in the bytes on their way out.
//! What Discord's own server answers is not known. Deliberately absent: an answer to a close without a code, which has none either.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The first byte of a close frame, which is never in parts.
const CLOSE: u8 = 0x88;
/// The code of a close that nothing is wrong with.
const NORMAL: u16 = 1000;
/// Bytes of a close's payload, at most (RFC 6455 section 5.5).
const LONGEST: usize = 125;

/// The answer that is about to be written on a connection, if another one is wanted.
#[derive(Clone, Debug, Default)]
pub struct CloseAnswer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_set: AtomicBool,
    /// The frame that the library will write.
    echo: Mutex<Vec<u8>>,
}

impl CloseAnswer {
    /// Has the answer to a close of this code and reason be 1000.
    pub fn be_normal(&self, code: u16, reason: &str) {
        let payload: Vec<u8> = code.to_be_bytes().into_iter().chain(reason.bytes()).take(LONGEST).collect();
        let mut echo = vec![CLOSE, u8::try_from(payload.len()).unwrap_or_default()];
        echo.extend(payload);
        *self.0.echo.lock().unwrap_or_else(PoisonError::into_inner) = echo;
        self.0.is_set.store(true, Ordering::Release);
    }

    /// The bytes to write in the place of these; none where they stay as they are. The answer is the last that a connection
    /// writes, so it is at the end of the bytes, or the bytes are the end of it.
    pub fn changed(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !self.0.is_set.load(Ordering::Acquire) {
            return None;
        }
        let echo = self.0.echo.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = bytes.len().min(echo.len());
        let (before, end) = bytes.split_at(bytes.len() - shared);
        if shared == 0 || end != &echo[echo.len() - shared..] {
            return None;
        }
        let mut answer = echo.clone();
        answer[2..4].copy_from_slice(&NORMAL.to_be_bytes());
        Some([before, &answer[answer.len() - shared..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_changed_wherever_the_bytes_are_cut_and_nothing_else_is() {
        let answer = CloseAnswer::default();
        let echo = [0x88, 5, 0x0F, 0xA0, b'b', b'y', b'e'];
        let normal = [0x88, 5, 0x03, 0xE8, b'b', b'y', b'e'];
        assert_eq!(answer.changed(&echo), None, "nothing is wanted yet");
        answer.be_normal(4000, "bye");
        assert_eq!(answer.changed(&echo), Some(normal.to_vec()));
        assert_eq!(
            answer.changed(&[&[1, 2, 3], &echo[..]].concat()),
            Some([&[1, 2, 3], &normal[..]].concat())
        );
        for cut in 1..echo.len() {
            assert_eq!(answer.changed(&echo[cut..]), Some(normal[cut..].to_vec()), "{cut}");
        }
        for other in [&[][..], &[0x81, 1, b'x'], &[0x8A, 0]] {
            assert_eq!(answer.changed(other), None, "{other:?}");
        }
    }
}
