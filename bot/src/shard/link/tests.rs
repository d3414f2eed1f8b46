//! One connection against a small gateway on loopback: when the IDENTIFY leaves, what is told about its grant, how it
//! ends.

use axum::{
    Json, Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message as Frame, WebSocket},
    },
    routing::get,
};
use shard_contract::{
    identify::{Identified, Outcome},
    layouts::{DiscordAddress, Layouts},
};
use shard_machine::Random;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use twilight_gateway::{Intents, Session, ShardId};

use super::{super::connector::Connector, *};
use crate::edges::discord::Discord;

/// With a heartbeat less often than any test lasts: where the clock jumps, no answer could keep up with it.
const HELLO: &str = r#"{"op":10,"d":{"heartbeat_interval":4000000},"s":null,"t":null}"#;
const RESUMED: &str = r#"{"op":0,"s":8,"t":"RESUMED","d":{}}"#;

/// What the gateway saw, in order: ops of frames, codes of closes.
#[derive(Debug, PartialEq, Eq)]
enum Saw {
    Op(u64),
    Close(u16),
}

/// What it answers to an op.
type Answers = fn(u64) -> Option<&'static str>;

/// Says HELLO, gives its answers, and tells what it saw.
async fn converse(mut socket: WebSocket, (saw, answers): (mpsc::UnboundedSender<Saw>, Answers)) {
    socket.send(Frame::Text(HELLO.into())).await.unwrap();
    while let Some(Ok(frame)) = socket.recv().await {
        match frame {
            Frame::Text(text) => {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                let op = json["op"].as_u64().unwrap();
                if let Some(answer) = answers(op) {
                    socket.send(Frame::Text(answer.into())).await.unwrap();
                }
                saw.send(Saw::Op(op)).unwrap();
            }
            Frame::Close(frame) => drop(saw.send(Saw::Close(frame.map_or(1005, |frame| frame.code)))),
            _ => {}
        }
    }
}

struct Scene {
    connector: Connector,
    saw: mpsc::UnboundedReceiver<Saw>,
    token: tempfile::NamedTempFile,
}

async fn scene() -> Scene {
    scene_that(|op| (op == 6).then_some(RESUMED)).await
}

async fn scene_that(answers: Answers) -> Scene {
    drop(rustls::crypto::ring::default_provider().install_default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (saw, seen) = mpsc::unbounded_channel();
    let gateway = serde_json::json!({ "url": format!("ws://{address}/") });
    let pages = Router::new()
        .route("/api/v10/gateway", get(async move || Json(gateway)))
        .route(
            "/",
            get(
                async |State(side): State<(mpsc::UnboundedSender<Saw>, Answers)>,
                       socket: WebSocketUpgrade| {
                    socket.on_upgrade(move |socket| converse(socket, side))
                },
            ),
        )
        .with_state((saw, answers));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "first").unwrap();
    let source = token::TokenSource::File(token.path().to_owned());
    let discord = DiscordAddress { api: Some(format!("http://{address}")), ..DiscordAddress::default() };
    let (_, layouts) = watch::channel(Layouts { discord, ..Layouts::default() });
    let discord = Arc::new(Discord::new(source.clone(), layouts, Random::seeded(1)).unwrap());
    Scene { connector: Connector::new(Intents::GUILDS, source, discord), saw: seen, token }
}

/// An asker whose first answers are these grants, and which then waits for ever.
fn asker(grants: impl IntoIterator<Item = Grant>) -> Asker {
    let (give, given) = std::sync::mpsc::channel();
    grants.into_iter().for_each(|grant| give.send(grant).unwrap());
    let given = std::sync::Mutex::new(given);
    Box::new(move || match given.lock().unwrap().try_recv() {
        Ok(grant) => Box::pin(async { grant }),
        Err(_) => Box::pin(std::future::pending()),
    })
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

async fn until_identified(link: &mut Link) {
    while !matches!(link.next().await, Seen::Identified) {}
}

#[tokio::test]
async fn an_identify_leaves_with_a_grant_and_is_told_at_once() {
    let mut scene = scene().await;
    let (grant, mut told) = Grant::until(in_a_minute());
    let mut link = scene.connector.open(ShardId::ONE, None, false, asker([grant])).await.unwrap();
    until_identified(&mut link).await;
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Sent }));
    // Nothing polls the link any more: the frame had left when it was told.
    assert_eq!(scene.saw.recv().await, Some(Saw::Op(2)));
    assert!(!link.close(true), "without a session there is nothing to close");
}

#[tokio::test]
async fn a_grant_that_came_too_late_is_given_back_and_another_asked_for() {
    let mut scene = scene().await;
    let (late, mut late_told) = Grant::until(Instant::now());
    let (good, mut told) = Grant::until(in_a_minute());
    let mut link = scene.connector.open(ShardId::ONE, None, false, asker([late, good])).await.unwrap();
    until_identified(&mut link).await;
    assert_eq!(late_told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Unused }));
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Sent }));
    assert_eq!(scene.saw.recv().await, Some(Saw::Op(2)));
}

#[tokio::test]
async fn another_token_ends_the_connection_before_the_identify_and_gives_the_grant_back() {
    let mut scene = scene().await;
    let (grant, mut told) = Grant::until(in_a_minute());
    let mut link = scene.connector.open(ShardId::ONE, None, false, asker([grant])).await.unwrap();
    std::fs::write(scene.token.path(), "second").unwrap();
    let ended = loop {
        match link.next().await {
            Seen::Ended(ended) => break ended,
            Seen::Text(_) => {}
            Seen::Identified => panic!("not with the old token"),
        }
    };
    assert_eq!(ended, Ended::OtherToken);
    drop(link);
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Unused }));
    assert!(scene.saw.try_recv().is_err());
}

#[tokio::test]
async fn what_one_shard_was_refused_with_spends_no_other_identify() {
    let mut scene = scene().await;
    let (grant, mut told) = Grant::until(in_a_minute());
    let mut link = scene.connector.open(ShardId::ONE, None, false, asker([grant])).await.unwrap();
    link.credentials.refused.note(&token::Token::new("first"), 0, 4014);
    let ended = loop {
        if let Seen::Ended(ended) = link.next().await {
            break ended;
        }
    };
    assert_eq!(ended, Ended::Closed(4014));
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Unused }));
    assert!(scene.saw.try_recv().is_err());
    link.credentials.refused.note(&token::Token::new("second"), 0, 4011);
    assert_eq!(
        link.credentials.refused.with(&token::Token::new("second"), 0),
        None,
        "4011 is one shard's own"
    );
}

#[tokio::test]
async fn a_resume_asks_for_no_grant_and_the_stop_closes_with_4000_and_keeps_the_session() {
    let mut scene = scene().await;
    let kept = Kept { session: Session::new(7, "s".into()), url: None };
    let mut link = scene.connector.open(ShardId::ONE, Some(kept), false, asker([])).await.unwrap();
    while !link.is_online() {
        assert!(matches!(link.next().await, Seen::Text(_)));
    }
    assert_eq!(scene.saw.recv().await, Some(Saw::Op(6)));
    assert!(link.close(true));
    let ended = loop {
        if let Seen::Ended(ended) = link.next().await {
            break ended;
        }
    };
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(scene.saw.recv().await, Some(Saw::Close(4000)));
    assert_eq!(link.session().unwrap().session.sequence(), 8);
}

/// Lets time pass as far as the connection's next timer, again and again, until it ends.
async fn until_ended(link: &mut Link) -> (Ended, Duration) {
    tokio::time::pause();
    let begin = Instant::now();
    let ended = loop {
        if let Seen::Ended(ended) = link.next().await {
            break ended;
        }
    };
    let took = begin.elapsed();
    tokio::time::resume();
    (ended, took)
}

/// Acknowledges heartbeats, and nothing else.
fn only_acknowledges(op: u64) -> Option<&'static str> {
    (op == 1).then_some(r#"{"op":11}"#)
}

#[tokio::test]
async fn a_resume_without_an_answer_closes_after_half_a_minute_and_keeps_the_session() {
    let mut scene = scene_that(only_acknowledges).await;
    let kept = Kept { session: Session::new(7, "s".into()), url: None };
    let mut link = scene.connector.open(ShardId::ONE, Some(kept), false, asker([])).await.unwrap();
    assert!(matches!(link.next().await, Seen::Text(_)), "HELLO");
    tokio::select! {
        seen = link.next() => panic!("{seen:?}"),
        saw = scene.saw.recv() => assert_eq!(saw, Some(Saw::Op(6))),
    }
    let (ended, took) = until_ended(&mut link).await;
    assert_eq!(ended, Ended::ResumeFailed);
    assert!((29..=32).contains(&took.as_secs()), "{took:?}");
    while scene.saw.recv().await.unwrap() != Saw::Close(4000) {}
    assert_eq!(link.session().unwrap().session.sequence(), 7, "it is tried again");
}

#[tokio::test]
async fn an_identify_without_an_answer_closes_after_three_minutes_and_counts_as_failed() {
    let mut scene = scene_that(only_acknowledges).await;
    let (grant, mut told) = Grant::until(in_a_minute());
    let mut link = scene.connector.open(ShardId::ONE, None, false, asker([grant])).await.unwrap();
    until_identified(&mut link).await;
    assert_eq!(scene.saw.recv().await, Some(Saw::Op(2)));
    let (ended, took) = until_ended(&mut link).await;
    assert_eq!(ended, Ended::NotOnline);
    assert!((178..=182).contains(&took.as_secs()), "{took:?}");
    drop(link);
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Sent }));
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Failed }));
}

#[tokio::test]
async fn a_ready_that_cannot_be_read_closes_the_connection_and_leaves_no_session() {
    // Not even the session's id; that alone; no JSON at all.
    let readies: [Answers; 3] = [
        |op| (op == 2).then_some(r#"{"op":0,"s":1,"t":"READY","d":{"session_id":5}}"#),
        |op| {
            let ready = r#"{"op":0,"s":1,"t":"READY","d":{"session_id":"s","resume_gateway_url":"ws://x"}}"#;
            (op == 2).then_some(ready)
        },
        |op| (op == 2).then_some(r#"{"op":0,"s":1,"t":"READY","d":{"session_id":"s","#),
    ];
    for ready in readies {
        let mut scene = scene_that(ready).await;
        let (grant, mut told) = Grant::until(in_a_minute());
        let mut link = scene.connector.open(ShardId::ONE, None, false, asker([grant])).await.unwrap();
        let ended = loop {
            match link.next().await {
                Seen::Ended(ended) => break ended,
                Seen::Text(text) => assert!(text.starts_with(r#"{"op":10"#), "{text}"),
                Seen::Identified => {}
            }
        };
        assert_eq!(ended, Ended::Unreadable);
        assert!(link.session().is_none());
        assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Sent }));
        assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Failed }), "not ready");
        assert_eq!(scene.saw.recv().await, Some(Saw::Op(2)));
        assert_eq!(scene.saw.recv().await, Some(Saw::Close(4000)));
    }
}
