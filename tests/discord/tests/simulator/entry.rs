//! IDENTIFY: every rule that Discord has for it, and the frames around it.

use std::collections::BTreeSet;
use std::time::Duration;

use discord_sim::Options;
use discord_sim::ledger::ViolationKind;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Heard, INTENTS, PATIENCE, call, identify, options, start};

#[tokio::test]
async fn hello_names_the_interval_and_heartbeats_are_answered_before_identify() {
    let simulator = start(options()).await;
    let mut client = Client::connect_with(&simulator, "//?v=10").await;
    assert_eq!(client.frame().await["d"]["heartbeat_interval"], 41_250);
    client.send(&json!({ "op": 1, "d": null })).await;
    let ack = client.frame().await;
    assert_eq!((&ack["op"], &ack["s"], &ack["t"]), (&json!(11), &Value::Null, &Value::Null));
}

#[tokio::test]
async fn every_mistake_gets_its_close_code() {
    let simulator = start(Options { privileged_intents: 0, ..options() }).await;
    let presence =
        json!({ "op": 3, "d": { "since": null, "activities": [], "status": "idle", "afk": false } });
    let text = |value: &Value| Message::text(value.to_string());
    let no_token = json!({ "op": 2, "d": { "token": "MTAw.no.pe", "intents": 1, "shard": [0, 1] } });
    let resume = json!({ "op": 6, "d": { "token": "MTAw.no.pe", "session_id": "x", "seq": 1 } });
    let no_intents = json!({ "op": 2, "d": { "token": discord_sim::FAKE_TOKEN, "shard": [0, 1] } });
    let table: Vec<(&str, Vec<Message>, u16)> = vec![
        ("an unknown opcode", vec![text(&json!({ "op": 99, "d": null }))], 4001),
        ("no JSON", vec![Message::text("{")], 4002),
        (
            "a payload of more than 4096 bytes",
            vec![Message::text(format!("{{\"op\":1,\"d\":null,\"x\":\"{}\"}}", "x".repeat(4096)))],
            4002,
        ),
        ("a payload of more than anyone reads", vec![Message::text("x".repeat(100_000))], 4002),
        ("binary", vec![Message::binary(vec![131, 116])], 4002),
        ("a presence before IDENTIFY", vec![text(&presence)], 4003),
        ("an unknown token", vec![text(&no_token)], 4004),
        ("an unknown token in RESUME", vec![text(&resume)], 4004),
        ("IDENTIFY twice", vec![text(&identify(1, 8, 1)), text(&identify(2, 8, 1))], 4005),
        (
            "RESUME after IDENTIFY",
            vec![
                text(&identify(3, 8, 1)),
                text(&json!({ "op": 6, "d": { "token": "x", "session_id": "x", "seq": 1 } })),
            ],
            4005,
        ),
        ("a shard that is not there", vec![text(&identify(8, 8, 1))], 4010),
        ("a total of none", vec![text(&identify(0, 0, 1))], 4010),
        ("an intent that does not exist", vec![text(&identify(0, 8, 1 << 22))], 4013),
        ("no intents", vec![text(&no_intents)], 4013),
        ("an intent that is not allowed", vec![text(&identify(0, 8, 1 << 15))], 4014),
    ];
    for (name, messages, code) in table {
        let mut client = Client::connect(&simulator).await;
        for message in messages {
            client.send_raw(message).await;
        }
        assert_eq!(client.closed().await, Some(code), "{name}");
    }
}

#[tokio::test]
async fn other_versions_encodings_and_compressions_are_refused_with_a_reason() {
    let simulator = start(options()).await;
    let table = [
        ("/?v=9&encoding=json", 4012),
        ("/", 4012),
        ("/?v=10&encoding=etf", 4002),
        ("/?v=10&compress=gzip", 4002),
    ];
    for (query, code) in table {
        assert_eq!(Client::connect_with(&simulator, query).await.closed().await, Some(code), "{query}");
    }
    let reasons: Vec<_> = simulator.ledger().close_log.into_iter().filter_map(|close| close.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("zlib-stream")), "{reasons:?}");
}

#[tokio::test]
async fn guilds_arrive_unavailable_in_ready_and_then_whole_on_the_shard_that_the_formula_names() {
    let simulator = start(options()).await;
    let (mut seen, mut clients) = (BTreeSet::new(), Vec::new());
    for shard in 0..3 {
        clients.push(Client::connect(&simulator).await);
        let client = clients.last_mut().unwrap();
        client.identify(shard, 3, INTENTS).await;
        let ready = client.dispatch("READY").await;
        assert_eq!(ready["shard"], json!([shard, 3]));
        assert_eq!(ready["resume_gateway_url"], simulator.gateway_url());
        let announced: Vec<_> = ready["guilds"].as_array().unwrap().clone();
        for expected in announced {
            assert_eq!(expected["unavailable"], true);
            let guild = client.dispatch("GUILD_CREATE").await;
            assert_eq!(guild["id"], expected["id"]);
            let id: u64 = guild["id"].as_str().unwrap().parse().unwrap();
            assert_eq!((id >> 22) % 3, u64::from(shard));
            assert!(seen.insert(id));
        }
    }
    assert_eq!(seen.len(), 40);
    let ledger = simulator.ledger();
    assert_eq!((ledger.identifies, ledger.identifies_accepted, ledger.violations), (3, 3, 0));
    assert_eq!(ledger.budget.remaining, 997);
    assert_eq!(ledger.sessions.iter().map(|session| session.guilds).sum::<u32>(), 40);
    assert!(
        ledger
            .sessions
            .iter()
            .all(|session| session.connected && session.sequence == u64::from(session.guilds) + 1)
    );
    assert_eq!(ledger.last_ready_at_ms, ledger.sessions.iter().map(|session| session.ready_at_ms).max());
}

#[tokio::test]
async fn an_identify_in_a_buckets_five_seconds_gets_op_9_and_is_written_down_whatever_its_total() {
    let simulator = start(Options { max_concurrency: 2, ..options() }).await;
    let _first = Client::ready(&simulator, 0, 4).await;
    let _other_bucket = Client::ready(&simulator, 1, 4).await;
    for (shard, total) in [(2, 4), (0, 8)] {
        let mut client = Client::connect(&simulator).await;
        client.identify(shard, total, INTENTS).await;
        assert_eq!(client.frame().await, json!({ "op": 9, "d": false, "s": null, "t": null }));
    }
    let ledger = simulator.ledger();
    assert_eq!(ledger.violations, 2);
    assert!(ledger.violation_details.iter().all(|violation| violation.kind == ViolationKind::IdentifyRate));
    assert_eq!(ledger.budget.remaining, 996, "a refused IDENTIFY counts");
    let outcomes: Vec<_> =
        ledger.identify_log.iter().map(|identify| (identify.bucket, identify.outcome.as_str())).collect();
    assert_eq!(outcomes, [(0, "ready"), (1, "ready"), (0, "invalidSession"), (0, "invalidSession")]);
}

#[tokio::test]
async fn the_window_is_as_much_shorter_as_the_time_factor_says() {
    let simulator = start(Options { max_concurrency: 1, time_factor: 100.0, ..options() }).await;
    let _first = Client::ready(&simulator, 0, 2).await;
    let _second = Client::ready(&simulator, 1, 2).await;
    let log = simulator.ledger().identify_log;
    let ready: Vec<_> =
        log.iter().filter(|identify| identify.accepted).map(|identify| identify.at_ms).collect();
    assert!(ready[1] - ready[0] >= 49, "{ready:?}");
}

#[tokio::test]
async fn the_identify_after_the_days_last_costs_the_token_and_every_session() {
    let simulator = start(Options { identify_total: 100, identify_remaining: Some(2), ..options() }).await;
    let mut first = Client::ready(&simulator, 0, 8).await;
    let mut second = Client::ready(&simulator, 1, 8).await;
    let mut third = Client::connect(&simulator).await;
    third.identify(2, 8, INTENTS).await;
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.closed().await, Some(4004));
    }
    let mut fourth = Client::connect(&simulator).await;
    fourth.resume(&first.session, first.sequence).await;
    assert_eq!(fourth.closed().await, Some(4004));
    assert_eq!(call(&simulator, "GET", "/api/v10/gateway/bot", None).await.0, 401);
    let ledger = simulator.ledger();
    assert_eq!((ledger.token_resets, ledger.budget.remaining, ledger.sessions.len()), (1, 0, 0));
    assert_eq!(ledger.violation_details[0].kind, ViolationKind::Budget);
}

#[tokio::test]
async fn a_shard_has_at_most_2500_guilds() {
    let simulator = start(Options { guilds: 2501, ..options() }).await;
    assert_eq!(simulator.ledger().recommended_shards, 3);
    let mut client = Client::connect(&simulator).await;
    client
        .send(&json!({ "op": 2, "d": { "token": format!("Bot {}", discord_sim::FAKE_TOKEN), "intents": 0 } }))
        .await;
    assert_eq!(client.closed().await, Some(4011));
    Client::ready(&simulator, 1, 2).await;
}

#[tokio::test]
async fn the_121st_send_in_a_minute_is_one_too_many_heartbeats_included() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    for _ in 0..120 {
        client.send(&json!({ "op": 1, "d": null })).await;
        assert_eq!(client.frame().await["op"], 11);
    }
    client.send(&json!({ "op": 1, "d": null })).await;
    assert_eq!(client.hear().await, Heard::Closed(Some(4008)));
}

#[tokio::test]
async fn who_does_not_heartbeat_is_closed_and_has_to_start_a_new_session() {
    let simulator = start(Options { heartbeat_interval: Duration::from_millis(150), ..options() }).await;
    let mut client = Client::ready(&simulator, 0, 1).await;
    assert_eq!(client.closed().await, Some(4009));
    let ledger = simulator.wait_for(PATIENCE, |ledger| ledger.sessions.is_empty()).await.unwrap();
    assert_eq!(ledger.server_closes["4009"], 1);
}

#[tokio::test]
async fn tokens_with_the_same_first_part_are_one_bot_and_others_have_their_own_buckets_and_budget() {
    let tokens = [discord_sim::FAKE_TOKEN, "MTAwMDAwMDAwMDAwMDAwMDAwMA.new.token", "MTAw.other.bot"];
    let tokens = tokens.map(discord_sim::Token::new).to_vec();
    let simulator = start(Options { tokens, max_concurrency: 1, ..options() }).await;
    let mut expected = vec!["READY", "", "READY"];
    for token in [discord_sim::FAKE_TOKEN, "MTAwMDAwMDAwMDAwMDAwMDAwMA.new.token", "MTAw.other.bot"] {
        let mut client = Client::connect(&simulator).await;
        client.send(&json!({ "op": 2, "d": { "token": token, "intents": 1, "shard": [0, 1] } })).await;
        assert_eq!(client.frame().await["t"].as_str().unwrap_or_default(), expected.remove(0));
    }
    let remaining: Vec<_> = simulator.ledger().budgets.iter().map(|budget| budget.remaining).collect();
    assert_eq!(remaining, [999, 998]);
}
