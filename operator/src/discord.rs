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
use shard_discord::{Answer, AskError, Request, Rest, Route};
use shard_machine::WallClock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use twilight_model::gateway::connection_info::BotConnectionInfo;

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

/// Names a token, without saying it.
#[must_use]
pub fn whole(token: &Token) -> Fingerprint {
    hash(token.expose())
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
            asked.entry(whole(token)).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if slot.good_until.is_some_and(|until| Instant::now() < until) {
            return slot.seen.clone();
        }
        let leave = match self.brake.leave(bot, whole(token), slot.accepted || answered, Instant::now()) {
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
            Err(error) => {
                let problem = problem(&error);
                if is_refused(&error) {
                    leave.refused(Instant::now());
                }
                slot.accepted &= problem != DiscordProblem::TokenRefused;
                slot.failures = slot.failures.saturating_add(1);
                let answer = slot.seen.answer.filter(|_| problem != DiscordProblem::TokenRefused);
                slot.seen = DiscordSeen { answer, problem: Some(problem) };
                RETRIES.after(slot.failures).max(said_to_wait(&error))
            }
        };
        slot.good_until = Some(Instant::now() + wait);
        slot.seen.clone()
    }

    /// Forgets what a bot that is gone has to wait for. Refusals of its namespace and of all bots still count.
    pub fn forget(&self, bot: &(String, String)) {
        self.brake.forget(bot);
    }

    async fn ask(&self, token: &Token) -> Result<GatewaySeen, AskError> {
        let asked_at = self.wall.now();
        let rest = Rest::new(self.base.as_deref(), token.expose());
        let request = Request::from_route(&Route::GetGatewayBot);
        let Answer { said: info, dated } = rest.ask::<BotConnectionInfo>(&request).await?;
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
}

/// What was known, and why it is not asked now. A token that was refused stays so.
fn held_back(seen: &DiscordSeen, held: &Held) -> DiscordSeen {
    let problem = match &seen.problem {
        Some(DiscordProblem::TokenRefused) => DiscordProblem::TokenRefused,
        _ => DiscordProblem::Unreachable(held.to_string()),
    };
    DiscordSeen { problem: Some(problem), ..seen.clone() }
}

/// Whether Discord counts the request as an invalid one.
const fn is_refused(error: &AskError) -> bool {
    matches!(error, AskError::TokenRefused | AskError::Limited(_) | AskError::Refused { status: 403, .. })
}

/// The longest wait that is believed.
const LONGEST_SAID: Duration = Duration::from_secs(24 * 3_600);

/// How long Discord says to wait.
fn said_to_wait(error: &AskError) -> Duration {
    let AskError::Limited(limited) = error else { return Duration::ZERO };
    limited.after.unwrap_or_default().min(LONGEST_SAID)
}

fn problem(error: &AskError) -> DiscordProblem {
    match error {
        AskError::TokenRefused => DiscordProblem::TokenRefused,
        error => DiscordProblem::Unreachable(failure(error)),
    }
}

/// For people.
fn failure(error: &AskError) -> String {
    match error {
        AskError::Refused { status, says } => format!("it answered GET /gateway/bot with {status}: {says}"),
        AskError::Limited(limited) => format!("it limits GET /gateway/bot ({limited})"),
        AskError::Unreadable(error) => {
            format!("its answer to GET /gateway/bot is not Discord's JSON: {error}")
        }
        error => {
            let mut deepest: &dyn std::error::Error = error;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            deepest.to_string()
        }
    }
}
