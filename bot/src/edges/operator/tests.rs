//! Calls to replicas on loopback: whom they are made to, what is repeated, what counts as an answer.

use std::collections::VecDeque;

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response as HttpResponse},
    routing::post,
};
use shard_contract::layouts::GateAddress;
use tokio::net::TcpListener;

use super::*;

/// A replica that answers by its script, then with success.
#[derive(Default)]
struct Replica {
    script: Mutex<VecDeque<(u16, Option<String>)>>,
    heard: Mutex<Vec<Option<String>>>,
}

async fn answer(State(replica): State<Arc<Replica>>, headers: HeaderMap) -> HttpResponse {
    let heard = headers.get(HEARD_HEADER).map(|word| word.to_str().unwrap().to_owned());
    let calls = {
        let mut all = replica.heard.lock().unwrap();
        all.push(heard);
        all.len()
    };
    let next = replica.script.lock().unwrap().pop_front();
    match next {
        None => [(ANSWER_HEADER, format!("word-{calls}"))].into_response(),
        Some((0, _)) => (StatusCode::OK, [(ANSWER_HEADER, "two words")]).into_response(),
        Some((status, leader)) => {
            let refusal = Refusal { error: "no".into(), leader, pod_is_there: None };
            (StatusCode::from_u16(status).unwrap(), Json(refusal)).into_response()
        }
    }
}

struct Running {
    replica: Arc<Replica>,
    base: String,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn new(script: impl IntoIterator<Item = (u16, Option<String>)>) -> Self {
        let replica =
            Arc::new(Replica { script: Mutex::new(script.into_iter().collect()), ..Replica::default() });
        let pages = Router::new().route("/call", post(answer)).with_state(Arc::clone(&replica));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
        Self { replica, base, task }
    }

    fn calls(&self) -> usize {
        self.replica.heard.lock().unwrap().len()
    }
}

struct Scene {
    operator: Operator,
    document: watch::Sender<Layouts>,
    _bearer: tempfile::NamedTempFile,
}

fn at(base: &str) -> Layouts {
    Layouts { gate: GateAddress { url: base.to_owned() }, ..Layouts::default() }
}

fn scene(base: &str) -> Scene {
    let (document, layouts) = watch::channel(at(base));
    let bearer = tempfile::NamedTempFile::new().unwrap();
    let operator = Operator::new(layouts, bearer.path().to_owned(), Names::system()).unwrap();
    Scene { operator, document, _bearer: bearer }
}

impl Scene {
    async fn call(&self) -> Result<Answer, CallError> {
        self.operator.post("/call", &(), Duration::from_secs(5)).await
    }
}

#[tokio::test]
async fn the_leader_is_followed_and_asked_first_until_it_fails() {
    let leader = Running::new([]).await;
    let standby = Running::new([(421, Some(leader.base.clone()))]).await;
    let scene = scene(&standby.base);
    scene.call().await.unwrap();
    scene.call().await.unwrap();
    assert_eq!((standby.calls(), leader.calls()), (1, 2));
    leader.task.abort();
    drop(leader.task.await);
    // Its connections end, and so the document's address is asked, which leads by now.
    scene.call().await.unwrap();
    scene.call().await.unwrap();
    assert_eq!((standby.calls(), leader.replica.heard.lock().unwrap().len()), (3, 2));
}

#[tokio::test]
async fn a_leader_that_cannot_ask_the_api_server_is_asked_again_and_not_left() {
    let leader = Running::new([]).await;
    let standby = Running::new([(421, Some(leader.base.clone()))]).await;
    let scene = scene(&standby.base);
    scene.call().await.unwrap();
    leader.replica.script.lock().unwrap().extend([(502, None), (504, None)]);
    for _ in 0..2 {
        assert!(matches!(scene.call().await, Err(CallError::Refused { .. })));
    }
    scene.call().await.unwrap();
    assert_eq!((standby.calls(), leader.calls()), (1, 4), "each call was one try");
}

#[tokio::test]
async fn a_leader_that_leads_no_more_is_left_for_the_documents_address() {
    let second = Running::new([]).await;
    let first = Running::new([]).await;
    let standby = Running::new([(421, Some(first.base.clone())), (421, Some(second.base.clone()))]).await;
    let scene = scene(&standby.base);
    scene.call().await.unwrap();
    first.replica.script.lock().unwrap().push_back((421, None));
    scene.call().await.unwrap();
    assert_eq!((standby.calls(), first.calls(), second.calls()), (2, 2, 1), "two hops are enough");
}

#[tokio::test]
async fn two_replicas_that_name_each_other_end_the_call_after_two_hops() {
    let replicas = [Running::new([]).await, Running::new([]).await];
    for (one, other) in [(0, 1), (1, 0)] {
        let refusals = vec![(421, Some(replicas[other].base.clone())); 9];
        replicas[one].replica.script.lock().unwrap().extend(refusals);
    }
    let scene = scene(&replicas[0].base);
    assert!(matches!(scene.call().await, Err(CallError::Refused { .. })));
    assert_eq!(replicas[0].calls() + replicas[1].calls(), 1 + MAX_HOPS);
}

#[tokio::test]
async fn another_address_in_the_document_is_another_operator() {
    let (leader, elsewhere) = (Running::new([]).await, Running::new([]).await);
    let standby = Running::new([(421, Some(leader.base.clone()))]).await;
    let scene = scene(&standby.base);
    scene.call().await.unwrap();
    scene.document.send_replace(at(&elsewhere.base));
    scene.call().await.unwrap();
    assert_eq!((leader.calls(), elsewhere.calls()), (1, 1));
}

#[tokio::test]
async fn each_call_names_the_newest_answer_that_was_heard() {
    let replica = Running::new([]).await;
    replica.replica.script.lock().unwrap().extend([(503, None)]);
    let scene = scene(&replica.base);
    scene.call().await.unwrap_err();
    scene.call().await.unwrap();
    replica.replica.script.lock().unwrap().extend([(0, None)]);
    scene.call().await.unwrap();
    scene.call().await.unwrap();
    let word = |word: &str| Some(word.to_owned());
    let heard = replica.replica.heard.lock().unwrap().clone();
    assert_eq!(heard, [None, None, word("word-2"), word("word-2")], "what is no word is not repeated");
}

#[tokio::test]
async fn a_leader_that_refuses_has_answered_and_a_replica_that_cannot_grant_has_not() {
    let long_ago = Instant::now() - Duration::from_secs(90);
    let leads = [200, 401, 403, 429, 503].map(|status| (status, true));
    let cannot_grant = [421, 502, 504].map(|status| (status, false));
    for (status, led) in leads.into_iter().chain(cannot_grant) {
        let script = (status != 200).then_some((status, None));
        let replica = Running::new(script).await;
        let scene = scene(&replica.base);
        let operator = scene.operator.clone().heard_last(long_ago);
        _ = scene.call().await;
        let answers = operator.answers();
        assert_eq!((answers.led > long_ago, answers.any > long_ago), (led, true), "{status}");
        // An operator from before it told whose pod is there counts as one that knows.
        assert_eq!((answers.knew > long_ago, answers.denied), (led, None), "{status}");
    }
    let nobody = scene("http://127.0.0.1:1");
    let operator = nobody.operator.clone().heard_last(long_ago);
    assert!(matches!(nobody.call().await, Err(CallError::NoAnswer(_))));
    assert_eq!(operator.answers(), Answers { led: long_ago, any: long_ago, knew: long_ago, denied: None });
}

#[test]
fn a_leader_that_refuses_a_token_may_know_its_pod_all_the_same() {
    let refusal = |pod_is_there| Refusal { error: "no".into(), leader: None, pod_is_there };
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        assert_eq!(by(status, Some(&refusal(Some(false)))), By::Stranger);
        assert_eq!(by(status, Some(&refusal(Some(true)))), By::Leader);
        assert_eq!(by(status, Some(&refusal(None))), By::Leader);
        assert_eq!(by(status, None), By::Another, "no refusal of a gate");
    }
}

#[test]
fn only_an_http_address_with_a_host_is_followed() {
    let good = ["http://10.0.0.1:8080", "https://a.b.svc/", "http://[fd00::1]:1"];
    assert!(good.iter().all(|leader| usable(leader).is_some_and(|base| !base.ends_with('/'))));
    for bad in
        ["", "10.0.0.1:8080", "ftp://a", "http://", "file:///etc", "http://u:p@a", "http://a?b", "http://a#b"]
    {
        assert_eq!(usable(bad), None, "{bad}");
    }
}
