//! Frames that twilight cannot read: what is wrong with one, in words that may be logged.
//!
//! From twilight's error to a short text for the log, made of what was expected and where. Guarantees: nothing of the
//! frame's own values, which hold session ids and what users wrote. Deliberately absent: what follows from it.

use std::error::Error as _;

use serde_json::error::Category;
use twilight_gateway::error::{ReceiveMessageError, ReceiveMessageErrorType};

/// The op of a dispatch.
const DISPATCH: u8 = 0;

/// What kind of frame it is.
#[derive(serde::Deserialize)]
pub(super) struct Frame {
    pub(super) op: u8,
}

/// Whether it may be an event; what is too broken to say may be one.
pub(super) fn may_be_dispatch(error: &ReceiveMessageError) -> bool {
    let ReceiveMessageErrorType::Deserializing { event } = error.kind() else { return false };
    serde_json::from_str(event).map_or(true, |frame: Frame| frame.op == DISPATCH)
}

/// What is wrong with a frame, without its content.
pub(super) fn wrong(error: &ReceiveMessageError) -> String {
    let kind = match error.kind() {
        ReceiveMessageErrorType::Deserializing { .. } => "deserializing",
        ReceiveMessageErrorType::Compression => "compression",
        _ => "other",
    };
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(cause) => format!("{kind}: {}", safe(cause)),
        None => kind.to_owned(),
    }
}

/// The part of a message that serde and the types made, without the part that the value made.
fn safe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        Category::Data if text.starts_with("missing field") => text,
        Category::Data => match text.rsplit_once(", expected ") {
            Some((_, expected)) => format!("expected {expected}"),
            None => format!("a value that does not fit at column {}", error.column()),
        },
        Category::Syntax | Category::Eof | Category::Io => text,
    }
}

#[cfg(test)]
mod tests {
    use twilight_gateway::{EventTypeFlags, parse};

    use super::*;

    fn error(frame: &str) -> ReceiveMessageError {
        parse(frame.to_owned(), EventTypeFlags::all()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_of_the_values() {
        let table = [
            (r#"{"op":0,"s":1,"t":"READY","d":{"session_id":"secret"}}"#, "missing field"),
            (r#"{"op":0,"s":1,"t":"GUILD_DELETE","d":{"id":"secret, expected"}}"#, "expected "),
            (r#"{"op":0,"s":1,"t":"GUILD_DELETE","d":{"id":"1","unavailable":"secret"}}"#, "expected "),
            (r#"{"op":0,"s":1,"t":"GUILD_DELETE","d":{"secret""#, "EOF"),
        ];
        for (frame, said) in table {
            let error = error(frame);
            let wrong = wrong(&error);
            assert!(wrong.contains(said) && !wrong.contains("secret"), "{frame}: {wrong}");
            assert!(may_be_dispatch(&error));
        }
        assert!(!may_be_dispatch(&error(r#"{"op":10,"s":null,"t":null,"d":{"heartbeat_interval":"x"}}"#)));
    }
}
