//! Versions of the API: which of them a path names, and the one path by which the routes know it.
//!
//! From: a request, before it is routed. For: the router, which has every route once. 9 and 10 are available; 6 to 8 are
//! deprecated and still served, 6 also to paths that name no version; the others are discontinued. Source: Discord,
//! `developers/reference.mdx` "API Versioning". Deliberately absent: what was different in the older ones, such as the shape of
//! errors in 6 and 7; every version is answered as 10 is.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use super::BASE;

/// Versions that are served.
const SERVED: std::ops::RangeInclusive<u32> = 6..=10;

/// The request with the path that the routes know: the base of version 10, and `@me` as it is.
pub fn routed(mut request: Request) -> Request {
    if let Some(path) = routed_path(request.uri().path()) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(format!("{path}{query}")).ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Whether a path names a version that is not served.
pub fn is_discontinued(path: &str) -> bool {
    path.strip_prefix("/api").and_then(split).is_some_and(|(version, _)| !SERVED.contains(&version))
}

/// The path that the routes know; none where that is the path itself, or where there is no such version.
fn routed_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/api").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let rest = match split(rest) {
        Some((version, rest)) if SERVED.contains(&version) => rest,
        Some(_) => return None,
        None => rest,
    };
    // Some libraries escape what need not be escaped in a path.
    let routed = format!("{BASE}{}", rest.replace("%40", "@"));
    (routed != path).then_some(routed)
}

/// The version that begins what follows `/api`, and what is left.
fn split(rest: &str) -> Option<(u32, &str)> {
    let rest = rest.strip_prefix("/v")?;
    let (version, left) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some((version.parse().ok()?, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_served_version_leads_to_the_same_route() {
        let table = [
            ("/api/v10/users/@me", None),
            ("/api/v9/users/@me", Some("/api/v10/users/@me")),
            ("/api/v6/gateway", Some("/api/v10/gateway")),
            ("/api/gateway", Some("/api/v10/gateway")),
            ("/api", Some("/api/v10")),
            ("/api/v10/users/%40me", Some("/api/v10/users/@me")),
            ("/api/voice/regions", Some("/api/v10/voice/regions")),
            ("/api/v5/gateway", None),
            ("/apis/gateway", None),
            ("/ledger", None),
        ];
        for (path, expected) in table {
            assert_eq!(routed_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn versions_before_6_and_after_10_are_not_served() {
        for (path, expected) in [
            ("/api/v5/gateway", true),
            ("/api/v11", true),
            ("/api/v6/gateway", false),
            ("/api/voice/regions", false),
            ("/api/vx/gateway", false),
            ("/v5", false),
        ] {
            assert_eq!(is_discontinued(path), expected, "{path}");
        }
    }
}
