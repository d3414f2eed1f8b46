//! Asking Discord over REST: a base URL and a token, a question, and what came of it.
//!
//! From a request to an [`Answer`], which carries Discord's clock, or an [`AskError`], which says of a 429 whose limit it is and for how
//! long ([`Limited`]). For the operator, which asks for `GET /gateway/bot` alone, and for pods, which ask and reply. Deliberately
//! absent: trying again, and how long an answer counts: the two sides differ in both.

mod limited;
mod rest;
mod words;

use std::error::Error as StdError;

use hyper::{HeaderMap, header::DATE};
use jiff::fmt::rfc2822;
use tokio::time::Instant;
use twilight_http::client::{Client, ClientBuilder};
pub use twilight_http::{request::Request, routing::Route};

pub use self::{
    limited::{Limited, Scope, span},
    rest::{Rest, Sent},
};

/// What Discord said, and when.
#[derive(Clone, Copy, Debug)]
pub struct Answer<T> {
    /// What it said.
    pub said: T,
    /// Its clock; none: the answer had no `Date` that can be read.
    pub dated: Option<Dated>,
}

/// What Discord's clock showed, by the `Date` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// The second that it names, in milliseconds since 1970.
    pub said_ms: u64,
    /// When the question went out.
    pub asked_at: Instant,
    /// When the answer's head was here.
    pub answered_at: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// 401: the token is not (any more) a bot's.
    #[error("it refused the token (401)")]
    TokenRefused,
    /// The token cannot be sent.
    #[error("the token has characters that no header can carry")]
    NoHeader,
    /// 429.
    #[error("it limits requests ({0})")]
    Limited(Limited),
    /// Another status that is no success.
    #[error("it answered with {status}: {says}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says, in one line.
        says: String,
    },
    /// There was no answer in time.
    #[error("no answer within 10 s")]
    Late,
    /// The request failed on the way.
    #[error("the request failed")]
    Failed(#[source] Box<dyn StdError + Send + Sync>),
    /// The answer is not what Discord's documentation says.
    #[error("its answer could not be read")]
    Unreadable(#[source] serde_json::Error),
}

/// twilight's client, which asks Discord itself or at this base URL.
pub fn client(base: Option<&str>, token: String) -> ClientBuilder {
    let builder = Client::builder().token(token);
    match base {
        Some(base) => {
            let (host, plain) = host(base);
            builder.proxy(host.to_owned(), plain)
        }
        None => builder,
    }
}

/// A base URL as twilight takes it: what follows the scheme, and whether it is plain HTTP.
fn host(base: &str) -> (&str, bool) {
    let (host, plain) = match base.strip_prefix("http://") {
        Some(host) => (host, true),
        None => (base.strip_prefix("https://").unwrap_or(base), false),
    };
    (host.trim_end_matches('/'), plain)
}

fn date(headers: &HeaderMap) -> Option<u64> {
    read_date(headers.get(DATE)?.as_bytes())
}

/// From `Mon, 23 Nov 2026 20:37:55 GMT` to milliseconds since 1970.
fn read_date(date: &[u8]) -> Option<u64> {
    let read = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    u64::try_from(read.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read_and_nothing_else_for_it() {
        assert_eq!(read_date(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for bad in [&b""[..], b"yesterday", b"1994-11-06", b"Sun, 06 Nov 1894 08:49:37 GMT", b"\xff"] {
            assert_eq!(read_date(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_base_url_is_taken_with_and_without_scheme_and_slash() {
        for (base, expected) in [
            ("http://127.0.0.1:8090", ("127.0.0.1:8090", true)),
            ("http://sim.bots.svc:8090/", ("sim.bots.svc:8090", true)),
            ("https://discord.example/", ("discord.example", false)),
            ("discord.example", ("discord.example", false)),
        ] {
            assert_eq!(host(base), expected, "{base}");
        }
    }
}
