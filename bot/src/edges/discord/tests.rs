//! What a small Discord on loopback says, and how much it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use shard_contract::layouts::DiscordAddress;
use tokio::net::TcpListener;

use super::*;

/// Answers every question with what `answer` makes, and counts them.
async fn discord<R: IntoResponse + Send + 'static>(
    answer: impl Fn() -> R + Clone + Send + Sync + 'static,
) -> (Discord, Arc<AtomicUsize>, watch::Sender<Layouts>) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let page = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = answer();
        async move { answer }
    };
    let pages =
        Router::new().route("/api/v10/gateway/bot", get(page.clone())).route("/api/v10/gateway", get(page));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let discord = DiscordAddress { api, ..DiscordAddress::default() };
    let (keep, layouts) = watch::channel(Layouts { discord, ..Layouts::default() });
    let token = TokenSource::Given(Token::new("t"));
    (Discord::new(token, layouts, Random::seeded(1)).unwrap(), asked, keep)
}

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[tokio::test]
async fn limits_come_with_discords_clock() {
    let body = serde_json::json!({
        "url": "wss://gateway", "shards": 9,
        "session_start_limit": { "total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 16 },
    });
    let (discord, _, _keep) = discord(move || ([("date", DATE)], Json(body.clone()))).await;
    let limits = discord.limits().await.unwrap();
    assert_eq!((limits.total, limits.remaining, limits.max_concurrency), (1_000, 999, 16));
    assert!(format!("{:?}", limits.reading).contains("date_ms: 784111777000"), "{limits:?}");
    assert!(discord.clock().await.is_ok_and(|reading| reading.is_some()));
}

#[tokio::test]
async fn a_429_and_garbage_are_named_after_one_request() {
    let limited =
        || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "82680")], "<html>\n<title>Banned</title>");
    let (limited, asked, _keep) = discord(limited).await;
    let error = chain(&limited.limits().await.unwrap_err());
    assert!(error.contains("GET /gateway/bot") && error.contains("for another 22 h 58 min"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let page = || (StatusCode::FORBIDDEN, "<html>\n<title>Access denied</title>\n<body>".repeat(1_000));
    let (refused, asked, _keep) = discord(page).await;
    let error = chain(&refused.limits().await.unwrap_err());
    assert!(error.ends_with("it answered with 403: Access denied"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let (garbled, asked, _keep) = discord(|| "<html>").await;
    let error = chain(&garbled.limits().await.unwrap_err());
    assert!(error.contains("its answer could not be read"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn after_a_401_nothing_is_asked_with_that_token() {
    let (refused, asked, _keep) = discord(|| StatusCode::UNAUTHORIZED).await;
    for _ in 0..3 {
        assert!(matches!(refused.limits().await, Err(DiscordError::TokenRefused { .. })));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
