//! Frozen connections: TCP is open, and nothing goes in or out until the time is over.
//!
//! From: a client of a gateway that hangs. For: clients that must notice a zombie. Lower bounds of time are real, upper
//! bounds are only patience. Deliberately absent: outages of everything (`moments.rs`).

use std::time::{Duration, Instant};

use discord_sim::{DropConnections, FreezeConnections, How, NewMessage, Options, ShardOf, Simulator};
use serde_json::json;

use crate::client::{Client, Heard, PATIENCE, call, options, start};

const MESSAGES: u64 = 1 << 9 | 1 << 15;
/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn write(simulator: &Simulator, id: u32, total: u32) {
    let shard = Some(ShardOf { id, total });
    let message = NewMessage { content: "x".into(), shard, ..NewMessage::default() };
    simulator.control().post_message(message).unwrap();
}

fn freeze(simulator: &Simulator, shard: Option<(u32, u32)>, span: Duration) -> usize {
    let (shard, total) = shard.unzip();
    let for_ms = u64::try_from(span.as_millis()).unwrap();
    let request = FreezeConnections { shard, total, session_id: None, for_ms };
    simulator.control().freeze_connections(request).unwrap().frozen
}

#[tokio::test]
async fn a_frozen_connection_neither_answers_nor_sends_and_then_goes_on_where_it_was() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MESSAGES).await;
    let (began, span) = (Instant::now(), Duration::from_millis(700));
    assert_eq!(freeze(&simulator, Some((0, 1)), span), 1);
    client.send(&json!({ "op": 1, "d": 1 })).await;
    write(&simulator, 0, 1);
    let (first, second) = (client.frame().await, client.frame().await);
    assert!(began.elapsed() >= span, "{:?}", began.elapsed());
    let heard = [&first, &second].map(|frame| frame["op"].as_u64().unwrap());
    assert!(heard == [0, 11] || heard == [11, 0], "{heard:?}");
    client.beat().await;
}

#[tokio::test]
async fn others_do_not_notice_and_a_frozen_connection_is_cut_off_at_once() {
    let simulator = start(options()).await;
    let mut frozen = Client::ready_with(&simulator, 0, 2, MESSAGES).await;
    let mut other = Client::ready_with(&simulator, 1, 2, MESSAGES).await;
    assert_eq!(freeze(&simulator, Some((0, 2)), FOR_EVER), 1);
    write(&simulator, 0, 2);
    write(&simulator, 1, 2);
    other.dispatch("MESSAGE_CREATE").await;
    other.beat().await;
    let drop = DropConnections::of(ShardOf { id: 0, total: 2 }, How::Tcp);
    simulator.control().drop_connection(drop).unwrap();
    assert_eq!(frozen.closed().await, None);
}

#[tokio::test]
async fn a_frozen_connection_that_is_closed_does_not_stay_for_ever() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MESSAGES).await;
    freeze(&simulator, None, FOR_EVER);
    let drop = DropConnections { code: Some(4000), ..DropConnections::all(How::Close) };
    simulator.control().drop_connection(drop).unwrap();
    assert_eq!(client.hear().await, Heard::Closed(None), "it ends without the word it could not get out");
}

#[tokio::test]
async fn frozen_time_does_not_count_against_the_clients_heartbeat_and_later_silence_does() {
    let simulator = start(Options { heartbeat_interval: Duration::from_secs(1), ..options() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MESSAGES).await;
    let began = Instant::now();
    freeze(&simulator, None, Duration::from_millis(1500));
    client.beat().await;
    assert!(began.elapsed() >= Duration::from_millis(1500));
    assert_eq!(client.closed().await, Some(4009));
}

#[tokio::test]
async fn a_client_that_gave_a_frozen_connection_up_resumes_on_another() {
    let simulator = start(options()).await;
    let old = Client::ready_with(&simulator, 0, 1, MESSAGES).await;
    freeze(&simulator, None, FOR_EVER);
    write(&simulator, 0, 1);
    let mut new = Client::connect(&simulator).await;
    new.resume(&old.session, old.sequence).await;
    new.dispatch("MESSAGE_CREATE").await;
    new.dispatch("RESUMED").await;
    new.beat().await;
    let closed = |ledger: &discord_sim::Ledger| ledger.server_closes.contains_key("4000");
    simulator.wait_for(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn control_freezes_and_asks_over_http_and_says_what_is_wrong() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MESSAGES).await;
    let session = client.session.clone();
    let table = [
        ("heartbeat", json!({ "sessionId": session }), json!({ "asked": 1 })),
        ("heartbeat", json!({}), json!({ "asked": 1 })),
        ("freeze", json!({ "shard": 1, "total": 2, "forMs": 1 }), json!({ "frozen": 0 })),
        ("freeze", json!({ "sessionId": session, "forMs": 1 }), json!({ "frozen": 1 })),
        ("freeze", json!({ "forMs": 0 }), json!({ "error": "forMs: found 0; use 1 to 3600000" })),
        (
            "freeze",
            json!({ "forMs": 3_600_001 }),
            json!({ "error": "forMs: found 3600001; use 1 to 3600000" }),
        ),
        (
            "freeze",
            json!({ "shard": 1, "forMs": 1 }),
            json!({ "error": "total: found none; give it with shard, or leave both out" }),
        ),
    ];
    for (what, body, expected) in table {
        let path = format!("/control/connections/{what}");
        let (status, answer) = call(&simulator, "POST", &path, Some(body.clone())).await;
        assert_eq!((status == 200, &answer), (expected.get("error").is_none(), &expected), "{body}");
    }
    assert_eq!(client.frame().await["op"], 1);
    assert_eq!(client.frame().await["op"], 1);
    client.beat().await;
}
