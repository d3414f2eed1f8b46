//! Opcodes: each by its name, at the socket.
//!
//! From: a client that sends them and reads the answers. For: whoever asks what an opcode does here. RESUME in all its
//! cases is in `sessions.rs`, IDENTIFY's rules are in `entry.rs`. Deliberately absent: what closes (`codes.rs`).

use discord_sim::ledger::ViolationKind;
use discord_sim::{AskHeartbeats, DropConnections, How, MoveTime, NewMessage, Options, Simulator, Snowflake};
use serde_json::{Value, json};

use crate::client::{Client, INTENTS, PATIENCE, identify, options, start};

/// GUILD_MEMBERS and GUILD_MESSAGES.
const MEMBERS: u64 = 1 << 1 | 1 << 9;

fn write(simulator: &Simulator, content: &str) {
    let message = NewMessage { content: content.into(), ..NewMessage::default() };
    simulator.control().post_message(message).unwrap();
}

fn drop_all(simulator: &Simulator, how: How) {
    simulator.control().drop_connection(DropConnections::all(how)).unwrap();
}

fn all_of(guild: Snowflake, nonce: &str) -> Value {
    json!({ "op": 8, "d": { "guild_id": guild, "query": "", "limit": 0, "nonce": nonce } })
}

#[tokio::test]
async fn op_0_dispatches_count_from_1_without_a_gap_and_nothing_else_counts() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    client.identify(0, 1, INTENTS).await;
    let frames = client.until("GUILD_CREATE").await;
    assert_eq!((&frames[0]["t"], &frames[0]["s"]), (&json!("READY"), &json!(1)));
    write(&simulator, "x");
    for expected in 3..=42 {
        client.send(&json!({ "op": 1, "d": null })).await;
        let mut frame = client.frame().await;
        while frame["op"] == 11 {
            assert!(frame["s"].is_null() && frame["t"].is_null(), "{frame}");
            frame = client.frame().await;
        }
        assert_eq!((&frame["op"], &frame["s"]), (&json!(0), &json!(expected)));
    }
}

#[tokio::test]
async fn op_1_from_the_client_is_acknowledged_with_op_11_also_before_identify() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    for d in [Value::Null, json!(0), json!(251), json!(-1)] {
        client.send(&json!({ "op": 1, "d": d })).await;
        assert_eq!(client.frame().await, json!({ "op": 11, "d": null, "s": null, "t": null }));
    }
}

#[tokio::test]
async fn op_1_from_the_server_asks_for_a_heartbeat_that_is_acknowledged_like_every_other() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    for (shard, total, expected) in [(1, 2, 0), (0, 1, 1)] {
        let request = AskHeartbeats { shard: Some(shard), total: Some(total), session_id: None };
        assert_eq!(simulator.control().ask_heartbeats(request).unwrap().asked, expected);
    }
    assert_eq!(client.frame().await["op"], 1);
    client.beat().await;
}

#[tokio::test]
async fn op_2_takes_every_documented_field_and_fields_of_other_times() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    let mut frame = identify(1, 2, INTENTS);
    frame["d"]["compress"] = json!(true);
    frame["d"]["large_threshold"] = json!(50);
    frame["d"]["guild_subscriptions"] = json!(false);
    frame["d"]["capabilities"] = json!(0);
    frame["d"]["presence"] = json!({
        "activities": [{ "name": "Cards Against Humanity", "type": 0 }], "status": "dnd", "since": 91_879_201, "afk": false,
    });
    client.send(&frame).await;
    assert_eq!(client.dispatch("READY").await["shard"], json!([1, 2]));
}

#[tokio::test]
async fn op_3_and_op_4_are_taken_with_a_session_and_without_an_answer() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    let table = [
        json!({ "op": 3, "d": { "since": null, "activities": [], "status": "idle", "afk": false } }),
        json!({ "op": 4, "d": { "guild_id": "7", "channel_id": null, "self_mute": false, "self_deaf": false } }),
    ];
    for frame in table {
        client.send(&frame).await;
        client.beat().await;
    }
    assert_eq!(simulator.ledger().violations, 0);
}

#[tokio::test]
async fn op_31_brings_the_sounds_of_each_guild_of_the_session_and_of_no_other() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 1, 2, MEMBERS).await;
    let guilds = simulator.control().world.guilds();
    let (own, others): (Vec<_>, Vec<_>) = guilds.iter().copied().partition(|guild| guild.shard(2) == 1);
    client.send(&json!({ "op": 31, "d": { "guild_ids": [own[0], others[0], "7", own[1]] } })).await;
    for guild in &own[..2] {
        let sounds = client.dispatch("SOUNDBOARD_SOUNDS").await;
        assert_eq!(sounds, json!({ "guild_id": guild, "soundboard_sounds": [] }));
    }
    client.beat().await;
    assert_eq!(simulator.ledger().violations, 0);
}

#[tokio::test]
async fn op_43_brings_what_goes_on_in_the_channels_of_a_guild_of_the_session() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    let guild = simulator.control().world.guilds()[3];
    for asked in [json!("7"), json!(guild)] {
        let fields = ["status", "voice_start_time"];
        client.send(&json!({ "op": 43, "d": { "guild_id": asked, "fields": fields } })).await;
    }
    assert_eq!(client.dispatch("CHANNEL_INFO").await, json!({ "guild_id": guild, "channels": [] }));
    client.beat().await;
    assert_eq!(simulator.ledger().violations, 0);
}

#[tokio::test]
async fn op_31_and_op_43_count_to_the_120_sends_of_a_minute() {
    let simulator = start(options()).await;
    for (shard, frame) in [
        (0, json!({ "op": 31, "d": { "guild_ids": [] } })),
        (1, json!({ "op": 43, "d": { "guild_id": "7", "fields": [] } })),
    ] {
        let mut client = Client::ready_with(&simulator, shard, 2, MEMBERS).await;
        // With IDENTIFY before and a heartbeat after them these are 120.
        client.burst(&frame, 118).await;
        client.beat().await;
        client.send(&frame).await;
        assert_eq!(client.closed().await, Some(4008), "{frame}");
    }
}

#[tokio::test]
async fn op_6_replays_what_was_missed_and_then_says_resumed_also_over_another_compression() {
    let simulator = start(options()).await;
    let first = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let (session, mut sequence) = (first.session.clone(), first.sequence);
    drop(first);
    for query in ["&compress=zlib-stream", "&compress=zstd-stream", "&x=y"] {
        write(&simulator, query);
        let path = format!("/?v=10&encoding=json{query}");
        let mut client = Client::connect_with(&simulator, &path).await.greeted().await;
        client.resume(&session, sequence).await;
        assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], query);
        client.dispatch("RESUMED").await;
        sequence = client.sequence;
    }
}

#[tokio::test]
async fn op_7_asks_to_reconnect_and_the_session_can_be_resumed() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    drop_all(&simulator, How::Reconnect);
    assert_eq!(client.frame().await, json!({ "op": 7, "d": null, "s": null, "t": null }));
    assert_eq!(client.closed().await, Some(4000));
    let mut again = Client::connect(&simulator).await;
    again.resume(&client.session, client.sequence).await;
    again.dispatch("RESUMED").await;
}

#[tokio::test]
async fn op_8_brings_a_guilds_members_by_name_by_id_and_all() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    let guild = simulator.control().world.guilds()[5];
    client.send(&all_of(guild, "n")).await;
    let chunk = client.dispatch("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(
        (&chunk["chunk_index"], &chunk["chunk_count"], &chunk["nonce"]),
        (&json!(0), &json!(1), &json!("n"))
    );
    let members = chunk["members"].as_array().unwrap();
    assert_eq!(members.len(), 5);
    let (name, id) = (&members[0]["user"]["username"], &members[0]["user"]["id"]);
    let ids = json!({ "op": 8, "d": { "guild_id": guild, "user_ids": [id, "7"], "presences": true } });
    client.send(&ids).await;
    let found = client.dispatch("GUILD_MEMBERS_CHUNK").await;
    assert_eq!((&found["members"][0]["user"]["id"], &found["not_found"]), (id, &json!(["7"])));
    assert!(
        found.get("presences").is_none() && found.get("nonce").is_none(),
        "no intent, no presences: {found}"
    );
    let query = name.as_str().unwrap().to_uppercase();
    client.send(&json!({ "op": 8, "d": { "guild_id": guild, "query": query, "limit": 3 } })).await;
    assert_eq!(&client.dispatch("GUILD_MEMBERS_CHUNK").await["members"][0]["user"]["id"], id);
    assert_eq!(simulator.ledger().violations, 0);
}

#[tokio::test]
async fn op_8_for_all_members_is_rate_limited_once_in_30_seconds_for_each_guild_and_bot() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    let mut other = Client::ready_with(&simulator, 1, 2, MEMBERS).await;
    let guilds = simulator.control().world.guilds();
    let guild = *guilds.iter().find(|guild| guild.shard(2) == 1).unwrap();
    client.send(&all_of(guild, "first")).await;
    client.dispatch("GUILD_MEMBERS_CHUNK").await;
    for (client, nonce) in [(&mut client, "second"), (&mut other, "third")] {
        client.send(&all_of(guild, nonce)).await;
        let limited = client.dispatch("RATE_LIMITED").await;
        assert_eq!(
            (&limited["opcode"], &limited["meta"]),
            (&json!(8), &json!({ "guild_id": guild, "nonce": nonce }))
        );
        let seconds = limited["retry_after"].as_f64().unwrap();
        assert!((0.0..=30.0).contains(&seconds), "{seconds}");
    }
    // Another guild, and some of the members, are another matter.
    let another = *guilds.iter().find(|other| **other != guild).unwrap();
    client.send(&all_of(another, "fourth")).await;
    client.dispatch("GUILD_MEMBERS_CHUNK").await;
    client.send(&json!({ "op": 8, "d": { "guild_id": guild, "query": "", "limit": 1 } })).await;
    client.dispatch("GUILD_MEMBERS_CHUNK").await;
    let ledger = simulator.ledger();
    let kinds: Vec<_> = ledger.violation_details.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, [ViolationKind::MemberRequest; 2]);
}

#[tokio::test]
async fn op_8_for_all_members_is_allowed_again_when_discords_30_seconds_are_over() {
    let simulator = start(Options { time_factor: 100.0, ..options() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    let guild = simulator.control().world.guilds()[0];
    client.send(&all_of(guild, "")).await;
    client.dispatch("GUILD_MEMBERS_CHUNK").await;
    loop {
        client.send(&all_of(guild, "")).await;
        let answer = client.frame().await;
        if answer["t"] == "GUILD_MEMBERS_CHUNK" {
            break;
        }
        let seconds = answer["d"]["retry_after"].as_f64().unwrap();
        assert!(answer["t"] == "RATE_LIMITED" && seconds <= 0.3, "{answer}");
        tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
    }
}

#[tokio::test]
async fn op_8_for_all_members_without_the_intent_is_not_answered_and_the_ledger_says_why() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 1 << 9).await;
    let guild = simulator.control().world.guilds()[0];
    client.send(&all_of(guild, "")).await;
    client.beat().await;
    let ledger = simulator.ledger();
    assert_eq!(ledger.violation_details[0].kind, ViolationKind::MemberRequest);
    assert!(ledger.violation_details[0].text.contains("GUILD_MEMBERS"));
}

#[tokio::test]
async fn op_9_with_true_keeps_the_session_and_with_false_ends_it() {
    for (how, resumable) in [(How::InvalidResumable, true), (How::Invalid, false)] {
        let simulator = start(options()).await;
        let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
        drop_all(&simulator, how);
        assert_eq!(client.frame().await, json!({ "op": 9, "d": resumable, "s": null, "t": null }));
        client.beat().await;
        let mut again = Client::connect(&simulator).await;
        again.resume(&client.session, client.sequence).await;
        let answer = again.frame().await;
        assert_eq!(answer["t"] == "RESUMED", resumable, "{answer}");
        let lives = |ledger: &discord_sim::Ledger| ledger.sessions.len() == usize::from(resumable);
        simulator.wait_for(PATIENCE, lives).await.unwrap();
    }
}

#[tokio::test]
async fn op_9_leaves_the_connection_open_for_a_resume_or_an_identify() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MEMBERS).await;
    drop_all(&simulator, How::InvalidResumable);
    assert_eq!(client.frame().await["op"], 9);
    let (session, sequence) = (client.session.clone(), client.sequence);
    client.resume(&session, sequence).await;
    client.until("RESUMED").await;
    drop_all(&simulator, How::Invalid);
    assert_eq!(client.frame().await["op"], 9);
    simulator.control().move_time(MoveTime { advance_ms: Some(5000), ..MoveTime::default() }).unwrap();
    client.identify(0, 1, MEMBERS).await;
    client.until("READY").await;
    assert_ne!(client.session, session);
    let ledger = simulator.ledger();
    assert_eq!((ledger.identifies, ledger.resumes, ledger.violations), (2, 1, 0));
}

#[tokio::test]
async fn op_10_names_the_interval_before_anything_else() {
    let simulator = start(options()).await;
    let mut client = Client::connect_with(&simulator, "/?v=10&encoding=json").await;
    let hello = client.frame().await;
    assert_eq!((&hello["op"], &hello["d"]["heartbeat_interval"]), (&json!(10), &json!(41_250)));
    assert!(hello["s"].is_null() && hello["t"].is_null());
}
