//! Sessions: RESUME, ends of sessions, and clients that do not read.

use std::time::Duration;

use discord_sim::{Ledger, NewMessage, Options, ResumeWhileConnected, SettingsChange, Simulator};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::client::{Client, INTENTS, PATIENCE, options, start};

fn write(simulator: &Simulator, content: &str) {
    let message = NewMessage { content: content.into(), ..NewMessage::default() };
    simulator.control().post_message(message).unwrap();
}

async fn disconnected(simulator: &Simulator) {
    simulator
        .wait_for(PATIENCE, |ledger| ledger.sessions.iter().all(|session| !session.connected))
        .await
        .unwrap();
}

/// A session that had READY and its guilds, closed with 4000.
async fn left(simulator: &Simulator) -> (String, u64) {
    let mut client = Client::ready_with(simulator, 0, 1, INTENTS & !1).await;
    let session = std::mem::take(&mut client.session);
    let sequence = client.sequence;
    client.close(4000).await;
    disconnected(simulator).await;
    (session, sequence)
}

#[tokio::test]
async fn a_resume_replays_what_was_missed_in_order_and_then_says_resumed() {
    let simulator = start(options()).await;
    let (session, sequence) = left(&simulator).await;
    for content in ["one", "two", "three"] {
        write(&simulator, content);
    }
    let mut client = Client::connect(&simulator).await;
    client.resume(&session, sequence).await;
    for (number, content) in (sequence + 1..).zip(["one", "two", "three"]) {
        assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], content);
        assert_eq!(client.sequence, number);
    }
    client.dispatch("RESUMED").await;
    write(&simulator, "four");
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "four");
    let ledger = simulator.ledger();
    assert_eq!((ledger.resumes, ledger.resumes_failed, ledger.identifies), (1, 0, 1));
    assert_eq!((ledger.resume_log[0].replayed, ledger.closes["4000"]), (3, 1));
}

#[tokio::test]
async fn a_resume_far_back_replays_guilds_and_all() {
    let simulator = start(options()).await;
    let mut client = Client::ready(&simulator, 0, 1).await;
    write(&simulator, "hello");
    let first: Vec<_> = client.until("MESSAGE_CREATE").await;
    let session = client.session.clone();
    drop(client);
    disconnected(&simulator).await;
    let mut client = Client::connect(&simulator).await;
    client.resume(&session, 1).await;
    let mut again = client.until("RESUMED").await;
    again.pop();
    assert_eq!(again, first);
}

#[tokio::test]
async fn closing_with_1000_or_1001_ends_the_session_and_nothing_else_does() {
    for (code, lives) in [(1000, false), (1001, false), (1002, true), (4000, true)] {
        let simulator = start(options()).await;
        let client = Client::ready(&simulator, 0, 1).await;
        client.close(code).await;
        let closed =
            simulator.wait_for(PATIENCE, |ledger| ledger.closes.contains_key(&code.to_string())).await;
        assert_eq!(closed.unwrap().sessions.len() == 1, lives, "{code}");
    }
}

#[tokio::test]
async fn sessions_that_do_not_exist_or_whose_time_is_over_get_op_9_false() {
    let simulator = start(Options { session_life: Duration::ZERO, ..options() }).await;
    let (session, sequence) = left(&simulator).await;
    let mut client = Client::connect(&simulator).await;
    for (session, sequence) in [("nothing", 0), (&session, sequence)] {
        client.resume(session, sequence).await;
        let answer = client.frame().await;
        assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)));
    }
    // The connection is still good for an IDENTIFY.
    client.identify(5, 8, INTENTS).await;
    client.dispatch("READY").await;
    assert_eq!(simulator.ledger().resumes_failed, 2);
}

#[tokio::test]
async fn a_sequence_from_the_future_is_4007_and_one_from_too_long_ago_is_op_9() {
    let simulator = start(Options { guilds: 1, replay_events: 5, time_factor: 1000.0, ..options() }).await;
    let (session, sequence) = left(&simulator).await;
    let mut client = Client::connect(&simulator).await;
    client.resume(&session, sequence + 1).await;
    assert_eq!(client.closed().await, Some(4007));

    let (session, sequence) = left(&simulator).await;
    for number in 0..10 {
        write(&simulator, &number.to_string());
    }
    let mut client = Client::connect(&simulator).await;
    client.resume(&session, sequence).await;
    assert_eq!(client.frame().await["op"], 9);
}

#[tokio::test]
async fn a_resume_takes_the_session_from_a_connection_that_is_still_open_or_not_as_the_switch_says() {
    let simulator = start(options()).await;
    let mut old = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let mut new = Client::connect(&simulator).await;
    new.resume(&old.session, old.sequence).await;
    new.dispatch("RESUMED").await;
    assert_eq!(old.closed().await, Some(4000));
    write(&simulator, "to the new one");
    new.dispatch("MESSAGE_CREATE").await;

    let change = SettingsChange {
        resume_while_connected: Some(ResumeWhileConnected::Refuse),
        ..SettingsChange::default()
    };
    simulator.control().settle(&change).unwrap();
    let mut newest = Client::connect(&simulator).await;
    newest.resume(&old.session, new.sequence).await;
    assert_eq!(newest.frame().await["op"], 9);
    write(&simulator, "still to the new one");
    new.dispatch("MESSAGE_CREATE").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_memory_stays_bounded() {
    let simulator = start(Options { guilds: 1, replay_events: 50, ..options() }).await;
    let _client = Client::ready(&simulator, 0, 1).await;
    let content = "x".repeat(4000);
    // Until the buffers of the two sockets are full, which the kernel decides.
    for _ in 0..50_000 {
        write(&simulator, &content);
        if simulator.ledger().cut_off > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let ledger = simulator.wait_for(PATIENCE, |ledger| ledger.cut_off == 1).await.unwrap();
    assert!(!ledger.sessions[0].connected, "the session itself lives on");
}

#[tokio::test]
async fn a_clients_close_is_answered_with_its_own_code_whatever_the_gateway_is_writing() {
    let simulator = start(Options { guilds: 2000, ..options() }).await;
    for (shard, code, lives) in [(0, 1000_u16, false), (1, 4000, true), (2, 1001, false)] {
        let mut client = Client::ready(&simulator, shard, 3).await;
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        client.send_raw(Message::Close(Some(frame))).await;
        assert_eq!(client.closed().await, Some(code));
        let is_as_expected = |ledger: &Ledger| {
            let session =
                ledger.sessions.iter().find(|session| session.session_id.to_string() == client.session);
            session.is_some_and(|session| !session.connected) == lives && (lives || session.is_none())
        };
        assert!(simulator.wait_for(PATIENCE, is_as_expected).await.is_ok(), "{code}");
    }
    assert_eq!(simulator.ledger().closes["1000"], 1);
}
