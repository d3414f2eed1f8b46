//! Interactions: who gets one, and how its first answer is taken or refused; what may follow is in `answers.rs`.

use std::time::Duration;

use discord_sim::{NewInteraction, Options, ReplyWait, ShardOf, Simulator};
use serde_json::{Value, json};
use twilight_model::application::interaction::Interaction;

use crate::client::{Client, call, http, options, start};

const BOT: &str = "1000000000000000000";
const COMMANDS: &str = "/api/v10/applications/1000000000000000000/commands";

/// A simulator with the commands `/ping` and `/fib n`.
pub async fn with_commands(options: Options) -> Simulator {
    let simulator = start(options).await;
    let commands = json!([
        { "name": "ping", "description": "Pings." },
        { "name": "fib", "description": "Fibonacci.", "options": [
            { "type": 4, "name": "n", "description": "Which.", "required": true },
            { "type": 6, "name": "for", "description": "For whom." },
        ] },
    ]);
    assert_eq!(call(&simulator, "PUT", COMMANDS, Some(commands)).await.0, 200);
    simulator
}

pub fn ping() -> NewInteraction {
    NewInteraction { command: "ping".into(), ..NewInteraction::default() }
}

/// Uses a command; what a session of all guilds gets.
pub async fn used(simulator: &Simulator, client: &mut Client, request: NewInteraction) -> Value {
    let made = simulator.control().post_interaction(request).unwrap();
    let event = client.dispatch("INTERACTION_CREATE").await;
    assert_eq!(event["id"], made.interaction_id.to_string());
    event
}

/// Calls REST without a token, as callbacks may.
pub async fn open_call(simulator: &Simulator, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request =
        http().request(method.parse().unwrap(), format!("http://{}/api/v10{path}", simulator.addr()));
    let request = body.into_iter().fold(request, |request, body| request.json(&body));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

pub fn callback(event: &Value) -> String {
    format!("/interactions/{}/{}/callback", event["id"].as_str().unwrap(), event["token"].as_str().unwrap())
}

pub fn webhook(event: &Value) -> String {
    format!("/webhooks/{BOT}/{}", event["token"].as_str().unwrap())
}

pub fn says(content: &str) -> Value {
    json!({ "type": 4, "data": { "content": content } })
}

#[tokio::test]
async fn an_interaction_goes_to_the_guilds_shard_of_every_total_whatever_the_intents() {
    let simulator = with_commands(options()).await;
    let mut clients = Vec::new();
    for (shard, total) in [(0, 1), (1, 2)] {
        clients.push(Client::ready_with(&simulator, shard, total, 0).await);
    }
    let shard = Some(ShardOf { id: 0, total: 2 });
    let made = simulator.control().post_interaction(NewInteraction { shard, ..ping() }).unwrap();
    assert_eq!(made.delivered_to.len(), 1);
    clients[0].dispatch("INTERACTION_CREATE").await;
    let shard = Some(ShardOf { id: 1, total: 2 });
    let made = simulator.control().post_interaction(NewInteraction { shard, ..ping() }).unwrap();
    let reached: Vec<_> = made.delivered_to.iter().map(|to| (to.shard, to.total)).collect();
    assert_eq!(reached, [(0, 1), (1, 2)]);
    let first = clients[0].dispatch("INTERACTION_CREATE").await;
    assert_eq!(clients[1].dispatch("INTERACTION_CREATE").await, first);
    assert_eq!(first["guild_id"], made.guild_id.unwrap().to_string());
    let ledger = simulator.ledger();
    assert_eq!((ledger.interactions.made, ledger.interactions.delivered, ledger.events.asking), (2, 2, 2));
}

#[tokio::test]
async fn an_interaction_can_also_be_had_by_one_session_of_all_totals_only() {
    let simulator = with_commands(options()).await;
    let change = json!({ "interactionsTo": "one" });
    assert_eq!(call(&simulator, "POST", "/control/settings", Some(change)).await.1["interactionsTo"], "one");
    let _first = Client::ready_with(&simulator, 0, 1, 0).await;
    let _second = Client::ready_with(&simulator, 1, 2, 0).await;
    let mut totals = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let shard = Some(ShardOf { id: 1, total: 2 });
        let made = simulator.control().post_interaction(NewInteraction { shard, ..ping() }).unwrap();
        assert_eq!(made.delivered_to.len(), 1);
        totals.insert(made.delivered_to[0].total);
    }
    assert_eq!(totals.into_iter().collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_second_callback_is_refused_with_40060() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    assert_eq!(open_call(&simulator, "POST", &callback(&event), Some(says("one"))).await, (204, Value::Null));
    let (status, answer) = open_call(&simulator, "POST", &callback(&event), Some(says("two"))).await;
    let expected = json!({ "message": "Interaction has already been acknowledged.", "code": 40060 });
    assert_eq!((status, answer), (400, expected));
    let ledger = simulator.ledger();
    assert_eq!((ledger.interactions.acknowledged, ledger.interactions.acknowledged_again), (1, 1));
    assert_eq!((ledger.events.answered, ledger.messages.by_bots), (1, 1));
}

#[tokio::test]
async fn a_callback_after_three_seconds_is_refused_with_10062_and_the_token_is_worth_nothing() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    simulator.control().clock.advance(Duration::from_secs(3));
    let (status, answer) = open_call(&simulator, "POST", &callback(&event), Some(says("late"))).await;
    assert_eq!((status, answer), (404, json!({ "message": "Unknown interaction", "code": 10062 })));
    let (status, answer) =
        open_call(&simulator, "POST", &webhook(&event), Some(json!({ "content": "x" }))).await;
    assert_eq!((status, &answer["code"]), (401, &json!(50027)));
    assert_eq!(simulator.ledger().interactions.unknown_or_late, 1);
}

#[tokio::test]
async fn wrong_tokens_and_ids_are_refused_each_in_its_way() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    let (id, token) = (event["id"].as_str().unwrap(), event["token"].as_str().unwrap());
    let table = [
        ("POST", format!("/interactions/{id}/other/callback"), 401, 50027),
        ("POST", format!("/interactions/7/{token}/callback"), 404, 10062),
        ("POST", format!("/webhooks/100/{token}"), 404, 10015),
        ("PATCH", format!("/webhooks/{BOT}/other/messages/@original"), 401, 50027),
    ];
    for (method, path, status, code) in table {
        let body = json!({ "type": 4, "data": { "content": "x" }, "content": "x" });
        let (found, answer) = open_call(&simulator, method, &path, Some(body)).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{path}");
    }
    open_call(&simulator, "POST", &callback(&event), Some(says("one"))).await;
    let others = format!("{}/messages/7", webhook(&event));
    assert_eq!(open_call(&simulator, "GET", &others, None).await.1["code"], 10008);
}

#[tokio::test]
async fn a_callback_that_is_wrong_is_told_so_and_may_be_sent_again() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    let table = [
        (json!({ "type": 4, "data": { "content": "x".repeat(2001) } }), 50035),
        (json!({ "type": 4, "data": {} }), 50006),
        (json!({ "type": 8, "data": { "choices": [] } }), 50035),
    ];
    for (body, code) in table {
        let (status, answer) = open_call(&simulator, "POST", &callback(&event), Some(body)).await;
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{answer}");
    }
    let modal = json!({ "type": 9, "data": { "custom_id": "m", "title": "t", "components": [{}] } });
    assert_eq!(open_call(&simulator, "POST", &callback(&event), Some(modal)).await.0, 204);
    let original = format!("{}/messages/@original", webhook(&event));
    assert_eq!(open_call(&simulator, "GET", &original, None).await.1["code"], 10008);
}

#[tokio::test]
async fn a_command_used_in_a_direct_channel_goes_to_shard_0_with_a_user_and_no_member() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 2, 0).await;
    let event = used(&simulator, &mut client, NewInteraction { direct: true, ..ping() }).await;
    assert!(
        event["user"]["id"].is_string() && event.get("member").is_none() && event.get("guild_id").is_none()
    );
    assert_eq!(event["context"], 1);
    serde_json::from_value::<Interaction>(event.clone()).unwrap();
    assert_eq!(open_call(&simulator, "POST", &callback(&event), Some(says("hi"))).await.0, 204);
}

#[tokio::test]
async fn a_command_that_nobody_registered_is_refused_with_what_there_is() {
    let simulator = with_commands(options()).await;
    let table = [
        (json!({ "command": "pong" }), "command: found pong; registered are [fib, ping]"),
        (json!({ "command": "fib" }), "options.n: found none"),
        (json!({ "command": "fib", "options": { "n": "x" } }), "options.n: found \"x\"; use a whole number"),
        (json!({ "command": "ping sub" }), "no subcommand sub"),
        (json!({ "command": "ping", "guildId": "7" }), "guildId: 7 does not exist"),
        (json!({ "command": "ping", "applicationId": "7" }), "applicationId: 7 is no bot here"),
        (json!({ "command": "ping", "userId": "0" }), "userId: found 0"),
    ];
    for (body, expected) in table {
        let (status, answer) = call(&simulator, "POST", "/control/interactions", Some(body.clone())).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{body}: {status} {error}");
    }
    let unknown =
        simulator.control().interaction_replies(discord_sim::Snowflake(7), &ReplyWait::default()).await;
    assert!(unknown.unwrap_err().to_string().contains("7 is not known"));
}
