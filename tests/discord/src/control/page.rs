//! The page for people, at `/`: a grid of shards, budgets, what was broken, lost or slow, live.
//!
//! From: `page/`, built in; the page itself reads `GET /ledger`. For: people. It is sent with a policy under which a browser
//! runs nothing and asks nobody but what this address serves, since much that it shows was written by bots.
//! Deliberately absent: anything computed here, and buttons that would change the simulator.

use axum::Router;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const ICON: &str = include_str!("page/page.svg");

/// Scripts, styles, pictures and answers of this address; nothing inline, nothing of others, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page is made of, but for itself: `/` is the gateway's address too, so that is told apart elsewhere.
pub fn router() -> Router {
    Router::new()
        .route("/page.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/page.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/page.svg", get(|| async { file("image/svg+xml", ICON) }))
        // Browsers ask for this one by themselves.
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
}

/// The page.
pub fn page() -> Response {
    file("text/html; charset=utf-8", HTML)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The next simulator at this address may be of another version.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
