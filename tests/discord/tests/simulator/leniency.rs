//! What Discord takes, by its documentation or from libraries that everybody runs: the smallest inputs that each of them sends.
//!
//! From: ten libraries that nobody here wrote, as they were seen. For: the promise that a bot of any library can be pointed
//! here. Every input stands for its kind. Deliberately absent: frames of the gateway one by one (`src/gateway/frames/tests.rs`),
//! and what Discord refuses (`codes.rs`, `rest.rs`).

use std::time::{Duration, Instant};

use discord_sim::{
    CloseAnswerIs, FAKE_TOKEN, NewInteraction, NewMessage, Options, SettingsChange, Simulator,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::client::{Client, Heard, INTENTS, PATIENCE, call, http, identify, options, start};

/// The path of a bot's commands.
const COMMANDS: &str = "/api/v10/applications/1000000000000000000/commands";

fn channel(simulator: &Simulator) -> u64 {
    simulator.control().world.guilds()[0].0 + 1
}

async fn post(simulator: &Simulator, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", simulator.addr());
    let request = http().post(url).header("Authorization", format!("Bot {FAKE_TOKEN}"));
    let answer = request.header("Content-Type", kind).body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn rest_is_reached_by_every_version_that_is_served_and_by_none() {
    let simulator = start(options()).await;
    for version in ["/v10", "/v9", "/v8", "/v7", "/v6", ""] {
        let path = format!("/api{version}/users/@me");
        assert_eq!(call(&simulator, "GET", &path, None).await.0, 200, "{path}");
        let path = format!("/api{version}/channels/{}/messages", channel(&simulator));
        assert_eq!(call(&simulator, "GET", &path, None).await.0, 200, "{path}");
    }
    assert_eq!(call(&simulator, "GET", "/api/v9/oauth2/applications/%40me", None).await.0, 200);
    let ledger = simulator.ledger();
    assert_eq!(ledger.unknown_routes, 0);
    let routes: Vec<_> = ledger.rest.iter().map(|call| (call.route.as_str(), call.count)).collect();
    let expected =
        [("GET /channels/{channel}/messages", 6), ("GET /oauth2/applications/@me", 1), ("GET /users/@me", 6)];
    assert_eq!(routes, expected, "a route is one, whatever the version");
}

#[tokio::test]
async fn rest_refuses_versions_that_are_discontinued_or_not_made_yet() {
    let simulator = start(options()).await;
    for version in ["v3", "v5", "v11"] {
        let (status, answer) = call(&simulator, "GET", &format!("/api/{version}/gateway"), None).await;
        assert_eq!((status, &answer["code"]), (400, &json!(50041)), "{version}");
    }
}

#[tokio::test]
async fn the_gateway_speaks_version_9_also_without_an_encoding_and_says_so_in_ready() {
    let simulator = start(options()).await;
    for (shard, query, version) in [(0, "/?v=9&encoding=json", 9), (1, "/?v=10", 10), (2, "/?v=7&v=9", 9)] {
        let mut client = Client::connect_with(&simulator, query).await.greeted().await;
        client.identify(shard, 3, INTENTS).await;
        assert_eq!(client.dispatch("READY").await["v"], version, "{query}");
    }
}

#[tokio::test]
async fn identify_takes_what_discordgo_serenity_and_oceanic_write_into_it() {
    let simulator = start(options()).await;
    let fields = [
        ("presence", json!({ "since": 0, "game": { "name": "", "type": 0 }, "status": "", "afk": false })),
        ("presence", json!({ "since": { "secs_since_epoch": 7, "nanos_since_epoch": 7 }, "status": "idle" })),
        ("compress", json!("zlib-stream")),
        ("capabilities", json!(1 << 15)),
    ];
    for (shard, (field, value)) in (0..).zip(fields) {
        let mut frame = identify(shard, 8, INTENTS);
        frame["d"][field] = value.clone();
        let mut client = Client::connect(&simulator).await;
        client.send(&frame).await;
        assert_eq!(client.frame().await["t"], "READY", "{field}: {value}");
    }
    assert_eq!(simulator.ledger().violations, 0);
}

#[tokio::test]
async fn a_form_as_of_an_html_page_is_a_message_by_its_payload_or_by_its_fields() {
    let simulator = start(options()).await;
    let path = format!("/api/v10/channels/{}/messages", channel(&simulator));
    let kind = "application/x-www-form-urlencoded";
    for body in ["payload_json=%7B%22content%22%3A%22hi+you%22%7D", "content=hi+you&tts=false&flags=4"] {
        let (status, message) = post(&simulator, &path, kind, body).await;
        assert_eq!((status, &message["content"]), (200, &json!("hi you")), "{body}");
    }
    let multipart = "--X\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\nhi you\r\n--X\r\n\
                     Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nabc\r\n--X--\r\n";
    let (status, message) = post(&simulator, &path, "multipart/form-data; boundary=X", multipart).await;
    assert_eq!((status, &message["content"]), (200, &json!("hi you")));
    assert_eq!(message["attachments"][0]["filename"], "a.txt");
}

#[tokio::test]
async fn an_interaction_is_answered_by_a_form_as_py_cord_does_it() {
    let simulator = start(options()).await;
    let command = json!({ "name": "ping", "description": "d" });
    assert_eq!(call(&simulator, "POST", COMMANDS, Some(command)).await.0, 201);
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let used = NewInteraction { command: "ping".into(), ..NewInteraction::default() };
    simulator.control().post_interaction(used).unwrap();
    let interaction = client.dispatch("INTERACTION_CREATE").await;
    let (id, token) = (interaction["id"].as_str().unwrap(), interaction["token"].as_str().unwrap());
    let path = format!("/api/v10/interactions/{id}/{token}/callback");
    let body = "payload_json=%7B%22type%22%3A+4%2C+%22data%22%3A+%7B%22content%22%3A+%22pong%22%7D%7D";
    assert_eq!(post(&simulator, &path, "application/x-www-form-urlencoded", body).await.0, 204);
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "pong");
}

#[tokio::test]
async fn numbers_and_booleans_of_a_command_may_be_texts_as_jda_writes_them_and_come_back_as_what_they_are() {
    let simulator = start(options()).await;
    let option =
        json!({ "type": "7", "name": "o", "description": "d", "required": "true", "channel_types": ["0"] });
    let command = json!({
        "type": "1", "name": "ping", "description": "d", "options": [option], "nsfw": "false",
        "contexts": ["0", "1"], "integration_types": ["0"], "default_member_permissions": 8,
    });
    for (method, body) in [("POST", command.clone()), ("PUT", json!([command]))] {
        let (status, answer) = call(&simulator, method, COMMANDS, Some(body)).await;
        assert!(matches!(status, 200 | 201), "{method}: {status} {answer}");
        let found = answer.get(0).unwrap_or(&answer);
        assert_eq!((&found["contexts"], &found["integration_types"]), (&json!([0, 1]), &json!([0])));
        let option = &found["options"][0];
        assert_eq!((&option["type"], &option["required"]), (&json!(7), &json!(true)));
        assert_eq!((&option["channel_types"], &found["nsfw"]), (&json!([0]), &json!(false)));
    }
    let wrong = json!({ "name": "ping", "description": "d", "contexts": ["3"] });
    assert_eq!(call(&simulator, "POST", COMMANDS, Some(wrong)).await.1["code"], 50035);
}

#[tokio::test]
async fn a_heartbeat_is_acknowledged_no_sooner_than_a_network_could_and_no_frame_overtakes_another() {
    let simulator = start(Options { ack_ms: 200, ..options() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let sent = Instant::now();
    client.send(&json!({ "op": 1, "d": client.sequence })).await;
    client.send(&json!({ "op": 31, "d": { "guild_ids": [simulator.control().world.guilds()[0]] } })).await;
    client.send(&json!({ "op": 1, "d": client.sequence })).await;
    assert_eq!(client.frame().await["op"], 11);
    let waited = sent.elapsed();
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    let mut others = [client.frame().await, client.frame().await];
    others.sort_by_key(|frame| frame["op"].as_u64());
    assert_eq!((&others[0]["t"], &others[1]["op"]), (&json!("SOUNDBOARD_SOUNDS"), &json!(11)));

    let change = SettingsChange { ack_ms: Some(1001), ..SettingsChange::default() };
    assert_eq!(
        simulator.control().settle(&change).unwrap_err().to_string(),
        "ackMs: found 1001; use 0 to 1000"
    );
    let change = SettingsChange { ack_ms: Some(0), ..SettingsChange::default() };
    assert_eq!(simulator.control().settle(&change).unwrap().ack_ms, 0);
    client.beat().await;
}

#[tokio::test]
async fn without_being_told_a_heartbeat_is_acknowledged_after_five_milliseconds() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    for _ in 0..20 {
        let sent = Instant::now();
        client.beat().await;
        assert!(sent.elapsed() >= Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_clients_close_is_answered_with_its_own_code_or_with_1000_as_the_switch_says() {
    let simulator = start(options()).await;
    for (shard, answer, expected) in [(0, CloseAnswerIs::Own, 4000), (1, CloseAnswerIs::Normal, 1000)] {
        let change = SettingsChange { close_answer: Some(answer), ..SettingsChange::default() };
        simulator.control().settle(&change).unwrap();
        let mut client = Client::ready(&simulator, shard, 2).await;
        let frame = CloseFrame { code: 4000.into(), reason: "going".into() };
        client.send_raw(Message::Close(Some(frame))).await;
        assert_eq!((client.closed().await, client.reason.as_str()), (Some(expected), "going"));
        // What becomes of the session goes by the client's code, whatever the answer is.
        let lives = |ledger: &discord_sim::Ledger| {
            ledger.sessions.iter().any(|session| session.shard == shard && !session.connected)
        };
        assert!(simulator.wait_for(PATIENCE, lives).await.is_ok(), "{answer:?}");
    }
    assert_eq!(simulator.ledger().closes["4000"], 2);
}

#[tokio::test]
async fn what_the_server_closes_keeps_its_code_whatever_a_clients_close_is_answered_with() {
    let simulator = start(options()).await;
    let change = SettingsChange { close_answer: Some(CloseAnswerIs::Normal), ..SettingsChange::default() };
    simulator.control().settle(&change).unwrap();
    let mut client = Client::connect(&simulator).await;
    client.send(&json!({ "op": 99, "d": null })).await;
    assert_eq!(client.hear().await, Heard::Closed(Some(4001)));
}

#[tokio::test]
async fn events_that_only_members_bring_about_do_not_say_whether_they_are_pending() {
    let simulator = start(options()).await;
    let intents = INTENTS & !1 | 1 << 10 | 1 << 11;
    let mut client = Client::ready_with(&simulator, 0, 1, intents).await;
    let guild = simulator.control().world.guilds()[0];
    let message = NewMessage { content: "x".into(), guild_id: Some(guild), ..NewMessage::default() };
    simulator.control().post_message(message).unwrap();
    let message = client.dispatch("MESSAGE_CREATE").await;
    let path = format!("/api/v10/channels/{}", guild.0 + 1);
    let reaction = format!("{path}/messages/{}/reactions/%F0%9F%91%8D/@me", message["id"].as_str().unwrap());
    assert_eq!(call(&simulator, "PUT", &reaction, None).await.0, 204);
    assert_eq!(call(&simulator, "POST", &format!("{path}/typing"), None).await.0, 204);
    let others = [client.dispatch("MESSAGE_REACTION_ADD").await, client.dispatch("TYPING_START").await];
    for event in [&message, &others[0], &others[1]] {
        let member = event["member"].as_object().unwrap();
        assert!(member.contains_key("joined_at") && !member.contains_key("pending"), "{event}");
    }
}

#[tokio::test]
async fn the_bots_user_in_ready_has_its_applications_name_as_global_name() {
    let simulator = start(options()).await;
    let mut client = Client::connect(&simulator).await;
    client.identify(0, 1, INTENTS).await;
    let ready = client.dispatch("READY").await;
    let application = call(&simulator, "GET", "/api/v10/applications/@me", None).await.1;
    assert!(ready["user"]["global_name"].is_string(), "{ready}");
    assert_eq!(ready["user"]["global_name"], application["name"]);
}

#[tokio::test]
async fn a_channel_that_a_command_names_says_what_the_bot_may_do_in_it() {
    let simulator = start(options()).await;
    let option = json!({ "type": 7, "name": "where", "description": "d" });
    let command = json!({ "name": "go", "description": "d", "options": [option] });
    assert_eq!(call(&simulator, "POST", COMMANDS, Some(command)).await.0, 201);
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let where_to = channel(&simulator).to_string();
    let options = json!({ "where": where_to }).as_object().unwrap().clone();
    let used = NewInteraction { command: "go".into(), options, ..NewInteraction::default() };
    simulator.control().post_interaction(used).unwrap();
    let interaction = client.dispatch("INTERACTION_CREATE").await;
    let resolved = &interaction["data"]["resolved"]["channels"][&where_to];
    assert!(resolved["app_permissions"].is_string() && resolved["permissions"].is_string(), "{resolved}");
    assert!(interaction["channel"].get("app_permissions").is_none(), "there it stands beside the channel");
}
