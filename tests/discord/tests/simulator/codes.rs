//! Close codes: each by its name, what brings it, and that the ledger says which rule was broken.
//!
//! From: clients that do one thing wrong. For: whoever asks when Discord closes with what. Op 9 is in `opcodes.rs`; what
//! is not even WebSocket is in `hostile.rs`. Deliberately absent: 4006, which does not exist.

use std::time::Duration;

use discord_sim::ledger::ViolationKind;
use discord_sim::{DropConnections, FAKE_TOKEN, How, Options, Simulator};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Heard, INTENTS, PATIENCE, identify, options, start};

/// A client that said something after HELLO and was closed for it: the code, and its reason.
async fn closed(simulator: &Simulator, messages: Vec<Message>) -> (Option<u16>, String) {
    let mut client = Client::connect(simulator).await;
    for message in messages {
        client.send_raw(message).await;
    }
    (client.closed().await, client.reason)
}

fn text(frame: &Value) -> Message {
    Message::text(frame.to_string())
}

/// The only violation so far is of this kind.
fn broken(simulator: &Simulator, kind: ViolationKind) {
    let ledger = simulator.ledger();
    assert!(
        ledger.violation_details.iter().all(|violation| violation.kind == kind),
        "{:?}",
        ledger.violation_details
    );
    assert!(ledger.violations > 0, "{kind:?}");
}

/// An IDENTIFY with one field changed.
fn identify_with(field: &str, value: Value) -> Value {
    let mut frame = identify(0, 1, INTENTS);
    frame["d"][field] = value;
    frame
}

#[tokio::test]
async fn close_4000_follows_op_7_and_comes_to_a_connection_whose_session_another_resumed() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    simulator.control().drop_connection(DropConnections::all(How::Reconnect)).unwrap();
    assert_eq!(client.frame().await["op"], 7);
    assert_eq!(client.closed().await, Some(4000));
    let mut second = Client::connect(&simulator).await;
    second.resume(&client.session, client.sequence).await;
    second.dispatch("RESUMED").await;
    let mut third = Client::connect(&simulator).await;
    third.resume(&client.session, second.sequence).await;
    third.dispatch("RESUMED").await;
    assert_eq!(second.closed().await, Some(4000));
    assert_eq!(simulator.ledger().violations, 0);
}

#[tokio::test]
async fn close_4001_answers_opcodes_that_no_client_sends() {
    let simulator = start(options()).await;
    for op in [0, 5, 7, 9, 10, 11, 99, -1] {
        let (code, _) = closed(&simulator, vec![text(&json!({ "op": op, "d": null }))]).await;
        assert_eq!(code, Some(4001), "{op}");
    }
    broken(&simulator, ViolationKind::Opcode);
}

#[tokio::test]
async fn close_4002_answers_what_cannot_be_read_and_names_the_field() {
    let simulator = start(options()).await;
    let table = [
        (Message::text("{"), "not a JSON object"),
        (Message::text("[1,null]"), "not a JSON object"),
        (Message::binary(vec![131, 116]), "neither text nor UTF-8"),
        (Message::binary(&b"{"[..]), "not a JSON object"),
        (text(&json!({ "d": null })), "op is not"),
        (text(&json!({ "op": 1, "d": "41" })), "d is neither"),
        (text(&json!({ "op": 2, "d": [] })), "d is not an object"),
        (text(&identify_with("token", json!(7))), "token"),
        (text(&identify_with("properties", Value::Null)), "properties"),
        (text(&identify_with("shard", json!("0/1"))), "shard"),
        (text(&identify_with("intents", json!("513"))), "intents"),
        (text(&identify_with("large_threshold", json!(251))), "large_threshold"),
        (text(&identify_with("compress", json!(1))), "compress"),
        (text(&identify_with("presence", json!({ "status": "asleep" }))), "status"),
        (text(&json!({ "op": 3, "d": { "activities": "many" } })), "activities"),
        (text(&json!({ "op": 4, "d": { "guild_id": "7", "self_mute": "no" } })), "self_mute"),
        (text(&json!({ "op": 6, "d": { "token": "x", "session_id": "y", "seq": "1" } })), "seq"),
        (text(&json!({ "op": 8, "d": { "guild_id": "7", "query": "" } })), "limit"),
        (text(&json!({ "op": 31, "d": { "guild_ids": "7" } })), "guild_ids"),
        (text(&json!({ "op": 43, "d": { "guild_id": "7" } })), "fields"),
    ];
    for (message, expected) in table {
        let name = message.to_string();
        let (code, reason) = closed(&simulator, vec![message]).await;
        assert_eq!(code, Some(4002), "{name}");
        assert!(reason.contains(expected), "{name}: {reason}");
    }
    broken(&simulator, ViolationKind::Payload);
    assert_eq!(simulator.ledger().identifies, 0, "what cannot be read costs no IDENTIFY");
}

#[tokio::test]
async fn close_4002_begins_at_4097_bytes_and_is_heard_however_much_was_sent() {
    let simulator = start(options()).await;
    let padded = |size: usize| {
        let frame = r#"{"op":1,"d":null,"x":""}"#;
        Message::text(frame.replace(r#""""#, &format!("\"{}\"", "x".repeat(size - frame.len()))))
    };
    let mut client = Client::connect(&simulator).await;
    client.send_raw(padded(4096)).await;
    assert_eq!(client.frame().await["op"], 11);
    for size in [4097, 60_000, 70_000, 1_000_000] {
        let (code, reason) = closed(&simulator, vec![padded(size)]).await;
        assert!(code == Some(4002) && reason.contains("4096"), "{size}: {code:?} {reason}");
    }
    broken(&simulator, ViolationKind::Payload);
}

#[tokio::test]
async fn close_4003_answers_everything_but_heartbeat_identify_and_resume_before_a_session() {
    let simulator = start(options()).await;
    let table = [
        json!({ "op": 3, "d": { "since": null, "activities": [], "status": "idle", "afk": false } }),
        json!({ "op": 4, "d": { "guild_id": "7", "channel_id": null, "self_mute": false, "self_deaf": false } }),
        json!({ "op": 8, "d": { "guild_id": "7", "query": "", "limit": 0 } }),
        json!({ "op": 31, "d": { "guild_ids": [] } }),
        json!({ "op": 43, "d": { "guild_id": "7", "fields": ["status"] } }),
    ];
    for frame in table {
        assert_eq!(closed(&simulator, vec![text(&frame)]).await.0, Some(4003), "{frame}");
    }
    broken(&simulator, ViolationKind::NotAuthenticated);
}

#[tokio::test]
async fn close_4004_answers_a_token_that_is_not_known_in_identify_and_resume() {
    let simulator = start(options()).await;
    let resume = json!({ "op": 6, "d": { "token": "MTAw.no.pe", "session_id": "x", "seq": 1 } });
    for frame in [identify_with("token", json!("MTAw.no.pe")), identify_with("token", json!("")), resume] {
        assert_eq!(closed(&simulator, vec![text(&frame)]).await.0, Some(4004), "{frame}");
    }
    assert_eq!(simulator.ledger().budget.remaining, 1000);
}

#[tokio::test]
async fn close_4005_answers_identify_and_resume_on_a_connection_that_has_a_session() {
    let simulator = start(options()).await;
    let resume = json!({ "op": 6, "d": { "token": FAKE_TOKEN, "session_id": "x", "seq": 1 } });
    for (shard, second) in [(0, identify(2, 8, 1)), (1, resume)] {
        let messages = vec![text(&identify(shard, 8, 1)), text(&second)];
        assert_eq!(closed(&simulator, messages).await.0, Some(4005), "{second}");
    }
    broken(&simulator, ViolationKind::AlreadyAuthenticated);
}

#[tokio::test]
async fn close_4007_answers_a_resume_with_a_sequence_that_was_never_sent_and_ends_the_session() {
    let simulator = start(options()).await;
    let client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let session = client.session.clone();
    client.close(4000).await;
    let negative = json!({ "op": 6, "d": { "token": FAKE_TOKEN, "session_id": session, "seq": -1 } });
    assert_eq!(closed(&simulator, vec![text(&negative)]).await.0, Some(4007));
    let mut second = Client::connect(&simulator).await;
    second.resume(&session, 2).await;
    assert_eq!(second.closed().await, Some(4007));
    broken(&simulator, ViolationKind::Sequence);
    let mut third = Client::connect(&simulator).await;
    third.resume(&session, 1).await;
    assert_eq!(third.frame().await["op"], 9);
}

#[tokio::test]
async fn close_4008_answers_the_121st_send_in_a_minute_heartbeats_included() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    for _ in 0..120 {
        client.beat().await;
    }
    client.send(&json!({ "op": 1, "d": null })).await;
    assert_eq!(client.hear().await, Heard::Closed(Some(4008)));
    broken(&simulator, ViolationKind::SendRate);
}

#[tokio::test]
async fn close_4008_is_heard_by_who_sends_thousands_at_once_after_120_answers() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    client.burst(&json!({ "op": 1, "d": null }), 5000).await;
    for _ in 0..120 {
        assert_eq!(client.frame().await["op"], 11);
    }
    assert_eq!(client.hear().await, Heard::Closed(Some(4008)));
    assert_eq!(simulator.ledger().violations, 1);
}

#[tokio::test]
async fn close_4009_answers_who_does_not_heartbeat_and_ends_the_session() {
    let simulator = start(Options { heartbeat_interval: Duration::from_millis(150), ..options() }).await;
    let mut client = Client::ready(&simulator, 0, 1).await;
    assert_eq!(client.closed().await, Some(4009));
    let ledger = simulator.wait_for(PATIENCE, |ledger| ledger.sessions.is_empty()).await.unwrap();
    assert_eq!(ledger.server_closes["4009"], 1);
    let mut second = Client::connect(&simulator).await;
    second.resume(&client.session, client.sequence).await;
    assert_eq!(second.frame().await["op"], 9);
}

#[tokio::test]
async fn close_4009_answers_who_never_identifies_too_and_not_who_heartbeats() {
    let interval = Duration::from_secs(1);
    let simulator = start(Options { heartbeat_interval: interval, ..options() }).await;
    let mut silent = Client::connect(&simulator).await;
    let mut beating = Client::connect(&simulator).await;
    let beats = async {
        let mut ticks = tokio::time::interval(interval / 4);
        loop {
            ticks.tick().await;
            beating.beat().await;
        }
    };
    tokio::select! {
        code = silent.closed() => assert_eq!(code, Some(4009)),
        () = beats => {}
    }
    beating.beat().await;
}

#[tokio::test]
async fn close_4010_answers_a_shard_that_cannot_be() {
    let simulator = start(options()).await;
    for shard in [json!([8, 8]), json!([0, 0]), json!([-1, 8]), json!([0, -8]), json!([0, 1_u64 << 40])] {
        let frame = identify_with("shard", shard.clone());
        assert_eq!(closed(&simulator, vec![text(&frame)]).await.0, Some(4010), "{shard}");
    }
    broken(&simulator, ViolationKind::Shard);
}

#[tokio::test]
async fn close_4011_answers_a_shard_of_more_than_2500_guilds() {
    let simulator = start(Options { guilds: 2501, ..options() }).await;
    assert_eq!(simulator.ledger().recommended_shards, 3);
    let frame = identify_with("shard", Value::Null);
    assert_eq!(closed(&simulator, vec![text(&frame)]).await.0, Some(4011));
    broken(&simulator, ViolationKind::GuildsPerShard);
    Client::ready(&simulator, 1, 2).await;
}

#[tokio::test]
async fn close_4012_answers_every_version_but_9_and_10_before_hello() {
    let simulator = start(options()).await;
    for query in ["/?v=8&encoding=json", "/?v=11", "/?encoding=json", "/", "/?v=ten"] {
        let mut client = Client::connect_with(&simulator, query).await;
        assert_eq!(client.hear().await, Heard::Closed(Some(4012)), "{query}");
        assert!(client.reason.contains("v=10"), "{query}: {}", client.reason);
    }
    broken(&simulator, ViolationKind::Version);
}

#[tokio::test]
async fn close_4013_answers_intents_that_do_not_exist_or_are_missing() {
    let simulator = start(options()).await;
    for intents in [json!(1 << 22), json!(1_u64 << 40), json!(-1), Value::Null] {
        let frame = identify_with("intents", intents.clone());
        assert_eq!(closed(&simulator, vec![text(&frame)]).await.0, Some(4013), "{intents}");
    }
    broken(&simulator, ViolationKind::Intents);
}

#[tokio::test]
async fn close_4014_answers_each_privileged_intent_that_is_not_allowed() {
    let simulator = start(Options { privileged_intents: 0, ..options() }).await;
    for bit in [1, 8, 15] {
        let frame = identify_with("intents", json!(1 | 1 << bit));
        assert_eq!(closed(&simulator, vec![text(&frame)]).await.0, Some(4014), "{bit}");
    }
    broken(&simulator, ViolationKind::DisallowedIntents);
}
