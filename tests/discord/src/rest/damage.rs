//! Damage: the answers that a fault puts in the place of the right one, or does to it.
//!
//! From: a fault that hits a call, and the right answer where the call takes effect. For: REST's middleware.
//! Deliberately absent: which calls are hit (`faults.rs`).

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::LONGEST_BODY;
use super::answer::{error, ok};
use super::buckets::Bucket;
use super::invalid::banned;
use super::limits::{Refusal, put, too_many};
use crate::faults::{Damage, Scope};

/// Waits, but not beyond the end of the simulator.
pub async fn wait(span: Duration, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = sleep(span) => {}
        () = stop.cancelled() => {}
    }
}

/// The answer that the client gets; `right` is what it would have got, where the call took effect.
pub async fn answer(
    damage: Damage,
    right: Option<Response>,
    (bucket, unix_ms): (Option<Bucket>, u64),
    stop: &CancellationToken,
) -> Response {
    match damage {
        Damage::Status(status) => of_status(status),
        Damage::RateLimit(scope, after) => rate_limit(scope, after, bucket, unix_ms),
        Damage::Delay(span) => {
            wait(span, stop).await;
            right.unwrap_or_else(|| of_status(504))
        }
        Damage::Timeout(span) => {
            wait(span, stop).await;
            of_status(504)
        }
        Damage::Garbage => garbage(),
        Damage::Cut => cut(right.unwrap_or_else(|| ok(&serde_json::json!({ "id": "0" })))).await,
    }
}

fn of_status(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("Error");
    error(status, 0, &format!("{}: {reason}", status.as_u16()))
}

fn rate_limit(scope: Scope, after: Option<Duration>, bucket: Option<Bucket>, unix_ms: u64) -> Response {
    let wait = after.unwrap_or(Duration::from_secs(1));
    let refusal = |scope| Refusal { scope, after: wait, code: None };
    match scope {
        Scope::Cloudflare => banned(after),
        Scope::Global => too_many(&refusal("global")),
        Scope::User => with_bucket(too_many(&refusal("user")), bucket, 0, wait, unix_ms),
        // As in Discord's example: the bot's own limit is not used up, the resource's is.
        Scope::Shared => with_bucket(too_many(&refusal("shared")), bucket, 1, wait, unix_ms),
    }
}

fn with_bucket(
    mut response: Response,
    bucket: Option<Bucket>,
    remaining: u32,
    wait: Duration,
    unix_ms: u64,
) -> Response {
    if let Some(bucket) = bucket {
        let headers: &mut HeaderMap = response.headers_mut();
        put(headers, "x-ratelimit-limit", &bucket.limit.to_string());
        put(headers, "x-ratelimit-remaining", &remaining.to_string());
        let reset = Duration::from_millis(unix_ms) + wait;
        put(headers, "x-ratelimit-reset", &format!("{:.3}", reset.as_secs_f64()));
        put(headers, "x-ratelimit-reset-after", &format!("{:.3}", wait.as_secs_f64()));
        put(headers, "x-ratelimit-bucket", bucket.id);
    }
    response
}

fn garbage() -> Response {
    let mut response = Response::new(Body::from(&b"{\"id\": \"1\xFF\xFE<html>\0"[..]));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// All of the head, half of the body, then the end of the connection.
async fn cut(right: Response) -> Response {
    let (mut head, body) = right.into_parts();
    let whole = to_bytes(body, LONGEST_BODY).await.unwrap_or_default();
    // An answer without a body has no half; it gets one that is announced and never comes.
    let length = whole.len().max(2);
    head.status = if head.status == StatusCode::NO_CONTENT { StatusCode::OK } else { head.status };
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let half = whole.slice(..whole.len() / 2);
    let parts = stream::unfold(Some(half), |left| async move {
        if let Some(half) = left {
            return Some((Ok::<Bytes, io::Error>(half), None));
        }
        // So that the half is on its way before the connection ends.
        tokio::task::yield_now().await;
        Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
    });
    Response::from_parts(head, Body::from_stream(parts))
}
