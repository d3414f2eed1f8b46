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
    (Discord::new(token, layouts).unwrap(), asked, keep)
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
async fn limits_without_end_and_garbage_are_given_up() {
    let limited = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], Json(serde_json::json!({})));
    let (limited, asked, _keep) = discord(limited).await;
    assert!(matches!(limited.limits().await, Err(DiscordError::Ask { .. })));
    assert!(asked.load(Ordering::Relaxed) <= TRIES as usize, "{asked:?}");
    let (garbled, asked, _keep) = discord(|| "<html>").await;
    assert!(matches!(garbled.limits().await, Err(DiscordError::Read { .. })));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
