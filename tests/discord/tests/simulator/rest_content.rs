//! REST and events: what one bot may not see of others: direct channels, ephemeral messages, and content without the intent.
//!
//! From: two bots in one simulator. For: the promise that a bot here sees no more than it would at Discord.
//! Deliberately absent: content in events of messages that answer none (`events.rs`).

use discord_sim::{FAKE_TOKEN, NewMessage, Options, Simulator, Token};
use serde_json::{Value, json};

use crate::client::{Client, http, options, start};
use crate::interactions::{callback, open_call, ping, used, with_commands};

const SECOND: &str = "MjAw.second.bot";
/// GUILD_MESSAGES, and the same with MESSAGE_CONTENT.
const INTENTS: (u64, u64) = (1 << 9, 1 << 9 | 1 << 15);

fn two_bots() -> Options {
    Options { tokens: vec![Token::new(FAKE_TOKEN), Token::new(SECOND)], time_factor: 1000.0, ..options() }
}

async fn say(simulator: &Simulator, token: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("http://{}/api/v10{path}", simulator.addr());
    let request = body.map_or_else(|| http().get(&url), |body| http().post(&url).json(&body));
    let answer = request.header("Authorization", format!("Bot {token}")).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn written(simulator: &Simulator, content: &str) -> (String, Value) {
    let guild_id = Some(simulator.control().world.guilds()[0]);
    let message = NewMessage { content: content.into(), guild_id, ..NewMessage::default() };
    let made = simulator.control().post_message(message).unwrap();
    (format!("/channels/{}/messages", made.channel_id), json!(made.message_id))
}

#[tokio::test]
async fn a_bots_direct_channel_is_never_anothers_however_near_the_peoples_ids_are() {
    let simulator = start(two_bots()).await;
    let person = simulator.control().world.members_of(simulator.control().world.guilds()[0])[0].id;
    let mut channels = Vec::new();
    for (token, person) in [(FAKE_TOKEN, person.0 + 1), (SECOND, person.0), (SECOND, person.0 + 1)] {
        let recipient = Some(json!({ "recipient_id": person.to_string() }));
        let (_, channel) = say(&simulator, token, "/users/@me/channels", recipient).await;
        channels.push(channel["id"].as_str().unwrap().to_owned());
    }
    let messages = |index: usize| format!("/channels/{}/messages", channels[index]);
    let hello = Some(json!({ "content": "hello" }));
    assert_eq!(say(&simulator, FAKE_TOKEN, &messages(0), hello).await.0, 200);
    assert_eq!(say(&simulator, FAKE_TOKEN, &messages(0), None).await.1[0]["content"], "hello");
    assert_eq!(say(&simulator, SECOND, &messages(0), None).await.0, 404);
    for index in [1, 2] {
        assert_eq!(say(&simulator, SECOND, &messages(index), None).await, (200, json!([])));
        assert_eq!(say(&simulator, FAKE_TOKEN, &messages(index), None).await.0, 404);
    }
}

#[tokio::test]
async fn an_ephemeral_message_cannot_be_answered_by_another_bot() {
    // An interaction is to be answered within 3 s of Discord's time.
    let simulator = with_commands(Options { time_factor: 1.0, ..two_bots() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    let secret = json!({ "type": 4, "data": { "content": "psst", "flags": 64 } });
    let path = format!("{}?with_response=true", callback(&event));
    let (status, made) = open_call(&simulator, "POST", &path, Some(secret)).await;
    assert_eq!(status, 200, "{made}");
    let id = &made["interaction"]["response_message_id"];
    let channel = format!("/channels/{}/messages", event["channel_id"].as_str().unwrap());
    let reply = |must| {
        let reference = json!({ "message_id": id, "fail_if_not_exists": must });
        Some(json!({ "content": "what?", "message_reference": reference }))
    };
    let (status, refused) = say(&simulator, SECOND, &channel, reply(true)).await;
    assert_eq!((status, &refused["code"]), (400, &json!(50035)));
    let (status, taken) = say(&simulator, SECOND, &channel, reply(false)).await;
    assert_eq!((status, taken.get("referenced_message")), (200, None));
}

#[tokio::test]
async fn rest_hides_content_from_a_bot_without_the_intent_unless_it_is_its_own_or_mentions_it() {
    let simulator = start(Options { privileged_intents: 0, ..options() }).await;
    let (path, asked) = written(&simulator, "secret");
    written(&simulator, "<@1000000000000000000> hi");
    let reply = json!({ "content": "own", "message_reference": { "message_id": asked } });
    let (_, answer) = say(&simulator, FAKE_TOKEN, &path, Some(reply)).await;
    assert_eq!((&answer["content"], &answer["referenced_message"]["content"]), (&json!("own"), &json!("")));
    let (_, history) = say(&simulator, FAKE_TOKEN, &path, None).await;
    let contents: Vec<_> = (0..3).map(|index| history[index]["content"].clone()).collect();
    assert_eq!(contents, ["own", "<@1000000000000000000> hi", ""]);
    assert_eq!(history[0]["referenced_message"]["content"], "");
    let one = format!("{path}/{}", asked.as_str().unwrap());
    assert_eq!(say(&simulator, FAKE_TOKEN, &one, None).await.1["content"], "");
}

#[tokio::test]
async fn an_event_of_an_answer_hides_only_the_message_that_the_bot_may_not_see() {
    let simulator = start(two_bots()).await;
    let (path, secret) = written(&simulator, "secret");
    let (_, hello) = written(&simulator, "<@1000000000000000000> hello");
    let mut without = Client::ready_with(&simulator, 0, 1, INTENTS.0).await;
    let mut with = Client::ready_with(&simulator, 0, 2, INTENTS.1).await;
    let mut other_half = Client::ready_with(&simulator, 1, 2, INTENTS.1).await;
    let guild = simulator.control().world.guilds()[0];
    let with = if guild.shard(2) == 0 { &mut with } else { &mut other_half };
    for (token, asked, content, expected) in [
        (FAKE_TOKEN, &secret, "own", ("own", "")),
        (SECOND, &secret, "foreign", ("", "")),
        (SECOND, &hello, "foreign", ("", "<@1000000000000000000> hello")),
    ] {
        let reply = json!({ "content": content, "message_reference": { "message_id": asked } });
        assert_eq!(say(&simulator, token, &path, Some(reply)).await.0, 200);
        let event = without.dispatch("MESSAGE_CREATE").await;
        let found =
            (event["content"].as_str().unwrap(), event["referenced_message"]["content"].as_str().unwrap());
        assert_eq!(found, expected, "{content}");
        assert!(event["member"].is_object() && event["guild_id"].is_string());
        let whole = with.dispatch("MESSAGE_CREATE").await;
        assert_eq!(whole["content"], content);
        assert_ne!(whole["referenced_message"]["content"], "");
    }
}
