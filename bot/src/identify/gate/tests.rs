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
    identify::{IDENTIFIED_PATH, Refusal},
    layouts::{DiscordAddress, GateAddress, Layout, Layouts, Role},
    pace::Pace,
};
use tokio::{net::TcpListener, sync::watch};

use super::*;
use crate::{
    edges::token::{Token, TokenSource},
    seen::{job_counts::JobCounts, metrics::Metrics},
};
use shard_machine::Names;

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
        (status, _) => (status, Json(Refusal { error: "closed".into(), leader: None, pod_is_there: None }))
            .into_response(),
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
    counters: Counters,
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
    let bearer = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bearer.path(), "first\n").unwrap();
    let (asker, layouts) = asker(url, &bearer);
    let counters = asker.counters.clone();
    Scene { gate: Gate::of(asker), said, bearer, counters, _layouts: layouts }
}

/// A pod whose gate is there.
fn asker(url: String, bearer: &tempfile::NamedTempFile) -> (Asker, watch::Sender<Layouts>) {
    let document = Layouts { gate: GateAddress { url }, ..Layouts::default() };
    let (sender, layouts) = watch::channel(document);
    let asker = Asker {
        operator: Operator::new(layouts.clone(), bearer.path().to_owned(), Names::system()).unwrap(),
        discord: discord(layouts),
        status: Arc::new(Status::new(0..8, 8)),
        counters: Counters::default(),
        layout: 7,
        ordinal: 0,
        state: "/nowhere".into(),
        machine: Machine::this(),
    };
    (asker, sender)
}

fn discord(layouts: watch::Receiver<Layouts>) -> Arc<Discord> {
    drop(rustls::crypto::ring::default_provider().install_default());
    Arc::new(Discord::new(TokenSource::Given(Token::new("t")), layouts, Random::seeded(1)).unwrap())
}

fn asked(bearer: &str, shards: &[u32], priority: Priority) -> Said {
    let request = IdentifyRequest { layout: 7, shards: shards.to_vec(), priority };
    Said::Identify(format!("Bearer {bearer}"), request)
}

const fn not_yet(ask_again_after_ms: u64) -> (StatusCode, IdentifyAnswer) {
    let because = String::new();
    (StatusCode::OK, IdentifyAnswer::NotYet { because, ask_again_after_ms })
}

#[tokio::test]
async fn shards_are_asked_for_together_and_what_became_of_a_grant_is_told() {
    let mut scene = scene([]).await;
    let first = tokio::spawn(scene.gate.clone().ask(1, Priority::Active));
    let second = tokio::spawn(scene.gate.clone().ask(2, Priority::Active));
    assert_eq!(scene.said.recv().await.unwrap(), asked("first", &[1, 2], Priority::Active));
    let mut granted = first.await.unwrap();
    assert!(granted.is_valid());
    granted.sent();
    let other = second.await.unwrap();
    // The call for shard 2 and the word about shard 1 may arrive in either order.
    let mut said = vec![scene.said.recv().await.unwrap(), scene.said.recv().await.unwrap()];
    assert!(said.contains(&Said::Identified(Identified { grant: 101, outcome: Outcome::Sent })), "{said:?}");
    said.retain(|said| matches!(said, Said::Identify(..)));
    assert_eq!(said, [asked("first", &[2], Priority::Active)]);
    drop(other);
    let given_back = Said::Identified(Identified { grant: 102, outcome: Outcome::Unused });
    assert_eq!(scene.said.recv().await.unwrap(), given_back);
    granted.ready();
    let ready = Said::Identified(Identified { grant: 101, outcome: Outcome::Ready });
    assert_eq!(scene.said.recv().await.unwrap(), ready);
    let metrics = Metrics::new(Arc::new(Status::new(0..1, 1)), Arc::new(JobCounts::new()), &scene.counters);
    assert!(metrics.text().unwrap().contains("identifies_granted_total{priority=\"active\"} 1"));
}

#[tokio::test]
async fn after_sent_exactly_one_other_word_is_told() {
    type End = (fn(Grant), &'static [Outcome]);
    let ends: [End; 5] = [
        (drop, &[Outcome::Unused]),
        (|mut grant| grant.sent(), &[Outcome::Sent, Outcome::Failed]),
        (
            |mut grant| {
                grant.sent();
                grant.sent();
                grant.ready();
            },
            &[Outcome::Sent, Outcome::Ready],
        ),
        (Grant::invalid, &[Outcome::Sent, Outcome::Invalid]),
        (Grant::ready, &[Outcome::Sent, Outcome::Ready]),
    ];
    for (end, expected) in ends {
        let (grant, mut told) = Grant::until(Instant::now());
        end(grant);
        let mut words = Vec::new();
        while let Some(said) = told.recv().await {
            words.push(said.outcome);
        }
        assert_eq!(words, expected);
    }
}

#[tokio::test]
async fn a_grant_for_a_shard_that_left_is_given_back() {
    let mut scene = scene([not_yet(50)]).await;
    let asking = tokio::spawn(scene.gate.clone().ask(3, Priority::Live));
    assert_eq!(scene.said.recv().await.unwrap(), asked("first", &[3], Priority::Live));
    let second = scene.said.recv().await.unwrap();
    asking.abort();
    assert_eq!(second, asked("first", &[3], Priority::Live), "it asked again after not yet");
    // Whether the grant arrived before or after the abort, it was not used.
    let given_back = Said::Identified(Identified { grant: 103, outcome: Outcome::Unused });
    assert_eq!(scene.said.recv().await.unwrap(), given_back);
}

#[tokio::test]
async fn a_refusal_is_waited_out_and_the_bearer_is_read_anew() {
    let closed = (StatusCode::SERVICE_UNAVAILABLE, not_yet(0).1);
    let mut scene = scene([closed]).await;
    let asking = tokio::spawn(scene.gate.clone().ask(4, Priority::Standby));
    assert_eq!(scene.said.recv().await.unwrap(), asked("first", &[4], Priority::Standby));
    std::fs::write(scene.bearer.path(), "second").unwrap();
    assert_eq!(scene.said.recv().await.unwrap(), asked("second", &[4], Priority::Standby));
    assert!(asking.await.unwrap().is_valid());
}

#[tokio::test]
async fn a_call_that_panics_is_over_and_its_shards_ask_again() {
    let bearer = tempfile::NamedTempFile::new().unwrap();
    let (asker, _layouts) = asker("http://127.0.0.1:9".to_owned(), &bearer);
    let mut asking = Asking::new(asker);
    let (reply, _granted) = oneshot::channel();
    asking
        .waiting
        .add(Ask { shard: 3, priority: Priority::Live, reply }, Instant::now() - Duration::from_secs(1));
    let call = asking.waiting.next_call(Instant::now()).unwrap();
    assert_eq!(asking.waiting.next_wake(), None, "the call names it");
    let made = asking.calls.spawn(async { panic!("a defect") });
    asking.made.insert(made.id(), (call.number, call.priority));
    let ended = asking.calls.join_next_with_id().await.unwrap();
    asking.ended(ended);
    assert!(asking.waiting.next_wake().is_some() && asking.made.is_empty());
}

#[tokio::test]
async fn a_grant_ends_three_seconds_after_the_call_was_sent_plus_the_hold() {
    let (grant, mut told) = Grant::until(Instant::now());
    assert!(!grant.is_valid());
    drop(grant);
    assert_eq!(told.recv().await.unwrap(), Identified { grant: 1, outcome: Outcome::Unused });

    let scene = scene([]).await;
    let before = Instant::now();
    let grant = scene.gate.clone().ask(1, Priority::Active).await;
    let until = grant.end_of();
    let valid = Duration::from_millis(GRANT_VALID_MS);
    assert!(until >= before + valid && until <= Instant::now() + valid);
}

/// A Discord whose clock passes five times as fast and begins 12 s before a slot, and when it was asked for limits.
async fn fast_discord(slot_ms: u64, asked: mpsc::UnboundedSender<u64>) -> String {
    use k8s_openapi::jiff::Timestamp;

    let began = Instant::now();
    let clock = move || slot_ms - 12_000 + 5 * u64::try_from(began.elapsed().as_millis()).unwrap();
    let date = move || {
        let now_ms = clock();
        let now = Timestamp::from_millisecond(now_ms.try_into().unwrap()).unwrap();
        [("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())]
    };
    let limit = serde_json::json!({ "total": 10, "remaining": 5, "reset_after": 9, "max_concurrency": 2 });
    let limits = serde_json::json!({ "url": "wss://a", "shards": 1, "session_start_limit": limit });
    let gateway = serde_json::json!({ "url": "wss://a" });
    let limits = move || {
        asked.send(clock()).unwrap();
        let answer = (date(), Json(limits.clone()));
        async move { answer }
    };
    let pages = Router::new()
        .route("/api/v10/gateway", axum::routing::get(async move || (date(), Json(gateway))))
        .route("/api/v10/gateway/bot", axum::routing::get(limits));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await });
    api
}

#[tokio::test]
async fn without_any_replica_a_pod_identifies_one_shard_a_bucket_in_its_own_slot() {
    let place = shard_contract::fallback::Place { fallback_slot: 1, ordinal: 2, pods: 3 };
    let (say, mut questions) = mpsc::unbounded_channel();
    let api = fast_discord(place.next_slot(1_700_000_000_000), say).await;
    let layout =
        Layout { number: 7, total: 8, pods: 3, role: Role::Active, session_group: 0, fallback_slot: 1 };
    let document = Layouts {
        layouts: vec![layout],
        gate: GateAddress { url: "http://127.0.0.1:1".into() },
        discord: DiscordAddress { api: Some(api), time_factor: Pace::from(5) },
        ..Layouts::default()
    };
    let (_keep, layouts) = watch::channel(document);
    let bearer = tempfile::NamedTempFile::new().unwrap();
    let long_ago = Instant::now() - Duration::from_secs(90);
    let operator = Operator::new(layouts.clone(), bearer.path().to_owned(), Names::system())
        .unwrap()
        .heard_last(long_ago);
    let status = Arc::new(Status::new(0..8, 8));
    let asker = Asker {
        operator: operator.clone(),
        discord: discord(layouts),
        status: Arc::clone(&status),
        counters: Counters::default(),
        layout: 7,
        ordinal: 2,
        state: "/nowhere".into(),
        machine: Machine::this(),
    };
    let gate = Gate::of(asker);
    let [even, odd, other] = [0, 1, 3].map(|shard| tokio::spawn(gate.clone().ask(shard, Priority::Live)));
    let (mut even, odd) = (even.await.unwrap(), odd.await.unwrap());
    assert_eq!(even.end_of(), odd.end_of(), "both in one slot");
    assert!(status.on_fallback_schedule());
    let apart = Duration::from_millis(shard_contract::fallback::APART_MS / 5);
    assert_eq!(operator.names_from(), Some(even.end_of() + apart), "the gate still keeps clear of it");
    assert!(!other.is_finished(), "its bucket was taken in this slot");
    while let Ok(at_ms) = questions.try_recv() {
        assert!(place.slot_at(at_ms).is_some(), "only asked in its own slot: {at_ms}");
    }
    even.sent();
    // The gate is back: the fallback schedule ends.
    let _back = operator.heard_last(Instant::now());
    let mut changes = status.changes();
    while status.on_fallback_schedule() {
        changes.changed().await.unwrap();
    }
}
