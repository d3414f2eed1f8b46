//! Which limit a route has: its bucket, its numbers, and whether it counts towards the global one.
//!
//! From: method and template of a route. For: `rest/limits.rs`. Numbers are of the size that Discord uses; clients must read
//! them off the headers, not know them. Source: Discord, `developers/topics/rate-limits.mdx`.
//! Deliberately absent: limits of a guild's emojis; there are none here.

use std::time::Duration;

use axum::http::Method;

/// A limit of one bot, for each top-level resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// As `X-RateLimit-Bucket` names it.
    pub id: &'static str,
    /// Calls ...
    pub limit: u32,
    /// ... in this time.
    pub span: Duration,
}

/// A limit of a resource, whoever calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLimit {
    /// Calls ...
    pub limit: u32,
    /// ... in this time.
    pub span: Duration,
    /// Discord's error code.
    pub code: u32,
}

const MESSAGE: &str = "/channels/{channel}/messages/{message}";
const REACTIONS: &str = "/channels/{channel}/messages/{message}/reactions/";

/// The bucket of a route; `GET /gateway` has none.
pub fn of(method: &Method, template: &str) -> Option<Bucket> {
    let seconds = Duration::from_secs;
    let bucket = |id, limit, span| Some(Bucket { id, limit, span });
    match (method.as_str(), template) {
        (_, "/gateway") => None,
        (_, "/gateway/bot") => bucket("b9b93a0bd1c48b8b4ef2e2bd0d5d3c01", 2, seconds(5)),
        ("POST", "/channels/{channel}/messages") => bucket("80c17d2f203122d936070c88c8d10f33", 5, seconds(5)),
        ("PATCH", MESSAGE) => bucket("d3c1f5f2a7c5a0d9d7e2b8a9a4d8b5e2", 5, seconds(5)),
        ("DELETE", MESSAGE) => bucket("0f1d1f0d9c3f4dbb8a2f6e6ec5b7c9d4", 5, seconds(1)),
        ("PUT" | "DELETE", template) if template.starts_with(REACTIONS) => {
            bucket("5e1c8a40f4b2d6937a0c9e8d1b3f5a72", 1, Duration::from_millis(250))
        }
        ("POST", "/channels/{channel}/typing") => bucket("b1d0a6bfa3f8bd1c8d4ec5a6a4c2d1b7", 5, seconds(5)),
        ("POST", "/users/@me/channels") => bucket("c6d2b0f1e3a4957886a7b5c4d3e2f1a0", 10, seconds(10)),
        (method, template) if template.contains("/commands") && method != "GET" => {
            bucket("ae3e8d6cbf0a4192b7c5d4e3f2a1b098", 5, seconds(20))
        }
        (_, template) if template.starts_with("/interactions/") => {
            bucket("3a1b5c7d9e0f2846a7b8c9d0e1f2a3b4", 5, seconds(5))
        }
        (_, template) if template.starts_with("/webhooks/") => {
            bucket("41f9cd5d28af77da04563bcb1d67fdfd", 5, seconds(2))
        }
        (_, template) if template.starts_with("/channels/") => {
            bucket("5a4bb9e0e5e4b2e9c6c1d4c7a3f0b8d6", 10, seconds(5))
        }
        (_, template) if template.starts_with("/guilds/") => {
            bucket("7c2e8a6dd1b3f5a09e4b6c8d0f2a4c6e", 10, seconds(5))
        }
        _ => bucket("e2a1c3b5d7f9081a2b3c4d5e6f708192", 30, seconds(30)),
    }
}

/// The limit that all callers of a channel share.
pub fn shared(method: &Method, template: &str) -> Option<SharedLimit> {
    let writes = method == Method::POST && template == "/channels/{channel}/messages";
    writes.then_some(SharedLimit { limit: 20, span: Duration::from_secs(5), code: 20028 })
}

/// Whether a call counts towards the global limit: interactions and their webhooks do not.
pub fn is_global(template: &str) -> bool {
    !template.starts_with("/interactions/") && !template.starts_with("/webhooks/")
}

/// Whether a call needs no bot's token, because its path has one or because anyone may ask.
pub fn is_open(method: &Method, template: &str) -> bool {
    !is_global(template) || (template == "/gateway" && method == Method::GET)
}

/// The top-level resource with its id, such as `channels/7`; empty where the route has none.
pub fn resource(path: &str) -> String {
    let path = path.strip_prefix(super::BASE).unwrap_or(path);
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(kind @ ("channels" | "guilds")), Some(id), _) => format!("{kind}/{id}"),
        (Some(kind @ ("webhooks" | "interactions")), Some(id), Some(token)) => format!("{kind}/{id}/{token}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_apart_by_top_level_resources_only() {
        let table = [
            ("/api/v10/channels/7/messages/8", "channels/7"),
            ("/api/v10/guilds/7/members/8", "guilds/7"),
            ("/api/v10/webhooks/1/abc/messages/@original", "webhooks/1/abc"),
            ("/api/v10/interactions/1/abc/callback", "interactions/1/abc"),
            ("/api/v10/applications/1/guilds/7/commands", ""),
            ("/api/v10/users/@me", ""),
        ];
        for (path, expected) in table {
            assert_eq!(resource(path), expected, "{path}");
        }
    }

    #[test]
    fn interactions_need_no_token_and_do_not_count_globally() {
        for (template, open) in [
            ("/interactions/{interaction}/{token}/callback", true),
            ("/webhooks/{webhook}/{token}", true),
            ("/gateway", true),
            ("/gateway/bot", false),
            ("/users/@me", false),
        ] {
            assert_eq!(is_open(&Method::GET, template), open, "{template}");
        }
        assert!(is_global("/gateway") && !is_global("/webhooks/{webhook}/{token}"));
    }
}
