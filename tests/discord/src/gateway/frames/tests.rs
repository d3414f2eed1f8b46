//! Reading frames: a table of every field, and properties over what nobody would think of.
//!
//! From: hand-written frames and random ones. For: the promise that no client can make the reader do anything but act or
//! close with a documented code. Deliberately absent: sockets (`tests/simulator/hostile.rs` has those).

use proptest::prelude::*;
use serde_json::Map;

use super::*;

/// Bytes that a close's reason may have.
const LONGEST_REASON: usize = 123;

fn refused(text: &str) -> Unreadable {
    read(text, false).map(|incoming| panic!("{text}: {incoming:?}")).unwrap_err()
}

/// A valid frame of every kind, with every field that is known.
fn valid() -> Vec<Value> {
    let presence = json!({
        "since": 91_879_201, "status": "dnd", "afk": false,
        "activities": [{ "name": "Save the Oxford Comma", "type": 0 }],
    });
    vec![
        json!({ "op": 1, "d": null }),
        json!({ "op": 1, "d": 251 }),
        json!({ "op": 2, "d": {
            "token": "Bot x", "intents": 7, "shard": [0, 1], "large_threshold": 250, "compress": true,
            "properties": { "os": "linux", "browser": "disco", "device": "disco" }, "presence": presence,
            "guild_subscriptions": true, "capabilities": 0,
        } }),
        json!({ "op": 3, "d": presence }),
        json!({ "op": 4, "d": { "guild_id": "7", "channel_id": null, "self_mute": false, "self_deaf": true } }),
        json!({ "op": 6, "d": { "token": "x", "session_id": "y", "seq": 1337 } }),
        json!({ "op": 8, "d": { "guild_id": "7", "query": "", "limit": 0, "presences": true, "nonce": "n" } }),
        json!({ "op": 8, "d": { "guild_id": 7, "user_ids": ["8", 9] } }),
        json!({ "op": 31, "d": { "guild_ids": ["7", "8"] } }),
        json!({ "op": 43, "d": { "guild_id": "7", "fields": ["status"] } }),
    ]
}

#[test]
fn every_valid_frame_is_taken() {
    for frame in valid() {
        assert!(read(&frame.to_string(), false).is_ok(), "{frame}");
    }
}

#[test]
fn what_is_no_frame_gets_its_code() {
    let long = format!(r#"{{"op":1,"d":null,"x":"{}"}}"#, "x".repeat(4096));
    let deep = format!(r#"{{"op":1,"d":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let table = [
        ("{", "not a JSON object"),
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[1,null]", "not a JSON object"),
        (&deep, "not a JSON object"),
        (&long, "longer than 4096 bytes"),
        (r#"{"d":1}"#, "op is not"),
        (r#"{"op":"1","d":null}"#, "op is not"),
        (r#"{"op":1.0,"d":null}"#, "op is not"),
        (r#"{"op":2,"d":["x",[0,1],1]}"#, "d is not an object"),
        (r#"{"op":2}"#, "d is not an object"),
        (r#"{"op":1,"d":"x"}"#, "d is neither"),
        (r#"{"op":1,"d":1.5}"#, "d is neither"),
    ];
    for (text, expected) in table {
        let Unreadable::Payload(reason) = refused(text) else { panic!("{text}") };
        assert!(reason.contains(expected), "{text}: {reason}");
    }
    for op in [0, 5, 7, 9, 10, 11, 12, 99, -1] {
        assert_eq!(refused(&json!({ "op": op, "d": null }).to_string()), Unreadable::UnknownOpcode, "{op}");
    }
}

#[test]
fn every_field_of_the_wrong_type_is_named() {
    let no = json!("no");
    let table = [
        (2, "token", json!(7)),
        (2, "token", Value::Null),
        (2, "properties", Value::Null),
        (2, "properties", no.clone()),
        (2, "compress", json!(1)),
        (2, "large_threshold", json!(49)),
        (2, "large_threshold", json!(251)),
        (2, "large_threshold", no.clone()),
        (2, "shard", no.clone()),
        (2, "shard", json!([0])),
        (2, "shard", json!(["0", "1"])),
        (2, "shard", json!([0, 1, 2])),
        (2, "capabilities", no.clone()),
        (2, "intents", no.clone()),
        (2, "intents", json!(1.5)),
        (2, "presence", no.clone()),
        (2, "status", json!({ "status": "asleep" })),
        (3, "status", no.clone()),
        (3, "activities", no.clone()),
        (3, "activities", json!([{ "name": "x" }])),
        (3, "activities", json!([{ "name": "x", "type": "0" }])),
        (3, "afk", no.clone()),
        (4, "guild_id", no.clone()),
        (4, "guild_id", Value::Null),
        (4, "channel_id", no.clone()),
        (4, "self_mute", no.clone()),
        (4, "self_deaf", json!(1)),
        (6, "token", json!(7)),
        (6, "session_id", Value::Null),
        (6, "seq", no.clone()),
        (6, "seq", Value::Null),
        (8, "guild_id", json!(["7"])),
        (8, "query", json!(7)),
        (8, "limit", json!(-1)),
        (8, "limit", Value::Null),
        (8, "presences", no.clone()),
        (8, "user_ids", no.clone()),
        (8, "user_ids", json!([{}])),
        (31, "guild_ids", no.clone()),
        (31, "guild_ids", json!(["no"])),
        (43, "guild_id", no.clone()),
        (43, "fields", no.clone()),
    ];
    for (op, field, value) in table {
        let mut frame = valid().into_iter().find(|frame| frame["op"] == op).unwrap();
        let inside = if op == 2 && field == "status" { "presence" } else { field };
        frame["d"][inside] = value;
        let text = frame.to_string();
        let Unreadable::Payload(reason) = refused(&text) else { panic!("{text}") };
        assert!(reason.contains(field) && reason.len() <= LONGEST_REASON, "{text}: {reason}");
    }
    let neither = refused(r#"{"op":8,"d":{"guild_id":"7"}}"#);
    assert!(matches!(neither, Unreadable::Payload(reason) if reason.contains("query and user_ids")));
}

#[test]
fn numbers_that_no_shard_and_no_sequence_can_have_get_their_own_codes() {
    for shard in [json!([-1, 2]), json!([0, -2]), json!([0, 1_u64 << 32]), json!([u64::MAX, 1])] {
        let frame = json!({ "op": 2, "d": { "token": "x", "properties": {}, "intents": 1, "shard": shard } });
        assert_eq!(refused(&frame.to_string()), Unreadable::Shard, "{shard}");
    }
    let resume = r#"{"op":6,"d":{"token":"x","session_id":"y","seq":-1}}"#;
    assert_eq!(refused(resume), Unreadable::Sequence);
}

#[test]
fn an_identify_without_a_shard_is_the_only_shard() {
    let incoming = read(r#"{"op":2,"d":{"token":"Bot x","intents":1,"properties":{}}}"#, false).unwrap();
    let Incoming::Identify(identify) = incoming else { panic!("{incoming:?}") };
    assert_eq!((identify.shard, identify.intents), ((0, 1), Some(1)));
    assert_eq!(identify.token, Token::new("x"));
}

#[test]
fn what_the_libraries_send_beside_the_documentation_is_taken() {
    let table = [
        // discord.py: `game` for `activities`, a status that may be null; `since` as a fraction.
        json!({ "op": 2, "d": { "token": "x", "intents": 1, "compress": true, "large_threshold": 250,
            "properties": { "os": "linux", "browser": "discord.py", "device": "discord.py" },
            "presence": { "status": null, "game": { "name": "x", "type": 0 }, "since": 0, "afk": false } } }),
        json!({ "op": 3, "d": { "activities": [], "afk": false, "since": 0.0, "status": "online" } }),
        // twilight: fields that are not used are null.
        json!({ "op": 2, "d": { "capabilities": 0, "compress": false, "intents": 1, "large_threshold": 50,
            "presence": null, "properties": { "browser": "twilight.rs", "device": "twilight.rs", "os": "linux" },
            "shard": [0, 1], "token": "Bot x" } }),
        json!({ "op": 1, "d": null, "s": null, "t": null }),
        // discordgo: no status; the key of old times for an activity.
        json!({ "op": 2, "d": { "token": "Bot x", "intents": 1, "compress": true, "large_threshold": 250, "shard": [0, 8],
            "properties": { "os": "linux", "browser": "DiscordGo", "device": "" },
            "presence": { "since": 0, "game": { "name": "", "type": 0 }, "status": "", "afk": false } } }),
        // serenity: a time as Rust's own library writes it.
        json!({ "op": 3, "d": { "afk": false, "status": "online", "activities": [],
            "since": { "secs_since_epoch": 1_795_000_000, "nanos_since_epoch": 7 } } }),
        // oceanic.js: the compression of the whole connection, here too.
        json!({ "op": 2, "d": { "token": "Bot x", "intents": 1, "compress": "zlib-stream", "properties": {} } }),
        // Javacord: -1 before the first event.
        json!({ "op": 1, "d": -1 }),
    ];
    for frame in table {
        assert!(read(&frame.to_string(), false).is_ok(), "{frame}");
    }
}

#[test]
fn a_request_for_members_by_ids_wins_over_the_empty_query_that_hikari_adds() {
    let text = r#"{"op":8,"d":{"guild_id":"7","query":"","limit":0,"user_ids":["8"],"nonce":"0123456789012345678901234567890123"}}"#;
    let Ok(Incoming::RequestMembers(request)) = read(text, true) else { panic!() };
    assert!(matches!(request.wanted, Wanted::Users(users) if users.len() == 1));
    assert_eq!(request.nonce, None, "more than 32 bytes are ignored");
}

/// Any JSON, not too large.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9]{1,25}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,12}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A valid frame of which one field, at any depth, is replaced or removed.
fn nearly_valid() -> impl Strategy<Value = Value> {
    let frames = proptest::sample::select(valid());
    (frames, any::<proptest::sample::Index>(), proptest::option::of(any_json())).prop_map(
        |(mut frame, index, value)| {
            let mut paths = Vec::new();
            gather(&frame, &mut String::new(), &mut paths);
            let path = index.get(&paths);
            match (value, path.rsplit_once('/')) {
                (Some(value), _) => *frame.pointer_mut(path).unwrap() = value,
                (None, Some((parent, name))) => {
                    if let Some(parent) = frame.pointer_mut(parent).and_then(Value::as_object_mut) {
                        parent.remove(name);
                    }
                }
                (None, None) => frame = Value::Null,
            }
            frame
        },
    )
}

fn gather(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    paths.push(path.clone());
    let names: Vec<String> = match value {
        Value::Object(fields) => fields.keys().cloned().collect(),
        Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
        _ => return,
    };
    for name in names {
        let length = path.len();
        path.push('/');
        path.push_str(&name);
        let child = value.pointer(&path[length..]).unwrap();
        gather(child, path, paths);
        path.truncate(length);
    }
}

/// It is acted on, or closed with a code of Discord's table and a reason that fits into a close.
fn is_answered(text: &str) -> Result<(), TestCaseError> {
    if let Err(unreadable) = read(text, false) {
        let (code, reason, _) = unreadable.close();
        prop_assert!(matches!(code, 4001 | 4002 | 4007 | 4010), "{text}: {code}");
        prop_assert!(!reason.is_empty() && reason.len() <= LONGEST_REASON, "{text}: {reason}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        is_answered(&text)?;
    }

    #[test]
    fn any_bytes_that_are_text_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        is_answered(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_json_is_answered(json in any_json()) {
        is_answered(&json.to_string())?;
    }

    #[test]
    fn any_payload_of_any_opcode_is_answered(op in -2_i64..50, d in any_json()) {
        is_answered(&json!({ "op": op, "d": d }).to_string())?;
    }

    #[test]
    fn nearly_valid_frames_are_answered(frame in nearly_valid()) {
        is_answered(&frame.to_string())?;
    }

    #[test]
    fn cut_frames_are_answered(frame in nearly_valid(), at in any::<proptest::sample::Index>()) {
        let text = frame.to_string();
        let end = text.floor_char_boundary(at.index(text.len() + 1));
        is_answered(&text[..end])?;
    }
}
