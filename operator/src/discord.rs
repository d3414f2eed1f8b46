//! `GET /gateway/bot`, and nothing more.
//!
//! From a token to what Discord recommends and how many IDENTIFYs are left. Answers are kept for a while, failures
//! back off, and one token is asked by one call at a time: the route itself is limited to about 2 calls per 5 s, and
//! 10,000 refused calls in 10 minutes ban the address. Deliberately absent: every other route.

use crate::model::{DiscordProblem, DiscordSeen, Fingerprint, GatewaySeen, Token};
use k8s_openapi::jiff::fmt::rfc2822;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use shard_contract::pace::Pace;
use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use twilight_http::error::{Error, ErrorType};

/// How long an answer is used before Discord is asked again.
const FRESH: Duration = Duration::from_secs(45);
/// The first wait after a failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Asks Discord, sparingly.
pub struct Discord {
    base: Option<String>,
    pace: Pace,
    dated: Box<dyn Fn(Fingerprint, Dated) + Send + Sync>,
    asked: Mutex<HashMap<Fingerprint, Arc<tokio::sync::Mutex<Asked>>>>,
}

#[derive(Debug, Default)]
struct Asked {
    seen: DiscordSeen,
    good_until: Option<Instant>,
    failures: u32,
}

/// Names the bot that a token belongs to, without saying it. The first of a token's parts is the bot's id: it stays when
/// the token is rotated, and so do the bot's buckets and budget.
#[must_use]
pub fn fingerprint(token: &Token) -> Fingerprint {
    hash(token.expose().split('.').next().unwrap_or_default())
}

fn hash(text: &str) -> Fingerprint {
    let mut first = [0; 16];
    first.copy_from_slice(&Sha256::digest(text)[..16]);
    Fingerprint(first)
}

/// What Discord's clock showed, by the `Date` of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// The second that it names, in milliseconds since 1970.
    pub said_ms: u64,
    /// When the question went out.
    pub asked_at: Instant,
    /// When the answer was here.
    pub answered_at: Instant,
}

impl Discord {
    /// Asks at this base URL, or Discord itself, and says what time it is there.
    #[must_use]
    pub fn new(
        base: Option<String>,
        pace: Pace,
        dated: impl Fn(Fingerprint, Dated) + Send + Sync + 'static,
    ) -> Self {
        Self { base, pace, dated: Box::new(dated), asked: Mutex::default() }
    }

    /// What Discord says of this token: an answer at most [`FRESH`] old, or the last one and why there is no newer.
    pub async fn gateway(&self, token: &Token) -> DiscordSeen {
        let slot = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.len() > 20_000 {
                asked.retain(|_, slot| Arc::strong_count(slot) > 1);
            }
            asked.entry(hash(token.expose())).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if slot.good_until.is_some_and(|until| Instant::now() < until) {
            return slot.seen.clone();
        }
        let wait = match self.ask(token).await {
            Ok(answer) => {
                slot.failures = 0;
                slot.seen = DiscordSeen { answer: Some(answer), problem: None };
                FRESH
            }
            Err(problem) => {
                slot.failures = slot.failures.saturating_add(1);
                let answer = slot.seen.answer.filter(|_| problem != DiscordProblem::TokenRefused);
                slot.seen = DiscordSeen { answer, problem: Some(problem) };
                (FIRST_WAIT * 2_u32.saturating_pow((slot.failures - 1).min(8))).min(LONGEST_WAIT)
            }
        };
        slot.good_until = Some(Instant::now() + wait);
        slot.seen.clone()
    }

    async fn ask(&self, token: &Token) -> Result<GatewaySeen, DiscordProblem> {
        let asked_at = Timestamp::now();
        let client = self.client(token);
        let mut request = client.gateway().authed().into_future();
        // Twilight repeats a 429 at once and without end; this lets the first try through and no other.
        let tried = AtomicBool::new(false);
        request.set_pre_flight(move || !tried.swap(true, Ordering::Relaxed));
        let sent_at = Instant::now();
        let response = request.await.map_err(|error| problem(&error))?;
        let date = response.headers().find(|(name, _)| name.eq_ignore_ascii_case("date"));
        if let Some(said_ms) = date.and_then(|(_, value)| unix_ms(value)) {
            (self.dated)(
                fingerprint(token),
                Dated { said_ms, asked_at: sent_at, answered_at: Instant::now() },
            );
        }
        let info = response
            .model()
            .await
            .map_err(|error| DiscordProblem::Unreachable(format!("its answer could not be read: {error}")))?;
        let limit = info.session_start_limit;
        let resets_in = self.pace.real_ms(limit.reset_after);
        let resets_in = SignedDuration::from_millis(resets_in.try_into().unwrap_or(i64::MAX / 2));
        Ok(GatewaySeen {
            shards: info.shards,
            total: limit.total,
            remaining: limit.remaining,
            resets_at: asked_at.checked_add(resets_in).unwrap_or(Timestamp::MAX),
            max_concurrency: u32::from(limit.max_concurrency).max(1),
            asked_at,
        })
    }

    fn client(&self, token: &Token) -> twilight_http::Client {
        let builder = twilight_http::Client::builder()
            .token(token.expose().to_owned())
            .remember_invalid_token(false)
            .timeout(Duration::from_secs(10));
        match &self.base {
            Some(url) => {
                let plain = url.starts_with("http://");
                let host = url.trim_start_matches("http://").trim_start_matches("https://");
                builder.proxy(host.to_owned(), plain)
            }
            None => builder,
        }
        .build()
    }
}

/// From `Mon, 23 Nov 2026 20:37:55 GMT`.
fn unix_ms(date: &[u8]) -> Option<u64> {
    let time = rfc2822::parse(std::str::from_utf8(date).ok()?).ok()?;
    time.timestamp().as_millisecond().try_into().ok()
}

fn problem(error: &Error) -> DiscordProblem {
    match error.kind() {
        ErrorType::Response { status, .. } if status.get() == 401 => DiscordProblem::TokenRefused,
        ErrorType::Unauthorized => DiscordProblem::TokenRefused,
        ErrorType::Response { status, .. } => {
            DiscordProblem::Unreachable(format!("it answered GET /gateway/bot with {status}"))
        }
        ErrorType::RequestCanceled => {
            DiscordProblem::Unreachable("it limits GET /gateway/bot (429); the next try waits".into())
        }
        ErrorType::RequestTimedOut => DiscordProblem::Unreachable("no answer within 10 s".into()),
        ErrorType::Parsing { .. } => {
            DiscordProblem::Unreachable("its answer to GET /gateway/bot is not Discord's JSON".into())
        }
        _ => {
            let mut deepest: &dyn std::error::Error = error;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            DiscordProblem::Unreachable(deepest.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read_and_nothing_else_for_it() {
        assert_eq!(unix_ms(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for bad in ["", "now", "1994-11-06", "Sun, 06 Nov 1894 08:49:37 GMT"] {
            assert_eq!(unix_ms(bad.as_bytes()), None, "{bad}");
        }
    }
}
