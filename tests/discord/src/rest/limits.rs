//! REST's rate limits: one window per caller, bucket and top-level resource, those that all share, and the global one.
//!
//! From: calls of known routes, at Discord's time. For: the documented headers on every answer and real 429s.
//! Numbers are in `rest/buckets.rs`. Source: Discord, `developers/topics/rate-limits.mdx`.
//! Deliberately absent: the count of invalid requests (`rest/invalid.rs`).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::answer::answer;
use super::buckets::{self, resource};
use crate::clock::Clock;
use crate::rules::{Use, Window};
use crate::snowflake::Snowflake;

/// Calls per second of one caller over all routes.
const GLOBAL: (u32, Duration) = (50, Duration::from_secs(1));
/// Windows of a kind that are remembered; beyond them those that are over are forgotten, then the oldest.
const MANY: usize = 10_000;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A bot with its token.
    Bot(Snowflake),
    /// Somebody without one.
    Address(IpAddr),
    /// The holder of the token in the path.
    Holder,
}

/// A call, as far as limits look at it.
pub struct Call<'a> {
    /// The caller.
    pub who: Who,
    /// Method.
    pub method: &'a Method,
    /// The route with names for its variable parts, without the base.
    pub template: &'a str,
    /// The path with the base.
    pub path: &'a str,
}

/// All windows. Resources are kept as hashes: clients choose how long their names are.
#[derive(Default)]
pub struct Limits {
    global: Windows<Who>,
    bots: Windows<(Who, &'static str, u64)>,
    /// Apart, since anyone may invent tokens in paths.
    holders: Windows<(&'static str, u64)>,
    shared: Windows<u64>,
    hasher: RandomState,
}

/// Windows by key, at most so many, and the keys in the order in which they came.
struct Windows<K> {
    by_key: HashMap<K, Window>,
    order: VecDeque<K>,
}

/// What the limits say to a call.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The route's bucket and its use, unless the global limit spoke first.
    bucket: Option<(&'static str, Use)>,
    refusal: Option<Refusal>,
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Whose limit it is.
    pub scope: &'static str,
    /// When to come again, in Discord's time.
    pub after: Duration,
    /// Discord's error code, where the limit has one.
    pub code: Option<u32>,
}

impl Limits {
    /// Counts a call, at `now` of Discord's time.
    pub fn take(&mut self, call: &Call<'_>, now: Duration) -> Verdict {
        let mut verdict = Verdict { bucket: None, refusal: None };
        if buckets::is_global(call.template) {
            let usage = self.global.of(call.who, GLOBAL, now).take(now);
            if !usage.allowed {
                verdict.refusal = Some(Refusal { scope: "global", after: usage.reset_after, code: None });
                return verdict;
            }
        }
        let Some(bucket) = buckets::of(call.method, call.template) else { return verdict };
        let resource = self.hasher.hash_one(resource(call.path));
        let numbers = (bucket.limit, bucket.span);
        let usage = match call.who {
            Who::Holder => self.holders.of((bucket.id, resource), numbers, now).take(now),
            who => self.bots.of((who, bucket.id, resource), numbers, now).take(now),
        };
        verdict.bucket = Some((bucket.id, usage));
        if !usage.allowed {
            verdict.refusal = Some(Refusal { scope: "user", after: usage.reset_after, code: None });
        } else if let Some(shared) = buckets::shared(call.method, call.template) {
            let usage = self.shared.of(resource, (shared.limit, shared.span), now).take(now);
            if !usage.allowed {
                let after = usage.reset_after;
                verdict.refusal = Some(Refusal { scope: "shared", after, code: Some(shared.code) });
            }
        }
        verdict
    }
}

impl<K: Copy + Eq + Hash> Windows<K> {
    /// The window of a key. Clients choose what is in keys, so there are never many: rather a limit is forgotten.
    fn of(&mut self, key: K, (limit, span): (u32, Duration), now: Duration) -> &mut Window {
        if !self.by_key.contains_key(&key) {
            if self.order.len() >= MANY {
                self.make_room(now);
            }
            self.order.push_back(key);
        }
        self.by_key.entry(key).or_insert_with(|| Window::new(limit, span))
    }

    fn make_room(&mut self, now: Duration) {
        self.by_key.retain(|_, window| !window.is_over(now));
        self.order.retain(|key| self.by_key.contains_key(key));
        // Several at a time, so that not every new key has to look at all.
        let most = MANY - MANY / 10;
        for key in self.order.drain(..self.order.len().saturating_sub(most)) {
            self.by_key.remove(&key);
        }
    }
}

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new() }
    }
}

impl Verdict {
    /// The headers of an allowed call, or the 429.
    pub fn answer(&self, clock: &Clock) -> Result<HeaderMap, Box<Response>> {
        let mut headers = HeaderMap::new();
        if let Some((bucket, usage)) = &self.bucket {
            let after = clock.real(usage.reset_after);
            let reset = Duration::from_millis(clock.unix_ms()) + after;
            put(&mut headers, "x-ratelimit-limit", &usage.limit.to_string());
            put(&mut headers, "x-ratelimit-remaining", &usage.remaining.to_string());
            put(&mut headers, "x-ratelimit-reset", &format!("{:.3}", reset.as_secs_f64()));
            put(&mut headers, "x-ratelimit-reset-after", &format!("{:.3}", up_to_ms(after).as_secs_f64()));
            put(&mut headers, "x-ratelimit-bucket", bucket);
        }
        let Some(refusal) = self.refusal else { return Ok(headers) };
        let real = Refusal { after: clock.real(refusal.after), ..refusal };
        let mut response = too_many(&real);
        response.headers_mut().extend(headers);
        Err(Box::new(response))
    }
}

/// A 429 without the headers of a bucket; `after` is real time here.
pub fn too_many(refusal: &Refusal) -> Response {
    let is_global = refusal.scope == "global";
    let message = if refusal.scope == "shared" {
        "The resource is being rate limited."
    } else {
        "You are being rate limited."
    };
    let retry_after = up_to_ms(refusal.after).as_secs_f64();
    let mut body = json!({ "message": message, "retry_after": retry_after, "global": is_global });
    if let Some(code) = refusal.code {
        body["code"] = json!(code);
    }
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, &body);
    let headers = response.headers_mut();
    put(headers, "x-ratelimit-scope", refusal.scope);
    if is_global {
        put(headers, "x-ratelimit-global", "true");
    }
    put(headers, "retry-after", &in_seconds(refusal.after));
    response
}

/// Whole seconds, rounded up, as `Retry-After` has them.
pub fn in_seconds(span: Duration) -> String {
    span.as_millis().div_ceil(1000).to_string()
}

/// Rounded up, so that whoever waits exactly that long is not early.
fn up_to_ms(span: Duration) -> Duration {
    Duration::from_micros(u64::try_from(span.as_micros().div_ceil(1000) * 1000).unwrap_or(u64::MAX))
}

/// Sets a header.
pub fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = "/channels/{channel}/messages";
    const BOT: Who = Who::Bot(Snowflake(1));

    fn take(limits: &mut Limits, who: Who, template: &str, path: &str, at: u64) -> Verdict {
        let call = Call { who, method: &Method::POST, template, path };
        limits.take(&call, Duration::from_millis(at))
    }

    fn header(response: &Response, name: &str) -> String {
        response.headers()[name].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_channel_has_a_window_of_its_own_and_the_sixth_message_is_refused() {
        let mut limits = Limits::default();
        let clock = Clock::new(1.0);
        let mut write = |path: &str, at| take(&mut limits, BOT, MESSAGES, path, at).answer(&clock);
        for _ in 0..5 {
            assert!(write("/api/v10/channels/7/messages", 0).is_ok());
        }
        let before = clock.unix_ms();
        let refused = write("/api/v10/channels/7/messages", 3500).unwrap_err();
        assert_eq!(refused.status(), 429);
        assert_eq!(header(&refused, "retry-after"), "2");
        assert_eq!(header(&refused, "x-ratelimit-scope"), "user");
        assert_eq!(header(&refused, "x-ratelimit-reset-after"), "1.500");
        let reset: f64 = header(&refused, "x-ratelimit-reset").parse().unwrap();
        assert!(reset + 0.001 >= Duration::from_millis(before + 1500).as_secs_f64());
        assert!(write("/api/v10/channels/8/messages", 3500).is_ok());
    }

    #[test]
    fn a_call_says_what_is_left_in_real_time_and_carries_no_scope() {
        let verdict = take(&mut Limits::default(), BOT, MESSAGES, "/api/v10/channels/7/messages", 0);
        let headers = verdict.answer(&Clock::new(10.0)).unwrap();
        assert_eq!(headers["x-ratelimit-remaining"], "4");
        assert_eq!(headers["x-ratelimit-reset-after"], "0.500");
        assert!(!headers.contains_key("x-ratelimit-scope"));
    }

    #[test]
    fn the_51st_call_in_a_second_is_refused_for_all_routes_but_those_of_interactions() {
        let mut limits = Limits::default();
        let clock = Clock::new(1.0);
        for channel in 0..50 {
            let path = format!("/api/v10/channels/{channel}/messages");
            assert!(take(&mut limits, BOT, MESSAGES, &path, 0).answer(&clock).is_ok());
        }
        let path = "/api/v10/channels/99/messages";
        let refused = take(&mut limits, BOT, MESSAGES, path, 10).answer(&clock).unwrap_err();
        assert_eq!(header(&refused, "x-ratelimit-global"), "true");
        assert_eq!(header(&refused, "x-ratelimit-scope"), "global");
        let template = "/interactions/{interaction}/{token}/callback";
        for number in 0..60 {
            let path = format!("/api/v10/interactions/{number}/t/callback");
            assert!(take(&mut limits, Who::Holder, template, &path, 10).answer(&clock).is_ok());
        }
    }

    #[test]
    fn writers_of_a_channel_share_a_limit_that_says_so() {
        let mut limits = Limits::default();
        let clock = Clock::new(1.0);
        let mut write = |bot, at| {
            take(&mut limits, Who::Bot(Snowflake(bot)), MESSAGES, "/api/v10/channels/7/messages", at)
                .answer(&clock)
        };
        for bot in 0..4 {
            assert!((0..5).all(|_| write(bot, 0).is_ok()));
        }
        let refused = write(9, 1000).unwrap_err();
        assert_eq!(
            (header(&refused, "x-ratelimit-scope"), header(&refused, "retry-after")),
            ("shared".into(), "4".into())
        );
        assert_eq!(header(&refused, "x-ratelimit-remaining"), "4");
    }

    #[test]
    fn callers_without_a_token_are_told_apart_by_their_address() {
        let mut limits = Limits::default();
        let clock = Clock::new(1.0);
        let mut ask = |last: u8| {
            let who = Who::Address(IpAddr::from([127, 0, 0, last]));
            take(&mut limits, who, "/gateway", "/api/v10/gateway", 0).answer(&clock)
        };
        assert!((0..50).all(|_| ask(1).is_ok_and(|headers| headers.is_empty())));
        assert!(ask(1).is_err() && ask(2).is_ok());
    }

    #[test]
    fn invented_paths_do_not_fill_the_memory() {
        let mut limits = Limits::default();
        for channel in 0..(2 * MANY) {
            let who = Who::Bot(Snowflake(channel as u64));
            take(&mut limits, who, MESSAGES, &format!("/channels/{channel}"), 0);
        }
        let lengths = [limits.bots.by_key.len(), limits.global.by_key.len(), limits.shared.by_key.len()];
        assert!(lengths.iter().all(|length| *length <= MANY), "{lengths:?}");
        assert!(limits.bots.order.len() == lengths[0]);
    }

    #[test]
    fn invented_tokens_neither_lift_a_bots_limit_nor_that_of_a_young_holder() {
        let mut limits = Limits::default();
        let clock = Clock::new(1.0);
        let channel = "/api/v10/channels/7/messages";
        while take(&mut limits, BOT, MESSAGES, channel, 0).answer(&clock).is_ok() {}
        let (hook, own) = ("/webhooks/{webhook}/{token}", "/api/v10/webhooks/1/own");
        for number in 0..(2 * MANY) {
            if number == 2 * MANY - 100 {
                while take(&mut limits, Who::Holder, hook, own, 0).answer(&clock).is_ok() {}
            }
            take(&mut limits, Who::Holder, hook, &format!("/api/v10/webhooks/1/{number}"), 0);
        }
        assert!(take(&mut limits, BOT, MESSAGES, channel, 10).answer(&clock).is_err());
        assert!(take(&mut limits, Who::Holder, hook, own, 10).answer(&clock).is_err());
    }
}
