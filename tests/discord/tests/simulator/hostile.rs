//! Hostile clients: each gets what it deserves, and a good client beside them notices nothing.
//!
//! From: clients made of bytes. For: the promise that one bad client disturbs nobody. Clients that only break Discord's
//! rules are in `codes.rs`; one that never reads is in `sessions.rs`; random ones are in `fuzz.rs`. Deliberately absent:
//! more of them than a machine has sockets for.

use std::time::Duration;

use discord_sim::{NewMessage, Options, Simulator};
use serde_json::json;

use crate::client::{Client, PATIENCE, options, start};
use crate::raw::{FIRST, LAST, MIDDLE, PING, Raw, TEXT, frame, header};

const MESSAGES: u64 = 1 << 9 | 1 << 15;
const HEARTBEAT: &[u8] = br#"{"op":1,"d":null}"#;

/// A good client beside a bad one: it goes on getting messages and acknowledgements.
struct Good(Client);

impl Good {
    async fn start(simulator: &Simulator) -> Self {
        Self(Client::ready_with(simulator, 0, 1, MESSAGES).await)
    }

    async fn notices_nothing(&mut self, simulator: &Simulator) {
        for number in 0..20 {
            let message = NewMessage { content: number.to_string(), ..NewMessage::default() };
            simulator.control().post_message(message).unwrap();
            assert_eq!(self.0.dispatch("MESSAGE_CREATE").await["content"], number.to_string());
        }
        self.0.beat().await;
    }
}

/// Sends this after HELLO, beside a good client: how the connection ends.
async fn ended(sent: &[u8]) -> Option<u16> {
    let simulator = start(options()).await;
    let mut good = Good::start(&simulator).await;
    let mut bad = Raw::connect(&simulator).await;
    bad.send(sent).await;
    let code = bad.closed().await;
    good.notices_nothing(&simulator).await;
    code
}

#[tokio::test]
async fn garbage_after_the_upgrade_is_closed_with_1002() {
    assert_eq!(ended(&b"GET / HTTP/1.1\r\n".repeat(1000)).await, Some(1002));
}

#[tokio::test]
async fn frames_without_a_mask_are_closed_with_1002() {
    assert_eq!(ended(&[TEXT, 2, b'{', b'}']).await, Some(1002));
}

#[tokio::test]
async fn control_frames_that_are_too_long_or_cut_are_closed_with_1002() {
    assert_eq!(ended(&frame(PING, &[b'x'; 200])).await, Some(1002));
    assert_eq!(ended(&frame(0x09, b"x")).await, Some(1002));
}

#[tokio::test]
async fn broken_utf_8_is_closed_with_4002() {
    assert_eq!(ended(&frame(TEXT, b"{\"op\":1,\"d\":\"\xff\xfe\"}")).await, Some(4002));
}

#[tokio::test]
async fn a_frame_that_promises_exabytes_is_closed_with_4002_at_its_header() {
    assert_eq!(ended(&header(TEXT, u64::MAX >> 1)).await, Some(4002));
}

#[tokio::test]
async fn a_message_of_endless_fragments_is_closed_with_4002() {
    let mut sent = frame(FIRST, b"{");
    for _ in 0..200 {
        sent.extend(frame(MIDDLE, &[b' '; 1000]));
    }
    assert_eq!(ended(&sent).await, Some(4002));
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_them_is_one_message() {
    let simulator = start(options()).await;
    let mut client = Raw::connect(&simulator).await;
    assert_eq!(client.frame().await.unwrap().0, TEXT);
    let (one, two) = HEARTBEAT.split_at(5);
    let parts = [frame(FIRST, one), frame(PING, b"?"), frame(MIDDLE, b""), frame(LAST, two)];
    for byte in parts.concat() {
        client.send(&[byte]).await;
    }
    assert_eq!(client.frame().await, Some((0x8A, b"?".to_vec())));
    let (first, ack) = client.frame().await.unwrap();
    assert!(first == TEXT && String::from_utf8(ack).unwrap().contains("\"op\":11"));
}

#[tokio::test]
async fn half_a_frame_is_waited_for_until_the_heartbeat_is_missing() {
    let interval = Duration::from_millis(300);
    let simulator = start(Options { heartbeat_interval: interval, ..options() }).await;
    let mut bad = Raw::connect(&simulator).await;
    bad.send(&frame(TEXT, HEARTBEAT)[..9]).await;
    assert_eq!(bad.closed().await, Some(4009));
}

#[tokio::test]
async fn a_flood_of_pings_by_a_client_that_reads_nothing_ends_and_is_written_down() {
    let simulator = start(options()).await;
    let mut good = Good::start(&simulator).await;
    let mut bad = Raw::connect(&simulator).await;
    let pings = frame(PING, &[b'x'; 125]).repeat(20_000);
    bad.send(&pings).await;
    let ledger = simulator.wait_for(PATIENCE, |ledger| ledger.violations > 0).await.unwrap();
    assert!(ledger.violation_details[0].text.contains("pings"), "{:?}", ledger.violation_details);
    good.notices_nothing(&simulator).await;
    bad.closed().await;
}

#[tokio::test]
async fn requests_that_never_end_disturb_nobody() {
    let simulator = start(options()).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut one = Raw::tcp(&simulator).await;
        one.send(b"GET /?v=10 HTTP/1.1\r\nHost: he").await;
        slow.push(one);
    }
    let mut good = Good::start(&simulator).await;
    for one in &mut slow {
        one.send(b"r").await;
    }
    good.notices_nothing(&simulator).await;
}

#[tokio::test]
async fn what_is_no_upgrade_gets_an_answer_and_no_connection() {
    let simulator = start(options()).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: h2c\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
    ] {
        let answer = reqwest_like(&simulator, request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
    }
}

/// The first line of the answer to these bytes.
async fn reqwest_like(simulator: &Simulator, request: &str) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = BufReader::new(tokio::net::TcpStream::connect(simulator.addr()).await.unwrap());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await.unwrap().unwrap();
    line
}

#[tokio::test]
async fn a_crowd_of_them_all_disturbs_nobody() {
    let simulator = start(options()).await;
    let mut good = Good::start(&simulator).await;
    let kinds: [Vec<u8>; 8] = [
        vec![0xFF; 5000],
        frame(TEXT, b"{"),
        frame(TEXT, &b"x".repeat(60_000)),
        frame(0x82, &[131, 116]),
        frame(TEXT, HEARTBEAT).repeat(3000),
        frame(PING, &[b'x'; 125]).repeat(3000),
        header(TEXT, 60_000),
        frame(TEXT, json!({ "op": 2, "d": { "token": "x", "properties": {} } }).to_string().as_bytes()),
    ];
    let mut crowd = Vec::new();
    for number in 0..160 {
        let mut bad = Raw::connect(&simulator).await;
        bad.send(&kinds[number % kinds.len()]).await;
        crowd.push(bad);
        if number % 20 == 0 {
            good.notices_nothing(&simulator).await;
        }
    }
    good.notices_nothing(&simulator).await;
    // All but the halves of a frame have ended; dropped clients leave nothing behind either.
    drop(crowd);
    good.notices_nothing(&simulator).await;
    assert_eq!(simulator.ledger().sessions.len(), 1);
}
