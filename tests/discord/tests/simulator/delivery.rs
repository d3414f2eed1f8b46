//! Delivery: who gets an event, and what of it.

use discord_sim::{Delivery, FAKE_TOKEN, NewMessage, Options, ShardOf, Snowflake, Token};
use serde_json::json;

use crate::client::{Client, INTENTS, options, start};

/// GUILD_MESSAGES alone: no content, no guilds.
const MESSAGES_ONLY: u64 = 1 << 9;

fn shards(delivered: &[Delivery]) -> Vec<(u32, u32)> {
    delivered.iter().map(|delivery| (delivery.shard, delivery.total)).collect()
}

#[tokio::test]
async fn a_message_reaches_one_shard_of_every_total_and_no_other() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let mut clients = Vec::new();
    for (shard, total) in [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)] {
        clients.push(Client::ready_with(&simulator, shard, total, MESSAGES_ONLY).await);
    }
    for guild in (0..3).map(|id| ShardOf { id, total: 3 }) {
        let message = NewMessage { content: "x".into(), shard: Some(guild), ..NewMessage::default() };
        let made = simulator.control().post_message(message).unwrap();
        let guild = made.guild_id.unwrap();
        assert_eq!(shards(&made.delivered_to), [(guild.shard(2), 2), (guild.shard(3), 3)]);
        for index in [guild.shard(2), 2 + guild.shard(3)] {
            let data = clients[index as usize].dispatch("MESSAGE_CREATE").await;
            assert_eq!(data["id"], made.message_id.to_string());
        }
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.messages.made, ledger.messages.delivered), (3, 3));
}

#[tokio::test]
async fn two_sessions_of_one_shard_both_get_everything() {
    let simulator = start(Options { time_factor: 1000.0, ..options() }).await;
    let mut first = Client::ready_with(&simulator, 0, 1, MESSAGES_ONLY).await;
    let mut second = Client::ready_with(&simulator, 0, 1, MESSAGES_ONLY).await;
    let made = simulator
        .control()
        .post_message(NewMessage { content: "x".into(), ..NewMessage::default() })
        .unwrap();
    assert_eq!(shards(&made.delivered_to), [(0, 1), (0, 1)]);
    first.dispatch("MESSAGE_CREATE").await;
    second.dispatch("MESSAGE_CREATE").await;
}

#[tokio::test]
async fn content_is_hidden_without_its_intent_unless_the_bot_is_mentioned_or_wrote_it() {
    let simulator = start(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, MESSAGES_ONLY).await;
    let bot = Token::new(FAKE_TOKEN).application();
    let mention = format!("<@{bot}> hello");
    for (content, expected) in [("hello", ""), (mention.as_str(), mention.as_str())] {
        simulator
            .control()
            .post_message(NewMessage { content: content.into(), ..NewMessage::default() })
            .unwrap();
        assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], expected);
    }
    let channel = simulator.control().world.guilds()[0].0 + 1;
    let path = format!("/api/v10/channels/{channel}/messages");
    crate::client::call(&simulator, "POST", &path, Some(json!({ "content": "mine" }))).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "mine");
}

#[tokio::test]
async fn events_come_only_to_those_who_asked_for_them() {
    let simulator = start(options()).await;
    let mut guilds_only = Client::ready_with(&simulator, 0, 1, 1).await;
    let mut messages_only = Client::ready_with(&simulator, 1, 2, MESSAGES_ONLY).await;
    let message =
        NewMessage { content: "x".into(), shard: Some(ShardOf { id: 1, total: 2 }), ..NewMessage::default() };
    let made = simulator.control().post_message(message).unwrap();
    assert_eq!(shards(&made.delivered_to), [(1, 2)]);
    messages_only.dispatch("MESSAGE_CREATE").await;
    for _ in 0..40 {
        guilds_only.dispatch("GUILD_CREATE").await;
    }
}

#[tokio::test]
async fn a_direct_message_goes_to_shard_0_with_its_content_and_can_be_answered() {
    let simulator = start(options()).await;
    let mut zero = Client::ready_with(&simulator, 0, 2, INTENTS & !1 & !(1 << 15)).await;
    let _one = Client::ready(&simulator, 1, 2).await;
    let message = NewMessage {
        content: "psst".into(),
        direct: true,
        author_id: Some(Snowflake(77)),
        ..NewMessage::default()
    };
    let made = simulator.control().post_message(message).unwrap();
    assert_eq!((shards(&made.delivered_to), made.guild_id), (vec![(0, 2)], None));
    let data = zero.dispatch("MESSAGE_CREATE").await;
    assert_eq!((&data["content"], &data["author"]["id"]), (&json!("psst"), &json!("77")));
    assert!(data.get("guild_id").is_none());
    let path = format!("/api/v10/channels/{}", made.channel_id);
    assert_eq!(crate::client::call(&simulator, "GET", &path, None).await.1["type"], 1);
    let body = json!({ "content": "what?", "message_reference": { "message_id": made.message_id } });
    assert_eq!(crate::client::call(&simulator, "POST", &format!("{path}/messages"), Some(body)).await.0, 200);
    assert_eq!(simulator.ledger().messages.replies, 1);
}
