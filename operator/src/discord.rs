//! `GET /gateway/bot`, and nothing more.
//!
//! From a token to what Discord recommends and how many IDENTIFYs are left. Answers are kept for a while, failures
//! back off, and one token is asked by one call at a time: the route itself is limited to about 2 calls per 5 s. Refused calls are
//! counted over all bots ([`brake`]). Deliberately absent: every other route.

mod brake;

use crate::backoff::Backoff;
use crate::model::{DiscordProblem, DiscordSeen, Fingerprint, GatewaySeen, Token};
use brake::{Brake, Held};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use shard_contract::pace::Pace;
pub use shard_discord::Dated;
use shard_discord::{Answer, AskError};
use shard_machine::WallClock;
use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use twilight_http::error::{Error, ErrorType};

/// How long an answer is used before Discord is asked again.
const FRESH: Duration = Duration::from_secs(45);
/// The waits after failures.
const RETRIES: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// Asks Discord, sparingly.
pub struct Discord {
    base: Option<String>,
    pace: Pace,
    wall: WallClock,
    dated: Box<dyn Fn(Fingerprint, Dated) + Send + Sync>,
    asked: Mutex<HashMap<Fingerprint, Arc<tokio::sync::Mutex<Asked>>>>,
    brake: Brake,
}

#[derive(Debug, Default)]
struct Asked {
    seen: DiscordSeen,
    good_until: Option<Instant>,
    failures: u32,
    /// Whether Discord has answered to it, and has not refused it since.
    accepted: bool,
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

impl Discord {
    /// Asks at this base URL, or Discord itself, and says what time it is there.
    #[must_use]
    pub fn new(
        base: Option<String>,
        pace: Pace,
        wall: WallClock,
        dated: impl Fn(Fingerprint, Dated) + Send + Sync + 'static,
    ) -> Self {
        Self { base, pace, wall, dated: Box::new(dated), asked: Mutex::default(), brake: Brake::default() }
    }

    /// What Discord says of this bot's token: an answer at most [`FRESH`] old, or the last one and why there is no newer.
    /// `answered`: whether the bot's status says that Discord has answered to it.
    pub async fn gateway(&self, bot: &(String, String), token: &Token, answered: bool) -> DiscordSeen {
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
        let leave = match self.brake.leave(bot, slot.accepted || answered, Instant::now()) {
            Ok(leave) => leave,
            Err(held) => return held_back(&slot.seen, &held),
        };
        let wait = match self.ask(token).await {
            Ok(answer) => {
                leave.accepted();
                (slot.failures, slot.accepted) = (0, true);
                slot.seen = DiscordSeen { answer: Some(answer), problem: None };
                FRESH
            }
            Err((problem, refused)) => {
                if refused {
                    leave.refused(Instant::now());
                }
                slot.accepted &= problem != DiscordProblem::TokenRefused;
                slot.failures = slot.failures.saturating_add(1);
                let answer = slot.seen.answer.filter(|_| problem != DiscordProblem::TokenRefused);
                slot.seen = DiscordSeen { answer, problem: Some(problem) };
                RETRIES.after(slot.failures)
            }
        };
        slot.good_until = Some(Instant::now() + wait);
        slot.seen.clone()
    }

    async fn ask(&self, token: &Token) -> Result<GatewaySeen, (DiscordProblem, bool)> {
        let asked_at = self.wall.now();
        let client = self.client(token);
        let asked = shard_discord::ask(client.gateway().authed().into_future(), 1).await;
        let Answer { said: info, dated } = asked.map_err(|error| (problem(&error), is_refused(&error)))?;
        if let Some(dated) = dated {
            (self.dated)(fingerprint(token), dated);
        }
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
        shard_discord::client(self.base.as_deref(), token.expose().to_owned())
            .remember_invalid_token(false)
            .timeout(Duration::from_secs(10))
            .build()
    }
}

/// What was known, and why it is not asked now. A token that was refused stays so.
fn held_back(seen: &DiscordSeen, held: &Held) -> DiscordSeen {
    let problem = match &seen.problem {
        Some(DiscordProblem::TokenRefused) => DiscordProblem::TokenRefused,
        _ => DiscordProblem::Unreachable(held.to_string()),
    };
    DiscordSeen { problem: Some(problem), ..seen.clone() }
}

/// Whether Discord counts the request as an invalid one. Given up after a 429, a request is a cancelled one.
fn is_refused(error: &AskError) -> bool {
    match error {
        AskError::TokenRefused => true,
        AskError::Failed(error) => match error.kind() {
            ErrorType::Response { status, .. } => matches!(status.get(), 403 | 429),
            kind => matches!(kind, ErrorType::RequestCanceled),
        },
        AskError::Unreadable(_) => false,
    }
}

fn problem(error: &AskError) -> DiscordProblem {
    match error {
        AskError::TokenRefused => DiscordProblem::TokenRefused,
        AskError::Failed(error) => DiscordProblem::Unreachable(failure(error)),
        AskError::Unreadable(error) => {
            DiscordProblem::Unreachable(format!("its answer could not be read: {error}"))
        }
    }
}

/// For people.
fn failure(error: &Error) -> String {
    match error.kind() {
        ErrorType::Response { status, .. } => format!("it answered GET /gateway/bot with {status}"),
        ErrorType::RequestCanceled => "it limits GET /gateway/bot (429); the next try waits".into(),
        ErrorType::RequestTimedOut => "no answer within 10 s".into(),
        ErrorType::Parsing { .. } => "its answer to GET /gateway/bot is not Discord's JSON".into(),
        _ => {
            let mut deepest: &dyn std::error::Error = error;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            deepest.to_string()
        }
    }
}
