//! Random clients at the socket: every connection is answered or closed with a code of Discord's table.
//!
//! From: proptest; a failing case is printed in full. For: the promise that no client can bring the simulator down.
//! What frames are read as is checked far oftener by the properties beside `gateway/frames.rs`.
//! Deliberately absent: bytes that are not WebSocket (`hostile.rs`).

use discord_sim::{FAKE_TOKEN, Options, Simulator};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Heard, identify, options, start};

/// Something that a client may send.
fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => "\\PC{0,100}".prop_map(Message::text),
        1 => proptest::collection::vec(any::<u8>(), 0..100).prop_map(Message::binary),
        1 => proptest::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| Message::Ping(bytes.into())),
        1 => proptest::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| Message::Pong(bytes.into())),
        2 => (0_usize..9000).prop_map(|size| Message::text(" ".repeat(size))),
        6 => near_frame().prop_map(|frame| Message::text(frame.to_string())),
    ]
}

/// A frame that is right, or would be but for one field.
fn near_frame() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-z0-9]{0,20}".prop_map(Value::from),
        Just(json!([0, 1])),
        Just(json!({ "status": "online" })),
    ];
    let frames = prop_oneof![
        Just(json!({ "op": 1, "d": null })),
        (0_u32..4, 0_u32..4).prop_map(|(id, total)| identify(id, total, 1 << 9)),
        Just(json!({ "op": 3, "d": { "since": null, "activities": [], "status": "idle", "afk": false } })),
        Just(json!({ "op": 4, "d": { "guild_id": "7", "channel_id": null } })),
        Just(json!({ "op": 6, "d": { "token": FAKE_TOKEN, "session_id": "x", "seq": 1 } })),
        Just(json!({ "op": 8, "d": { "guild_id": "7", "query": "", "limit": 0 } })),
        Just(json!({ "op": 31, "d": { "guild_ids": ["7"] } })),
        (-2_i64..50).prop_map(|op| json!({ "op": op, "d": {} })),
    ];
    let names = ["token", "shard", "intents", "presence", "seq", "session_id", "guild_id", "limit", "status"];
    let change = (proptest::sample::select(names.to_vec()), value);
    (frames, proptest::option::of(change)).prop_map(|(mut frame, change)| {
        if let (Some((name, value)), Some(fields)) = (change, frame["d"].as_object_mut()) {
            fields.insert(name.to_owned(), value);
        }
        frame
    })
}

/// Sends them all, then a heartbeat: it must be acknowledged, or the connection closed as Discord does.
async fn is_answered(simulator: &Simulator, messages: &[Message]) -> Result<(), TestCaseError> {
    let mut client = Client::connect(simulator).await;
    for message in messages {
        client.send_raw(message.clone()).await;
    }
    client.send(&json!({ "op": 1, "d": null })).await;
    loop {
        match client.hear().await {
            Heard::Frame(frame) if frame["op"] == 11 => return Ok(()),
            Heard::Frame(frame) => prop_assert!(matches!(frame["op"].as_u64(), Some(0 | 9)), "{frame}"),
            Heard::Closed(code) => {
                let known = matches!(code, Some(4001..=4005 | 4007..=4014));
                prop_assert!(known, "{messages:?}: {code:?}");
                return Ok(());
            }
        }
    }
}

#[test]
fn whatever_clients_send_is_answered_or_closed_with_a_known_code_and_the_simulator_goes_on() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options { identify_total: 1_000_000, time_factor: 1000.0, guilds: 3, ..options() };
    let simulator = runtime.block_on(start(options));
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let messages = proptest::collection::vec(message(), 0..6);
    let outcome = TestRunner::new(config)
        .run(&messages, |messages| runtime.block_on(is_answered(&simulator, &messages)));
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    runtime.block_on(async {
        Client::ready_with(&simulator, 0, 1, 1 << 9).await.beat().await;
        simulator.stop().await;
    });
}
