//! Faults of REST that control asks for: each kind does what it says, to the calls that it names and to no others.

use std::time::{Duration, Instant};

use discord_sim::{FaultFilter, FaultKind, NewFault, Scope, Simulator};
use serde_json::{Value, json};

use crate::client::{call, http, options, request, start};

const ME: &str = "/api/v10/users/@me";

fn fault(kind: FaultKind) -> NewFault {
    serde_json::from_value(json!({ "kind": kind })).unwrap()
}

fn messages(simulator: &Simulator) -> String {
    format!("/api/v10/channels/{}/messages", simulator.control().world.guilds()[0].0 + 1)
}

#[tokio::test]
async fn a_fault_hits_its_route_for_its_number_of_calls_and_the_ledger_counts_them() {
    let simulator = start(options()).await;
    let fault = json!({ "kind": "status", "status": 502, "route": "/users/@me", "count": 2 });
    let (status, made) = call(&simulator, "POST", "/control/faults", Some(fault)).await;
    assert_eq!((status, &made["left"], &made["kind"]), (200, &json!(2), &json!("status")));
    assert_eq!(call(&simulator, "GET", "/api/v10/applications/@me", None).await.0, 200);
    for status in [502, 502, 200] {
        let (found, body) = call(&simulator, "GET", ME, None).await;
        assert_eq!(found, status);
        assert!(found == 200 || body == json!({ "message": "502: Bad Gateway", "code": 0 }), "{body}");
    }
    let ledger = simulator.ledger();
    assert_eq!(ledger.faults.get("status"), Some(&2));
    assert!(simulator.control().faults().is_empty());
}

#[tokio::test]
async fn a_429_of_each_scope_looks_like_discords() {
    let simulator = start(options()).await;
    let table = [
        (Scope::User, Some("user"), Some("0"), false),
        (Scope::Shared, Some("shared"), Some("1"), false),
        (Scope::Global, Some("global"), None, true),
        (Scope::Cloudflare, None, None, false),
    ];
    for (scope, expected, remaining, is_global) in table {
        let fault = NewFault {
            scope: Some(scope),
            retry_after_ms: Some(1500),
            count: Some(1),
            ..fault(FaultKind::RateLimit)
        };
        simulator.control().add_fault(fault).unwrap();
        let answer = request(&simulator, "GET", ME, None).await;
        let headers = answer.headers().clone();
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), header("retry-after")), (429, Some("2")), "{scope:?}");
        assert_eq!((header("x-ratelimit-scope"), header("x-ratelimit-remaining")), (expected, remaining));
        assert_eq!(header("x-ratelimit-global"), is_global.then_some("true"));
        let text = answer.text().await.unwrap();
        match serde_json::from_str::<Value>(&text) {
            Ok(body) => assert_eq!((&body["retry_after"], &body["global"]), (&json!(1.5), &json!(is_global))),
            Err(_) => assert!(scope == Scope::Cloudflare && text.contains("<html"), "{text}"),
        }
    }
    // Shared ones are not held against the caller.
    assert_eq!(simulator.ledger().invalid_requests, 3);
}

#[tokio::test]
async fn garbage_is_a_200_that_no_one_can_read() {
    let simulator = start(options()).await;
    simulator.control().add_fault(fault(FaultKind::Garbage)).unwrap();
    let answer = request(&simulator, "GET", ME, None).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert!(serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).is_err());
}

#[tokio::test]
async fn a_cut_answer_announces_its_whole_length_and_ends_in_the_middle() {
    let simulator = start(options()).await;
    let whole = request(&simulator, "GET", ME, None).await.bytes().await.unwrap();
    let cut = NewFault { executes: true, ..fault(FaultKind::Cut) };
    simulator.control().add_fault(cut).unwrap();
    let mut answer = request(&simulator, "GET", ME, None).await;
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(whole.len() as u64)));
    let mut got = Vec::new();
    let end = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            end => break end,
        }
    };
    assert!(end.is_err(), "{end:?}");
    assert_eq!(got, whole[..whole.len() / 2]);
}

#[tokio::test]
async fn a_call_takes_effect_before_its_answer_is_lost_only_where_the_fault_says_so() {
    let simulator = start(options()).await;
    for (executes, written) in [(false, 0), (true, 1)] {
        for kind in [FaultKind::Status, FaultKind::Cut, FaultKind::Garbage] {
            simulator.control().remove_faults(FaultFilter::default()).unwrap();
            simulator.control().clock.advance(Duration::from_secs(10));
            let before = simulator.ledger().messages.by_bots;
            let fault = NewFault { executes, method: Some("POST".into()), ..fault(kind) };
            simulator.control().add_fault(fault).unwrap();
            request(&simulator, "POST", &messages(&simulator), Some(json!({ "content": "x" }))).await;
            assert_eq!(simulator.ledger().messages.by_bots - before, written, "{kind:?} {executes}");
        }
    }
}

#[tokio::test]
async fn a_delayed_call_is_answered_rightly_but_late() {
    let simulator = start(options()).await;
    let late = NewFault { delay_ms: Some(300), count: Some(1), ..fault(FaultKind::Delay) };
    simulator.control().add_fault(late).unwrap();
    let begun = Instant::now();
    assert_eq!(call(&simulator, "GET", ME, None).await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_call_that_times_out_is_not_answered_and_the_simulator_can_still_be_stopped() {
    let simulator = start(options()).await;
    simulator.control().add_fault(fault(FaultKind::Timeout)).unwrap();
    let url = format!("http://{}{ME}", simulator.addr());
    let waiting = http().get(url).timeout(Duration::from_millis(300)).send().await;
    assert!(waiting.unwrap_err().is_timeout());
    assert_eq!(simulator.ledger().faults.get("timeout"), Some(&1));
    simulator.control().remove_faults(FaultFilter::default()).unwrap();
    let short = NewFault { delay_ms: Some(50), ..fault(FaultKind::Timeout) };
    simulator.control().add_fault(short).unwrap();
    assert_eq!(call(&simulator, "GET", ME, None).await.0, 504);
    simulator.stop().await;
}

#[tokio::test]
async fn faults_are_listed_taken_away_and_end_by_themselves() {
    let simulator = start(options()).await;
    let brief = json!({ "kind": "garbage", "forMs": 1, "method": "get" });
    call(&simulator, "POST", "/control/faults", Some(brief)).await;
    let (_, lasting) = call(&simulator, "POST", "/control/faults", Some(json!({ "kind": "cut" }))).await;
    let until = Instant::now() + Duration::from_secs(60);
    while simulator.control().faults().len() > 1 && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    let (_, list) = call(&simulator, "GET", "/control/faults", None).await;
    assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (1, &lasting["id"]));
    assert_eq!(call(&simulator, "DELETE", "/control/faults?id=99", None).await.0, 404);
    let path = format!("/control/faults?id={}", lasting["id"]);
    assert_eq!(call(&simulator, "DELETE", &path, None).await.1, json!({ "removed": 1 }));
    assert_eq!(call(&simulator, "DELETE", "/control/faults", None).await.1, json!({ "removed": 0 }));
}

#[tokio::test]
async fn a_fault_that_makes_no_sense_is_refused_with_the_remedy() {
    let simulator = start(options()).await;
    let table = [
        (json!({ "kind": "status", "status": 200 }), "status: found 200; use 400 to 599"),
        (json!({ "kind": "cut", "status": 500 }), "status: found with Cut"),
        (json!({ "kind": "delay" }), "delayMs: found none; use 1 to 60000"),
        (json!({ "kind": "delay", "delayMs": 60_001 }), "delayMs: found 60001; use 1 to 60000"),
        (json!({ "kind": "cut", "count": 0 }), "count: found 0"),
        (json!({ "kind": "cut", "route": "/channels/7" }), "route: found /channels/7; use a template"),
        (json!({ "kind": "status", "scope": "user" }), "scope: found with Status"),
        (json!({ "kind": "bang" }), "unknown variant `bang`"),
        (json!({ "kind": "cut", "chance": 1 }), "unknown field `chance`"),
    ];
    for (body, expected) in table {
        let (status, answer) = call(&simulator, "POST", "/control/faults", Some(body.clone())).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{body}: {status} {error}");
    }
    for _ in 0..100 {
        simulator.control().add_fault(fault(FaultKind::Cut)).unwrap();
    }
    let full = simulator.control().add_fault(fault(FaultKind::Cut)).unwrap_err().to_string();
    assert!(full.contains("found 100 already"), "{full}");
}
