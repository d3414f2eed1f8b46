//! The count of invalid requests per address, and the ban that too many of them bring.
//!
//! From: answers with 401, 403 and 429 (not of shared scope), at Discord's time. For: REST's middleware, which answers a
//! banned address like the net in front of Discord, until the window of 10 minutes is over.
//! Source: Discord, `developers/topics/rate-limits.mdx` "Invalid Request Limit". Deliberately absent: `X-Forwarded-For`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::limits::{in_seconds, put};

/// Invalid requests are counted over this time.
const SPAN: Duration = Duration::from_secs(10 * 60);
/// Addresses that are remembered; beyond them new ones are not counted.
const MANY: usize = 100_000;

/// Invalid requests of each address.
#[derive(Debug, Default)]
pub struct InvalidRequests {
    counts: HashMap<IpAddr, Count>,
}

#[derive(Debug)]
struct Count {
    number: u32,
    ends: Duration,
    is_banned: bool,
}

impl InvalidRequests {
    /// Counts one; true if it is the one that brings the ban.
    pub fn count(&mut self, address: IpAddr, limit: u32, now: Duration) -> bool {
        if self.counts.len() >= MANY && !self.counts.contains_key(&address) {
            self.counts.retain(|_, count| now < count.ends);
            if self.counts.len() >= MANY {
                return false;
            }
        }
        let new = || Count { number: 0, ends: now + SPAN, is_banned: false };
        let count = self.counts.entry(address).or_insert_with(new);
        if now >= count.ends {
            *count = new();
        }
        count.number = count.number.saturating_add(1);
        let is_the_one = count.number >= limit && !count.is_banned;
        count.is_banned |= is_the_one;
        is_the_one
    }

    /// How long an address is banned for yet, in Discord's time.
    pub fn banned_for(&self, address: IpAddr, now: Duration) -> Option<Duration> {
        let count = self.counts.get(&address).filter(|count| count.is_banned && now < count.ends)?;
        Some(count.ends.saturating_sub(now))
    }
}

/// What stands in front of Discord says to a banned address: no JSON, no header of a limit.
pub fn banned(retry_after: Option<Duration>) -> Response {
    let page = "<!doctype html><html lang=\"en-US\"><head><title>Access denied | discord.com used Cloudflare to restrict \
                access</title></head><body><h1>Error 1015</h1><p>You are being rate limited</p></body></html>\n";
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    if let Some(retry_after) = retry_after {
        put(headers, "retry-after", &in_seconds(retry_after));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn the_last_allowed_request_brings_the_ban_until_the_window_is_over() {
        let mut invalid = InvalidRequests::default();
        let at = Duration::from_secs;
        let bans: Vec<_> = (0..5).map(|second| invalid.count(address(1), 4, at(second))).collect();
        assert_eq!(bans, [false, false, false, true, false]);
        assert_eq!(invalid.banned_for(address(1), at(100)), Some(at(500)));
        assert_eq!(invalid.banned_for(address(2), at(100)), None);
        assert_eq!(invalid.banned_for(address(1), at(600)), None);
        assert!(!invalid.count(address(1), 4, at(600)));
    }

    #[test]
    fn the_number_of_addresses_is_bounded_and_those_that_are_known_stay() {
        let mut invalid = InvalidRequests::default();
        for number in 0..=u32::try_from(MANY).unwrap() {
            invalid.count(IpAddr::from(number.to_be_bytes()), 2, Duration::ZERO);
        }
        assert_eq!(invalid.counts.len(), MANY);
        assert!(invalid.count(IpAddr::from([0, 0, 0, 0]), 2, Duration::ZERO));
        invalid.count(address(1), 2, SPAN);
        assert_eq!(invalid.counts.len(), 1);
    }

    #[test]
    fn a_ban_looks_like_nothing_that_discord_itself_says() {
        let response = banned(Some(Duration::from_millis(1500)));
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &HeaderValue::from(2))
        );
        assert!(response.headers().keys().all(|name| !name.as_str().starts_with("x-ratelimit")));
    }
}
