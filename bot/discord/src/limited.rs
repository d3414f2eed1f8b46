//! A 429: whose limit it is, and for how long.
//!
//! From an answer's headers and body to that, and to words for people. Discord documents headers and body
//! (<https://docs.discord.com/developers/topics/rate-limits>); what stands before it (Cloudflare) answers HTML with `Retry-After` alone.
//! Deliberately absent: what is done about it.

use std::{fmt, time::Duration};

use hyper::{HeaderMap, header::RETRY_AFTER};
use serde::Deserialize;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The route's, for this bot.
    User,
    /// The route's, for everybody.
    Shared,
    /// The bot's, over all routes.
    Global,
    /// It is not said: perhaps the address's, over all bots.
    Unknown,
}

impl Scope {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get("x-ratelimit-scope").map(hyper::header::HeaderValue::as_bytes) {
            Some(b"user") => Self::User,
            Some(b"shared") => Self::Shared,
            Some(b"global") => Self::Global,
            _ if headers.contains_key("x-ratelimit-global") => Self::Global,
            _ => Self::Unknown,
        }
    }

    /// Whether requests of other routes are refused as well.
    #[must_use]
    pub const fn is_of_all_routes(self) -> bool {
        matches!(self, Self::Global | Self::Unknown)
    }
}

/// A request that was one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Whose limit it is.
    pub scope: Scope,
    /// How long it lasts, as the answer says; none: it does not.
    pub after: Option<Duration>,
}

/// What Discord's own answer says.
#[derive(Deserialize)]
struct Said {
    retry_after: Option<f64>,
    global: Option<bool>,
}

impl Limited {
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let said = serde_json::from_slice::<Said>(body).ok();
        let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
        let seconds = said.as_ref().and_then(|said| said.retry_after).or(header);
        let after = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let is_global = said.is_some_and(|said| said.global == Some(true));
        Self { scope: if is_global { Scope::Global } else { Scope::of(headers) }, after }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.scope {
            Scope::User => "this bot's limit of the route",
            Scope::Shared => "everybody's limit of the route",
            Scope::Global => "this bot's limit of all routes",
            Scope::Unknown => "a limit of all routes, perhaps the address's",
        };
        match self.after {
            Some(after) => write!(f, "429, {whose}, for another {}", span(after)),
            None => write!(f, "429, {whose}, and it does not say for how long"),
        }
    }
}

/// A span for people: its two largest units, rounded up.
#[must_use]
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    match (seconds / 3_600, seconds % 3_600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_429_says_whose_limit_it_is_and_for_how_long() {
        let discords = r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#;
        let global = r#"{"message":"You are being rate limited.","retry_after":0.5,"global":true}"#;
        for (given, body, expected) in [
            (
                vec![("x-ratelimit-scope", "user")],
                discords,
                "429, this bot's limit of the route, for another 1 min 5 s",
            ),
            (
                vec![("x-ratelimit-scope", "shared"), ("retry-after", "3")],
                "",
                "429, everybody's limit of the route, for another 3 s",
            ),
            (vec![], global, "429, this bot's limit of all routes, for another 1 s"),
            (
                vec![("retry-after", "82680")],
                "<html>",
                "429, a limit of all routes, perhaps the address's, for another 22 h 58 min",
            ),
            (
                vec![("retry-after", "soon")],
                "<html>",
                "429, a limit of all routes, perhaps the address's, and it does not say for how long",
            ),
        ] {
            assert_eq!(Limited::of(&headers(&given), body.as_bytes()).to_string(), expected);
        }
    }
}
