//! REST: what bots read of the world and the chat, and small things that they do there.

use std::time::Duration;

use discord_sim::{NewMessage, Options};
use serde_json::{Value, json};
use twilight_http::request::channel::reaction::RequestReactionType;
use twilight_model::id::Id;

use crate::client::{Client, call, options, start, twilight};

/// GUILD_MESSAGE_REACTIONS.
const REACTIONS: u64 = 1 << 10;

#[tokio::test]
async fn twilight_reads_users_guilds_members_roles_and_channels() {
    let simulator = start(options()).await;
    let rest = twilight(&simulator);
    let guilds = rest.current_user_guilds().limit(3).await.unwrap().model().await.unwrap();
    let all = simulator.control().world.guilds();
    assert_eq!(
        guilds.iter().map(|guild| guild.id.get()).collect::<Vec<_>>(),
        all[..3].iter().map(|id| id.0).collect::<Vec<_>>()
    );
    let guild = guilds[0].id;
    let next = rest.current_user_guilds().after(guild).limit(200).await.unwrap().model().await.unwrap();
    assert_eq!((next.len(), next[0].id), (39, guilds[1].id));

    let channels = rest.guild_channels(guild).await.unwrap().model().await.unwrap();
    assert_eq!(channels[0].id.get(), guild.get() + 1);
    assert_eq!(rest.roles(guild).await.unwrap().model().await.unwrap()[0].id.get(), guild.get());
    let members = rest.guild_members(guild).limit(10).await.unwrap().model().await.unwrap();
    assert_eq!(members.len(), 5);
    assert!(members.windows(2).all(|pair| pair[0].user.id < pair[1].user.id));
    let after =
        rest.guild_members(guild).limit(10).after(members[1].user.id).await.unwrap().model().await.unwrap();
    assert_eq!(after.len(), 3);
    let person = members.iter().find(|member| !member.user.bot).unwrap().user.id;
    assert_eq!(rest.guild_member(guild, person).await.unwrap().model().await.unwrap().user.id, person);
    assert_eq!(rest.user(person).await.unwrap().model().await.unwrap().id, person);
    let with_counts = rest.guild(guild).with_counts(true).await.unwrap().model().await.unwrap();
    assert_eq!(with_counts.approximate_member_count, Some(5));
    assert_eq!(simulator.ledger().unknown_routes, 0);
}

#[tokio::test]
async fn what_does_not_exist_or_is_asked_for_wrongly_has_its_code() {
    let simulator = start(Options { privileged_intents: 0, ..options() }).await;
    let guild = simulator.control().world.guilds()[0];
    let channel = guild.0 + 1;
    let table = [
        ("GET", "/users/0".to_owned(), 404, 10013),
        ("GET", format!("/users/{}", u64::MAX), 404, 10013),
        ("GET", format!("/guilds/{guild}/members/7"), 404, 10007),
        ("GET", format!("/guilds/{guild}/members"), 403, 50001),
        ("GET", "/guilds/7/channels".to_owned(), 404, 10004),
        ("GET", "/users/@me/guilds?limit=201".to_owned(), 400, 50035),
        ("GET", format!("/channels/{channel}/messages?limit=0"), 400, 50035),
        ("GET", format!("/channels/{channel}/messages/7"), 404, 10008),
        ("POST", "/users/@me/channels".to_owned(), 400, 50035),
        ("PUT", format!("/channels/{channel}/messages/7/reactions/%F0%9F%91%8D/@me"), 404, 10008),
    ];
    for (method, path, status, code) in table {
        let body = (method == "POST").then(|| json!({}));
        let (found, answer) = call(&simulator, method, &format!("/api/v10{path}"), body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn a_channels_messages_are_read_back_newest_first_and_in_pages() {
    let simulator = start(options()).await;
    let guild = simulator.control().world.guilds()[0];
    let write = |number: u32| {
        let content = number.to_string();
        simulator
            .control()
            .post_message(NewMessage { content, guild_id: Some(guild), ..NewMessage::default() })
            .unwrap()
            .message_id
    };
    let ids: Vec<_> = (0..7).map(write).collect();
    let read = async |query: String| {
        let path = format!("/api/v10/channels/{}/messages?{query}", guild.0 + 1);
        let (_, messages) = call(&simulator, "GET", &path, None).await;
        let contents = messages.as_array().unwrap().iter();
        contents.map(|message| message["content"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(read("limit=100".into()).await, "6543210");
    assert_eq!(read("limit=2".into()).await, "65");
    assert_eq!(read(format!("limit=2&before={}", ids[5])).await, "43");
    assert_eq!(read(format!("limit=2&after={}", ids[1])).await, "32");
    assert_eq!(read(format!("limit=3&around={}", ids[3])).await, "432");
    let rest = twilight(&simulator);
    let one = rest.message(Id::new(guild.0 + 1), Id::new(ids[3].0)).await.unwrap().model().await.unwrap();
    assert_eq!(one.content, "3");
}

#[tokio::test]
async fn an_opened_direct_channel_is_the_bots_own_and_can_be_written_to() {
    let second = "MjAw.second.bot";
    let tokens = vec![discord_sim::Token::new(discord_sim::FAKE_TOKEN), discord_sim::Token::new(second)];
    let simulator = start(Options { tokens, ..options() }).await;
    let rest = twilight(&simulator);
    let person = simulator.control().world.members_of(simulator.control().world.guilds()[0])[0].id;
    let channel = rest.create_private_channel(Id::new(person.0)).await.unwrap().model().await.unwrap();
    let again = rest.create_private_channel(Id::new(person.0)).await.unwrap().model().await.unwrap();
    assert_eq!(channel.id, again.id);
    let message = rest.create_message(channel.id).content("hello").await.unwrap().model().await.unwrap();
    assert_eq!(message.guild_id, None);
    let path = format!("http://{}/api/v10/channels/{}", simulator.addr(), channel.id);
    let others = crate::client::http().get(path).header("Authorization", format!("Bot {second}"));
    assert_eq!(others.send().await.unwrap().status(), 404);
    let bot = json!({ "recipient_id": "1000000000000000000" });
    let (status, answer) = call(&simulator, "POST", "/api/v10/users/@me/channels", Some(bot)).await;
    assert_eq!((status, &answer["code"]), (400, &json!(50033)));
}

#[tokio::test]
async fn reactions_come_and_go_with_their_events_and_stand_under_the_message() {
    let simulator = start(Options { time_factor: 100.0, ..options() }).await;
    let rest = twilight(&simulator);
    let mut client = Client::ready_with(&simulator, 0, 1, REACTIONS).await;
    let guild = simulator.control().world.guilds()[0];
    let message = NewMessage { content: "x".into(), guild_id: Some(guild), ..NewMessage::default() };
    let made = simulator.control().post_message(message).unwrap();
    let (channel, id) = (Id::new(made.channel_id.0), Id::new(made.message_id.0));
    let emoji = RequestReactionType::Unicode { name: "👍" };
    rest.create_reaction(channel, id, &emoji).await.unwrap();
    let event = client.dispatch("MESSAGE_REACTION_ADD").await;
    assert_eq!((&event["message_id"], &event["emoji"]["name"]), (&json!(made.message_id), &json!("👍")));
    assert!(event["member"]["user"]["id"].is_string());
    let users = rest.reactions(channel, id, &emoji).await.unwrap().model().await.unwrap();
    assert_eq!(users.len(), 1);
    let read = rest.message(channel, id).await.unwrap().model().await.unwrap();
    assert!(read.reactions[0].me && read.reactions[0].count == 1);
    // A second time is no event; the next one heard is the removal.
    rest.create_reaction(channel, id, &emoji).await.unwrap();
    rest.delete_current_user_reaction(channel, id, &emoji).await.unwrap();
    assert_eq!(client.dispatch("MESSAGE_REACTION_REMOVE").await["user_id"], "1000000000000000000");
    simulator.control().clock.advance(Duration::from_secs(1));
    let path = format!("/api/v10/channels/{channel}/messages/{id}/reactions/name%3A7/@me");
    assert_eq!(call(&simulator, "PUT", &path, None).await.1["code"], 10014);
}

#[tokio::test]
async fn an_application_can_be_described_but_gets_no_endpoint_url() {
    let simulator = start(options()).await;
    let path = "/api/v10/applications/@me";
    let (status, changed) = call(&simulator, "PATCH", path, Some(json!({ "description": "new" }))).await;
    assert_eq!((status, &changed["description"]), (200, &json!("new")));
    assert_eq!(call(&simulator, "GET", path, None).await.1["description"], "new");
    let url = json!({ "interactions_endpoint_url": "https://bot.example/" });
    let (status, answer) = call(&simulator, "PATCH", path, Some(url)).await;
    assert_eq!(status, 400);
    assert!(answer["errors"]["interactions_endpoint_url"]["_errors"][0]["message"].is_string());
}

#[tokio::test]
async fn an_edit_keeps_the_attachments_that_it_names_and_may_not_empty_a_message() {
    let simulator = start(options()).await;
    let rest = twilight(&simulator);
    let channel = Id::new(simulator.control().world.guilds()[0].0 + 1);
    let file = |name: &str, id| {
        twilight_model::http::attachment::Attachment::from_bytes(name.to_owned(), b"abc".to_vec(), id)
    };
    let files = [file("a.txt", 1), file("b.txt", 2)];
    let message = rest.create_message(channel).attachments(&files).await.unwrap().model().await.unwrap();
    assert_eq!(message.attachments.len(), 2);
    assert_ne!(message.attachments[0].id, message.attachments[1].id);
    let edited = rest
        .update_message(channel, message.id)
        .keep_attachment_ids(&[message.attachments[1].id])
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!(edited.attachments.iter().map(|file| file.filename.as_str()).collect::<Vec<_>>(), ["b.txt"]);
    let path = format!("/api/v10/channels/{channel}/messages/{}", message.id);
    let empty: Value = json!({ "attachments": [] });
    assert_eq!(call(&simulator, "PATCH", &path, Some(empty)).await.1["code"], 50006);
}
