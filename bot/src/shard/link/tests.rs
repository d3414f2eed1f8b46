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
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use twilight_gateway::{Intents, Session, ShardId};

use super::{super::connector::Connector, *};
use crate::discord::Discord;

const HELLO: &str = r#"{"op":10,"d":{"heartbeat_interval":40000},"s":null,"t":null}"#;
const RESUMED: &str = r#"{"op":0,"s":8,"t":"RESUMED","d":{}}"#;

/// What the gateway saw, in order: ops of frames, codes of closes.
#[derive(Debug, PartialEq, Eq)]
enum Saw {
    Op(u64),
    Close(u16),
}

/// Says HELLO, answers RESUME, and tells what it saw.
async fn converse(mut socket: WebSocket, saw: mpsc::UnboundedSender<Saw>) {
    socket.send(Frame::Text(HELLO.into())).await.unwrap();
    while let Some(Ok(frame)) = socket.recv().await {
        match frame {
            Frame::Text(text) => {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                let op = json["op"].as_u64().unwrap();
                if op == 6 {
                    socket.send(Frame::Text(RESUMED.into())).await.unwrap();
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
    drop(rustls::crypto::ring::default_provider().install_default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (saw, seen) = mpsc::unbounded_channel();
    let gateway = serde_json::json!({ "url": format!("ws://{address}/") });
    let pages = Router::new()
        .route("/api/v10/gateway", get(async move || Json(gateway)))
        .route(
            "/",
            get(async |State(saw): State<mpsc::UnboundedSender<Saw>>, socket: WebSocketUpgrade| {
                socket.on_upgrade(|socket| converse(socket, saw))
            }),
        )
        .with_state(saw);
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "first").unwrap();
    let source = TokenSource::File(token.path().to_owned());
    let discord = DiscordAddress { api: Some(format!("http://{address}")), ..DiscordAddress::default() };
    let (_, layouts) = watch::channel(Layouts { discord, ..Layouts::default() });
    let discord = Arc::new(Discord::new(source.clone(), layouts).unwrap());
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
    assert!(!link.close(), "without a session there is nothing to close");
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
    link.credentials.refused.note(&Token::new("first"), 4014);
    let ended = loop {
        if let Seen::Ended(ended) = link.next().await {
            break ended;
        }
    };
    assert_eq!(ended, Ended::Closed(4014));
    assert_eq!(told.try_recv(), Ok(Identified { grant: 1, outcome: Outcome::Unused }));
    assert!(scene.saw.try_recv().is_err());
    link.credentials.refused.note(&Token::new("second"), 4011);
    assert_eq!(link.credentials.refused.with(&Token::new("second")), None, "4011 is one shard's own");
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
    assert!(link.close());
    let ended = loop {
        if let Seen::Ended(ended) = link.next().await {
            break ended;
        }
    };
    assert_eq!(ended, Ended::Stopped);
    assert_eq!(scene.saw.recv().await, Some(Saw::Close(4000)));
    assert_eq!(link.session().unwrap().session.sequence(), 8);
}
