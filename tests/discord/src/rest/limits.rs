//! REST's rate limits: one window per bot, bucket and top-level resource, the global one, and their headers.
//!
//! From: calls of known routes. For: the documented headers on every answer and real 429s. Numbers are of the size that
//! Discord uses; clients must read them, not know them. Deliberately absent: `shared` scope, emoji routes, bans by IP.
//! Source: Discord, `developers/topics/rate-limits.mdx`.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::answer::answer;
use crate::clock::Clock;
use crate::rules::{Use, Window};
use crate::snowflake::Snowflake;

/// Calls per second of one bot over all routes.
const GLOBAL: (u32, Duration) = (50, Duration::from_secs(1));
/// Windows that are remembered before those that are over are forgotten.
const MANY: usize = 10_000;

/// A call, as far as limits look at it.
pub struct Call<'a> {
    /// The bot.
    pub application: Snowflake,
    /// Method.
    pub method: &'a Method,
    /// The route with names for its variable parts, without the base.
    pub template: &'a str,
    /// The path with the base.
    pub path: &'a str,
}

/// All windows.
#[derive(Default)]
pub struct Limits {
    global: HashMap<Snowflake, Window>,
    windows: HashMap<(Snowflake, &'static str, String), Window>,
}

/// What the limits say to a call.
pub struct Verdict {
    bucket: &'static str,
    usage: Use,
    is_global: bool,
}

impl Limits {
    /// Counts a call, at `now` of Discord's time.
    pub fn take(&mut self, call: &Call<'_>, now: Duration) -> Verdict {
        let global = self.global.entry(call.application);
        let usage = global.or_insert_with(|| Window::new(GLOBAL.0, GLOBAL.1)).take(now);
        let (bucket, limit, span) = limit_of(call.method, call.template);
        if !usage.allowed {
            return Verdict { bucket, usage, is_global: true };
        }
        if self.windows.len() > MANY {
            self.windows.retain(|_, window| !window.is_over(now));
        }
        let key = (call.application, bucket, resource(call.path));
        let window = self.windows.entry(key).or_insert_with(|| Window::new(limit, span));
        Verdict { bucket, usage: window.take(now), is_global: false }
    }
}

/// Bucket, limit and span of a route.
fn limit_of(method: &Method, template: &str) -> (&'static str, u32, Duration) {
    let seconds = Duration::from_secs;
    match (method.as_str(), template) {
        (_, "/gateway/bot") => ("b9b93a0bd1c48b8b4ef2e2bd0d5d3c01", 2, seconds(5)),
        ("POST", "/channels/{channel}/messages") => ("80c17d2f203122d936070c88c8d10f33", 5, seconds(5)),
        ("PATCH", "/channels/{channel}/messages/{message}") => {
            ("d3c1f5f2a7c5a0d9d7e2b8a9a4d8b5e2", 5, seconds(5))
        }
        ("DELETE", "/channels/{channel}/messages/{message}") => {
            ("0f1d1f0d9c3f4dbb8a2f6e6ec5b7c9d4", 5, seconds(1))
        }
        ("POST", "/channels/{channel}/typing") => ("b1d0a6bfa3f8bd1c8d4ec5a6a4c2d1b7", 5, seconds(5)),
        (_, template) if template.starts_with("/channels/") => {
            ("5a4bb9e0e5e4b2e9c6c1d4c7a3f0b8d6", 10, seconds(5))
        }
        (_, template) if template.starts_with("/guilds/") => {
            ("7c2e8a6dd1b3f5a09e4b6c8d0f2a4c6e", 10, seconds(5))
        }
        _ => ("e2a1c3b5d7f9081a2b3c4d5e6f708192", 30, seconds(30)),
    }
}

/// The top-level resource with its id, such as `channels/7`; empty where the route has none.
fn resource(path: &str) -> String {
    let path = path.strip_prefix(super::BASE).unwrap_or(path);
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some(kind @ ("channels" | "guilds")), Some(id)) => format!("{kind}/{id}"),
        _ => String::new(),
    }
}

impl Verdict {
    /// The headers of an allowed call, or the 429.
    pub fn answer(&self, clock: &Clock) -> Result<HeaderMap, Box<Response>> {
        let after = clock.real(self.usage.reset_after);
        let mut headers = HeaderMap::new();
        if !self.is_global {
            let reset = Duration::from_millis(clock.unix_ms()) + after;
            put(&mut headers, "x-ratelimit-limit", &self.usage.limit.to_string());
            put(&mut headers, "x-ratelimit-remaining", &self.usage.remaining.to_string());
            put(&mut headers, "x-ratelimit-reset", &format!("{:.3}", reset.as_secs_f64()));
            put(&mut headers, "x-ratelimit-reset-after", &format!("{:.3}", up_to_ms(after).as_secs_f64()));
            put(&mut headers, "x-ratelimit-bucket", self.bucket);
        }
        if self.usage.allowed {
            return Ok(headers);
        }
        put(&mut headers, "x-ratelimit-scope", if self.is_global { "global" } else { "user" });
        if self.is_global {
            put(&mut headers, "x-ratelimit-global", "true");
        }
        put(&mut headers, "retry-after", &after.as_millis().div_ceil(1000).to_string());
        let body = json!({
            "message": "You are being rate limited.", "retry_after": up_to_ms(after).as_secs_f64(), "global": self.is_global,
        });
        let mut response = answer(StatusCode::TOO_MANY_REQUESTS, &body);
        response.headers_mut().extend(headers);
        Err(Box::new(response))
    }
}

/// Rounded up, so that whoever waits exactly that long is not early.
fn up_to_ms(span: Duration) -> Duration {
    Duration::from_micros(u64::try_from(span.as_micros().div_ceil(1000) * 1000).unwrap_or(u64::MAX))
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = "/channels/{channel}/messages";

    fn take(limits: &mut Limits, template: &str, path: &str, at: u64) -> Verdict {
        let call = Call { application: Snowflake(1), method: &Method::POST, template, path };
        limits.take(&call, Duration::from_millis(at))
    }

    #[test]
    fn a_channel_has_a_window_of_its_own_and_the_sixth_message_is_refused() {
        let mut limits = Limits::default();
        for _ in 0..5 {
            assert!(take(&mut limits, MESSAGES, "/api/v10/channels/7/messages", 0).usage.allowed);
        }
        let verdict = take(&mut limits, MESSAGES, "/api/v10/channels/7/messages", 3500);
        let clock = Clock::new(1.0);
        let before = Duration::from_millis(clock.unix_ms()).as_secs_f64();
        let refused = verdict.answer(&clock).unwrap_err();
        assert_eq!(refused.status(), 429);
        let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("retry-after"), "2");
        assert_eq!(header("x-ratelimit-scope"), "user");
        assert_eq!(header("x-ratelimit-reset-after"), "1.500");
        assert!(header("x-ratelimit-reset").parse::<f64>().unwrap() >= before + 1.5);
        assert!(take(&mut limits, MESSAGES, "/api/v10/channels/8/messages", 3500).usage.allowed);
    }

    #[test]
    fn a_call_says_what_is_left_and_carries_no_scope() {
        let verdict = take(&mut Limits::default(), MESSAGES, "/api/v10/channels/7/messages", 0);
        let headers = verdict.answer(&Clock::new(10.0)).unwrap();
        assert_eq!(headers["x-ratelimit-remaining"], "4");
        assert_eq!(headers["x-ratelimit-reset-after"], "0.500");
        assert!(!headers.contains_key("x-ratelimit-scope"));
    }

    #[test]
    fn the_51st_call_in_a_second_is_refused_for_all_routes() {
        let mut limits = Limits::default();
        for channel in 0..50 {
            assert!(
                take(&mut limits, MESSAGES, &format!("/api/v10/channels/{channel}/messages"), 0)
                    .usage
                    .allowed
            );
        }
        let refused = take(&mut limits, MESSAGES, "/api/v10/channels/99/messages", 10)
            .answer(&Clock::new(1.0))
            .unwrap_err();
        assert_eq!(refused.headers()["x-ratelimit-global"], "true");
        assert_eq!(refused.headers()["x-ratelimit-scope"], "global");
    }
}
