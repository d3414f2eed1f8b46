//! Asking Discord over REST: a client at a base URL, a question, and what came of it.
//!
//! From a base URL and a token to twilight's client, and from a request of it to an [`Answer`], which carries Discord's clock, or an
//! [`AskError`]. For the operator, which asks for `GET /gateway/bot` alone, and for pods. Deliberately absent: waiting, which token, and
//! how long an answer counts: the two sides differ in all three.

use std::sync::atomic::{AtomicU32, Ordering};

use jiff::fmt::rfc2822;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use twilight_http::{
    Error, Response,
    client::{Client, ClientBuilder},
    error::ErrorType,
    response::{DeserializeBodyError, ResponseFuture},
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
    /// Anything else; `RequestCanceled`: every try was answered with 429.
    #[error("the request failed")]
    Failed(#[source] Error),
    /// The answer is not what Discord's documentation says.
    #[error("its answer could not be read")]
    Unreadable(#[source] DeserializeBodyError),
}

/// A client that asks Discord itself, or at this base URL.
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

/// Asks, and gives up after so many answers with 429.
///
/// # Errors
/// [`AskError`] says why there is no answer.
pub async fn ask<T>(request: ResponseFuture<T>, tries: u32) -> Result<Answer<T>, AskError>
where
    T: DeserializeOwned + Unpin,
{
    let asked_at = Instant::now();
    let response = match few_tries(request, tries).await {
        Ok(response) => response,
        Err(error) if is_unauthorized(&error) => return Err(AskError::TokenRefused),
        Err(error) => return Err(AskError::Failed(error)),
    };
    let dated = date(&response).map(|said_ms| Dated { said_ms, asked_at, answered_at: Instant::now() });
    let said = response.model().await.map_err(AskError::Unreadable)?;
    Ok(Answer { said, dated })
}

/// Sends a request, and gives up after so many answers with 429.
///
/// twilight tries again at once and without end when an answer does not say whose limit it is, which alone could use
/// up the 10,000 invalid requests after which Discord bans the address. Given up, the error is `RequestCanceled`.
///
/// # Errors
/// Twilight's own.
pub async fn few_tries<T: Unpin>(mut request: ResponseFuture<T>, most: u32) -> Result<Response<T>, Error> {
    let tries = AtomicU32::new(0);
    request.set_pre_flight(move || tries.fetch_add(1, Ordering::Relaxed) < most);
    request.await
}

/// Whether Discord refused the token.
#[must_use]
pub fn is_unauthorized(error: &Error) -> bool {
    match error.kind() {
        ErrorType::Unauthorized => true,
        ErrorType::Response { status, .. } => status.get() == 401,
        _ => false,
    }
}

fn date<T>(response: &Response<T>) -> Option<u64> {
    let (_, date) = response.headers().find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    read_date(date)
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
