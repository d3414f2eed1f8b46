//! The gate's client against a small gate on loopback that speaks the contract's wire over real HTTP.

use std::{collections::VecDeque, sync::Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use shard_contract::{
    identify::Refusal,
    layouts::{GateAddress, Layouts},
};
use tokio::{net::TcpListener, sync::watch};

use super::*;

/// What the gate answers next; when nothing is left it grants the first shard.
type Script = VecDeque<(StatusCode, IdentifyAnswer)>;

/// What the pod said to the gate.
#[derive(Debug, PartialEq)]
enum Said {
    Identify(String, IdentifyRequest),
    Identified(Identified),
}

struct FakeGate {
    script: Mutex<Script>,
    said: mpsc::UnboundedSender<Said>,
}

async fn identify(
    State(gate): State<Arc<FakeGate>>,
    headers: HeaderMap,
    Json(request): Json<IdentifyRequest>,
) -> Response {
    let bearer = headers["authorization"].to_str().unwrap().to_owned();
    let first = request.shards[0];
    gate.said.send(Said::Identify(bearer, request)).unwrap();
    let next = gate.script.lock().unwrap().pop_front();
    let grant = IdentifyAnswer::Granted { shard: first, grant: 100 + u64::from(first), held_ms: 0 };
    match next.unwrap_or((StatusCode::OK, grant)) {
        (StatusCode::OK, answer) => Json(answer).into_response(),
        (status, _) => (status, Json(Refusal { error: "closed".into(), leader: None })).into_response(),
    }
}

async fn identified(State(gate): State<Arc<FakeGate>>, Json(told): Json<Identified>) -> StatusCode {
    gate.said.send(Said::Identified(told)).unwrap();
    StatusCode::NO_CONTENT
}

struct Scene {
    gate: Gate,
    said: mpsc::UnboundedReceiver<Said>,
    bearer: tempfile::NamedTempFile,
    _layouts: watch::Sender<Layouts>,
}

async fn scene(script: impl IntoIterator<Item = (StatusCode, IdentifyAnswer)>) -> Scene {
    let (say, said) = mpsc::unbounded_channel();
    let fake = Arc::new(FakeGate { script: Mutex::new(script.into_iter().collect()), said: say });
    let pages = Router::new()
        .route(IDENTIFY_PATH, post(identify))
        .route(IDENTIFIED_PATH, post(identified))
        .with_state(fake);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let document = Layouts { gate: GateAddress { url }, ..Layouts::default() };
    let (sender, layouts) = watch::channel(document);
    let bearer = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bearer.path(), "first\n").unwrap();
    let operator = Operator::new(layouts, bearer.path().to_owned()).unwrap();
    Scene { gate: Gate::of(operator, 7), said, bearer, _layouts: sender }
}

fn asked(bearer: &str, shards: &[u32], why: Why) -> Said {
    let request = IdentifyRequest { layout: 7, shards: shards.to_vec(), why };
    Said::Identify(format!("Bearer {bearer}"), request)
}

const fn not_yet(ask_again_after_ms: u64) -> (StatusCode, IdentifyAnswer) {
    let because = String::new();
    (StatusCode::OK, IdentifyAnswer::NotYet { because, ask_again_after_ms })
}

#[tokio::test]
async fn shards_are_asked_for_together_and_what_became_of_a_grant_is_told() {
    let mut scene = scene([]).await;
    let first = tokio::spawn(scene.gate.clone().ask(1, Why::Active));
    let second = tokio::spawn(scene.gate.clone().ask(2, Why::Active));
    assert_eq!(scene.said.recv().await.unwrap(), asked("first", &[1, 2], Why::Active));
    let granted = first.await.unwrap();
    assert!(granted.is_valid());
    granted.sent();
    let other = second.await.unwrap();
    // The call for shard 2 and the word about shard 1 may arrive in either order.
    let mut said = vec![scene.said.recv().await.unwrap(), scene.said.recv().await.unwrap()];
    assert!(said.contains(&Said::Identified(Identified { grant: 101, outcome: Outcome::Sent })), "{said:?}");
    said.retain(|said| matches!(said, Said::Identify(..)));
    assert_eq!(said, [asked("first", &[2], Why::Active)]);
    drop(other);
    let given_back = Said::Identified(Identified { grant: 102, outcome: Outcome::Unused });
    assert_eq!(scene.said.recv().await.unwrap(), given_back);
}

#[tokio::test]
async fn a_grant_for_a_shard_that_left_is_given_back() {
    let mut scene = scene([not_yet(50)]).await;
    let asking = tokio::spawn(scene.gate.clone().ask(3, Why::Live));
    assert_eq!(scene.said.recv().await.unwrap(), asked("first", &[3], Why::Live));
    let second = scene.said.recv().await.unwrap();
    asking.abort();
    assert_eq!(second, asked("first", &[3], Why::Live), "it asked again after not yet");
    // Whether the grant arrived before or after the abort, it was not used.
    let given_back = Said::Identified(Identified { grant: 103, outcome: Outcome::Unused });
    assert_eq!(scene.said.recv().await.unwrap(), given_back);
}

#[tokio::test]
async fn a_refusal_is_waited_out_and_the_bearer_is_read_anew() {
    let closed = (StatusCode::SERVICE_UNAVAILABLE, not_yet(0).1);
    let mut scene = scene([closed]).await;
    let asking = tokio::spawn(scene.gate.clone().ask(4, Why::Standby));
    assert_eq!(scene.said.recv().await.unwrap(), asked("first", &[4], Why::Standby));
    std::fs::write(scene.bearer.path(), "second").unwrap();
    assert_eq!(scene.said.recv().await.unwrap(), asked("second", &[4], Why::Standby));
    assert!(asking.await.unwrap().is_valid());
}

#[tokio::test]
async fn a_grant_ends_three_seconds_after_the_call_was_sent_plus_the_hold() {
    let (grant, mut told) = Grant::until(Instant::now());
    assert!(!grant.is_valid());
    drop(grant);
    assert_eq!(told.recv().await.unwrap(), Identified { grant: 1, outcome: Outcome::Unused });

    let scene = scene([]).await;
    let before = Instant::now();
    let grant = scene.gate.clone().ask(1, Why::Active).await;
    let until = grant.until.unwrap();
    let valid = Duration::from_millis(GRANT_VALID_MS);
    assert!(until >= before + valid && until <= Instant::now() + valid);
}

#[tokio::test]
async fn a_local_run_is_paced_by_twilights_queue() {
    let queue = InMemoryQueue::new(1, 1, Duration::from_hours(1), 1);
    let grant = Gate::Local(Arc::new(queue)).ask(0, Why::Active).await;
    assert!(grant.is_valid());
    grant.sent();
}
