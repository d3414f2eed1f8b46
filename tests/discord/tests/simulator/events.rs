//! Events in mass: the generator, what sessions see of it, and the ledger's verdict on what a bot did.

use std::collections::HashSet;

use discord_sim::{
    EventFilter, Generate, Ledger, LedgerQuery, NewMessage, Options, SettingsChange, ShardOf, Simulator,
};
use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, call, options, start};

/// GUILD_MESSAGES, GUILD_MESSAGE_REACTIONS, MESSAGE_CONTENT; no guilds.
const INTENTS: u64 = 1 << 9 | 1 << 10 | 1 << 15;

fn burst(count: u64) -> Generate {
    Generate { count: Some(count), ..Generate::default() }
}

async fn answer(simulator: &Simulator, message: &Value) {
    let path = format!("/api/v10/channels/{}/messages", message["channel_id"].as_str().unwrap());
    let body = json!({ "content": "pong", "message_reference": { "message_id": message["id"] } });
    assert_eq!(call(simulator, "POST", &path, Some(body)).await.0, 200);
}

/// Waits until what was made is older than now.
async fn settled(simulator: &Simulator) {
    let made = simulator.ledger().now_ms;
    while simulator.ledger().now_ms <= made {
        tokio::task::yield_now().await;
    }
}

fn query(events: EventFilter) -> LedgerQuery {
    LedgerQuery { events: Some(events), lost_after_ms: Some(0), ..LedgerQuery::default() }
}

#[tokio::test]
async fn a_burst_reaches_each_total_completely_and_in_the_order_of_its_numbers() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let mut whole = Client::ready_with(&simulator, 0, 1, INTENTS).await;
    let mut halves = [
        Client::ready_with(&simulator, 0, 2, INTENTS).await,
        Client::ready_with(&simulator, 1, 2, INTENTS).await,
    ];
    let request = Generate { content: "{n}".into(), ..burst(300) };
    simulator.control().generate(&request).unwrap();
    let mut of_halves = [Vec::new(), Vec::new()];
    for number in 0..300_u64 {
        let message = whole.dispatch("MESSAGE_CREATE").await;
        assert_eq!(message["content"], number.to_string());
        let guild: u64 = message["guild_id"].as_str().unwrap().parse().unwrap();
        of_halves[usize::from((guild >> 22) % 2 == 1)].push(message["id"].clone());
    }
    for (half, expected) in halves.iter_mut().zip(of_halves) {
        for id in expected {
            assert_eq!(half.dispatch("MESSAGE_CREATE").await["id"], id);
        }
    }
    let all_sent = |ledger: &Ledger| ledger.events.sends == 600;
    let events = simulator.wait_for(PATIENCE, all_sent).await.unwrap().events;
    assert_eq!((events.made, events.sent, events.to_nobody, events.replays), (300, 300, 0, 0));
}

#[tokio::test]
async fn what_ended_with_its_session_is_not_lost_and_what_is_answered_late_neither() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let ask = || {
        let message = NewMessage { content: "!ping".into(), ..NewMessage::default() };
        simulator.control().post_message(message).unwrap();
    };
    let counts = || {
        let events = simulator.control().ledger_of(&query(EventFilter::Lost)).events;
        (events.lost, events.dropped_with_session)
    };
    ask();
    settled(&simulator).await;
    assert_eq!(counts(), (0, 1), "there was no session");
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS).await;
    ask();
    let received = client.dispatch("MESSAGE_CREATE").await;
    settled(&simulator).await;
    assert_eq!(counts(), (1, 1), "it was sent, its session is there, and nobody answered");
    drop(client);
    simulator.wait_for(PATIENCE, |ledger| !ledger.sessions[0].connected).await.unwrap();
    ask();
    settled(&simulator).await;
    assert_eq!(counts(), (2, 1), "its session can be resumed");
    let mut next = Client::ready_with(&simulator, 0, 1, INTENTS).await;
    assert_eq!(counts(), (0, 3), "an IDENTIFY has taken the session's place");
    answer(&simulator, &received).await;
    assert_eq!(counts(), (0, 2), "an answer counts whenever it comes");
    assert_eq!(next.dispatch("MESSAGE_CREATE").await["content"], "pong");
    ask();
    let received = next.dispatch("MESSAGE_CREATE").await;
    settled(&simulator).await;
    assert_eq!(counts(), (1, 2));
    answer(&simulator, &received).await;
    assert_eq!(counts(), (0, 2));
}

#[tokio::test]
async fn a_rate_is_kept_and_messages_and_reactions_come_in_their_shares() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS).await;
    let request = Generate { rate: Some(500.0), reactions: 1, ..burst(200) };
    simulator.control().generate(&request).unwrap();
    let mut seen = (0, 0);
    let mut messages = HashSet::new();
    for _ in 0..200 {
        let frame = client.frame().await;
        if frame["t"] == "MESSAGE_CREATE" {
            seen.0 += 1;
            messages.insert(frame["d"]["id"].clone());
        } else {
            assert_eq!(frame["t"], "MESSAGE_REACTION_ADD");
            assert!(messages.contains(&frame["d"]["message_id"]), "a reaction is to a message that there is");
            seen.1 += 1;
        }
    }
    assert!(seen.0 > 60 && seen.1 > 60, "{seen:?}");
    let state = simulator.control().generated();
    assert_eq!((state.running, state.made, state.behind), (false, 200, 0));
    assert!(simulator.ledger().now_ms >= 390, "200 events at 500 a second take 0.4 s");
}

#[tokio::test]
async fn a_generator_is_stopped_and_a_request_that_makes_no_sense_is_refused_by_field() {
    let simulator = start(options()).await;
    let endless = Generate { rate: Some(100.0), ..Generate::default() };
    assert!(simulator.control().generate(&endless).unwrap().running);
    assert!(!simulator.control().stop_generating().running);
    let table = [
        (json!({}), "count: found none"),
        (json!({ "rate": 0 }), "rate: found 0"),
        (json!({ "count": 1, "content": "" }), "content: found 0 characters"),
        (json!({ "count": 1, "messages": 0 }), "messages, reactions, interactions: found [0, 0, 0]"),
        (json!({ "count": 1, "interactions": 1 }), "interactions: "),
        (json!({ "count": 1, "forMs": 0 }), "forMs: found 0"),
        (json!({ "count": 1, "shard": { "id": 2, "total": 2 } }), "shard.id: found 2"),
        (json!({ "counts": 1 }), "unknown field `counts`"),
    ];
    for (body, expected) in table {
        let (status, answer) = call(&simulator, "POST", "/control/generator", Some(body.clone())).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(expected), "{body}: {answer}");
    }
}

#[tokio::test]
async fn two_sessions_get_an_event_with_another_order_of_keys_and_at_another_time() {
    let simulator = start(Options { time_factor: 1000.0, skew_ms: 50, ..options() }).await;
    let mut clients = Vec::new();
    for total in [1, 2, 3, 5, 7] {
        for shard in 0..total {
            clients.push(Client::ready_with(&simulator, shard, total, INTENTS).await);
        }
    }
    let shard = Some(ShardOf { id: 0, total: 1 });
    simulator
        .control()
        .post_message(NewMessage { content: "x".into(), shard, ..NewMessage::default() })
        .unwrap();
    let sent = |ledger: &Ledger| ledger.events.sends == 5;
    simulator.wait_for(PATIENCE, sent).await.unwrap();
    let ledger = simulator.control().ledger_of(&query(EventFilter::All));
    let event = &ledger.event_details[0];
    let times: HashSet<_> = event.sent.iter().map(|sent| sent.at_ms).collect();
    assert!(times.len() > 1, "{event:?}");
    let guild = event.guild_id.unwrap();
    let mut texts = HashSet::new();
    let mut values = Vec::new();
    for (index, total) in [(0, 1), (1, 2), (3, 3), (6, 5), (11, 7)] {
        let text = clients[index + guild.shard(total) as usize].text().await;
        let frame: Value = serde_json::from_str(&text).unwrap();
        values.push(frame["d"].clone());
        texts.insert(text[text.find(r#""d":"#).unwrap()..].to_owned());
    }
    assert!(values.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(texts.len() > 1, "at least two of five sessions differ in the order of keys");
}

#[tokio::test]
async fn where_sessions_may_differ_in_order_a_guilds_own_order_is_kept() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let change = SettingsChange { skew_ms: Some(40), same_order: Some(false), ..SettingsChange::default() };
    simulator.control().settle(&change).unwrap();
    let mut clients = [
        Client::ready_with(&simulator, 0, 1, INTENTS).await,
        Client::ready_with(&simulator, 0, 1, INTENTS).await,
    ];
    simulator
        .control()
        .generate(&Generate { rate: Some(2000.0), content: "{n}".into(), ..burst(200) })
        .unwrap();
    let mut orders = Vec::new();
    for client in &mut clients {
        let mut newest = std::collections::HashMap::new();
        let mut order = Vec::new();
        for _ in 0..200 {
            let message = client.dispatch("MESSAGE_CREATE").await;
            let number: u64 = message["content"].as_str().unwrap().parse().unwrap();
            let before = newest.insert(message["guild_id"].to_string(), number);
            assert!(before.is_none_or(|before| before < number), "within a guild");
            order.push(number);
        }
        orders.push(order);
    }
    assert_ne!(orders[0], orders[1], "over all guilds");
}

#[tokio::test]
async fn what_a_bot_leaves_open_is_lost_what_it_answers_twice_is_doubled_and_an_older_one_later_is_reordered()
{
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS).await;
    let guild_id = Some(simulator.control().world.guilds()[0]);
    let mut messages = Vec::new();
    for content in ["!a", "!b", "!c", "no command"] {
        let message = NewMessage { content: content.into(), guild_id, ..NewMessage::default() };
        simulator.control().post_message(message).unwrap();
        messages.push(client.dispatch("MESSAGE_CREATE").await);
    }
    for index in [1, 0, 1] {
        answer(&simulator, &messages[index]).await;
    }
    let ledger = simulator.control().ledger_of(&query(EventFilter::Lost));
    let events = &ledger.events;
    assert_eq!((events.made, events.asking, events.answered), (4, 3, 2));
    assert_eq!((events.lost, events.waiting, events.doubled, events.reordered), (1, 0, 1, 1));
    let ids = |filter| {
        let ledger = simulator.control().ledger_of(&query(filter));
        ledger.event_details.into_iter().map(|event| json!(event.id)).collect::<Vec<_>>()
    };
    assert_eq!(ids(EventFilter::Lost), [messages[2]["id"].clone()]);
    assert_eq!(ids(EventFilter::Doubled), [messages[1]["id"].clone()]);
    assert_eq!(ids(EventFilter::Reordered), [messages[0]["id"].clone()]);
    assert_eq!(simulator.ledger().events.waiting, 1, "after less than 10 s nothing is lost yet");
}

#[tokio::test]
async fn the_ledger_says_at_which_sequence_each_session_got_an_event_and_that_a_resume_sent_it_again() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS).await;
    simulator.control().generate(&burst(2)).unwrap();
    client.dispatch("MESSAGE_CREATE").await;
    client.dispatch("MESSAGE_CREATE").await;
    assert_eq!(client.sequence, 3);
    let session = client.session.clone();
    client.close(4000).await;
    let mut again = Client::connect(&simulator).await;
    again.resume(&session, 2).await;
    again.until("RESUMED").await;
    let ledger = simulator.control().ledger_of(&query(EventFilter::All));
    assert_eq!((ledger.events.sends, ledger.events.replays), (3, 1));
    let newest = &ledger.event_details[0];
    let sequences: Vec<_> =
        newest.sent.iter().map(|sent| (sent.session_id.to_string(), sent.sequence)).collect();
    assert_eq!(sequences, [(session.clone(), 3), (session, 3)]);
}

#[tokio::test]
async fn the_pause_of_a_shard_and_the_time_to_ready_of_a_total_are_in_the_ledger() {
    let simulator = start(Options { max_concurrency: 2, ..options() }).await;
    let client = Client::ready_with(&simulator, 0, 2, INTENTS).await;
    assert_eq!(simulator.ledger().totals[0].time_to_ready_ms, None);
    let _other = Client::ready_with(&simulator, 1, 2, INTENTS).await;
    let (session, sequence) = (client.session.clone(), client.sequence);
    client.close(4000).await;
    let is_away = |ledger: &Ledger| ledger.shards[0].without_connection_since_ms.is_some();
    simulator.wait_for(PATIENCE, is_away).await.unwrap();
    let mut again = Client::connect(&simulator).await;
    again.resume(&session, sequence).await;
    again.until("RESUMED").await;
    let ledger = simulator.ledger();
    assert_eq!((ledger.shards[0].pauses, ledger.shards[0].connections), (1, 1));
    assert_eq!(ledger.shards[0].longest_pause_ms, ledger.shards[0].paused_ms);
    assert_eq!((ledger.shards[1].pauses, ledger.totals[0].shards_ready_once), (0, 2));
    let total = &ledger.totals[0];
    assert_eq!(
        total.time_to_ready_ms,
        Some(total.last_first_ready_at_ms.unwrap() - total.first_identify_at_ms)
    );
}

#[tokio::test]
async fn the_ledgers_filters_choose_details_and_leave_counters_alone() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let mut clients = Vec::new();
    for (shard, total) in [(0, 1), (0, 2), (1, 2)] {
        clients.push(Client::ready_with(&simulator, shard, total, INTENTS).await);
    }
    let identifies = simulator.ledger().identifies;
    for (filter, sessions, shards) in [
        ("", 3, 3),
        ("?total=2", 2, 2),
        ("?total=2&shard=1", 1, 1),
        ("?details=false", 0, 0),
        ("?application=5", 0, 0),
    ] {
        let (status, ledger) = call(&simulator, "GET", &format!("/ledger{filter}"), None).await;
        assert_eq!(status, 200, "{filter}");
        let count = |list: &str| ledger[list].as_array().unwrap().len();
        assert_eq!((count("sessions"), count("shards")), (sessions, shards), "{filter}");
        assert_eq!(ledger["identifies"], identifies, "{filter}");
    }
    for (filter, expected) in [
        ("?limit=0", "limit: found 0; use 1 to 10000"),
        ("?events=none", "unknown variant `none`"),
        ("?sinces=1", "unknown field `sinces`"),
    ] {
        let (status, answer) = call(&simulator, "GET", &format!("/ledger{filter}"), None).await;
        assert_eq!(status, 400, "{filter}");
        assert!(answer["error"].as_str().unwrap().contains(expected), "{filter}: {answer}");
    }
}
