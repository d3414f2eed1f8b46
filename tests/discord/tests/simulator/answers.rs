//! Answers to interactions: messages, deferred ones, follow-ups, ephemeral ones, and how long each may come.

use std::time::Duration;

use discord_sim::{NewInteraction, Options};
use serde_json::{Value, json};
use twilight_model::application::interaction::{Interaction, InteractionData};
use twilight_model::channel::message::MessageFlags;
use twilight_model::http::interaction::{
    InteractionResponse, InteractionResponseData, InteractionResponseType,
};
use twilight_model::id::Id;

use crate::client::{Client, INTENTS, PATIENCE, call, http, options, start, twilight};
use crate::interactions::{callback, open_call, ping, says, used, webhook, with_commands};

#[tokio::test]
async fn twilight_reads_an_interaction_and_answers_it_in_every_documented_way() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let rest = twilight(&simulator);
    let rest = rest.interaction(Id::new(1_000_000_000_000_000_000));
    let somebody = simulator.control().world.members_of(simulator.control().world.guilds()[0])[0].id;
    let options = json!({ "n": 7, "for": somebody });
    let request = NewInteraction {
        command: "fib".into(),
        options: options.as_object().unwrap().clone(),
        guild_id: Some(simulator.control().world.guilds()[0]),
        ..NewInteraction::default()
    };
    let event: Interaction = serde_json::from_value(used(&simulator, &mut client, request).await).unwrap();
    let Some(InteractionData::ApplicationCommand(data)) = &event.data else { panic!("{event:?}") };
    assert_eq!((data.name.as_str(), data.options.len()), ("fib", 2));
    assert!(data.resolved.as_ref().unwrap().users.contains_key(&Id::new(somebody.0)));
    assert!(event.member.is_some() && event.app_permissions.is_some() && event.is_guild());

    let data = InteractionResponseData { content: Some("13".into()), ..InteractionResponseData::default() };
    let response =
        InteractionResponse { kind: InteractionResponseType::ChannelMessageWithSource, data: Some(data) };
    let made = rest.create_response(event.id, &event.token, &response).with_response().await.unwrap();
    let made = made.model().await.unwrap();
    let message = made.resource.unwrap().message.unwrap();
    assert_eq!((message.content.as_str(), Some(message.id)), ("13", made.interaction.response_message_id));
    assert_eq!(message.interaction_metadata.unwrap().id.cast(), event.id);

    let original = rest.response(&event.token).await.unwrap().model().await.unwrap();
    assert_eq!(original.id, message.id);
    let edited =
        rest.update_response(&event.token).content(Some("thirteen")).await.unwrap().model().await.unwrap();
    assert_eq!(edited.content, "thirteen");
    let more = rest.create_followup(&event.token).content("more").await.unwrap().model().await.unwrap();
    let source = more.interaction_metadata.unwrap();
    assert_eq!(source.original_response_message_id, Some(message.id));
    rest.update_followup(&event.token, more.id).content(Some("less")).await.unwrap();
    assert_eq!(rest.followup(&event.token, more.id).await.unwrap().model().await.unwrap().content, "less");
    simulator.control().clock.advance(Duration::from_secs(2));
    rest.delete_followup(&event.token, more.id).await.unwrap();
    rest.delete_response(&event.token).await.unwrap();
    assert_eq!(simulator.ledger().unknown_routes, 0);
}

#[tokio::test]
async fn a_deferred_answer_is_shown_as_loading_and_is_completed_by_an_edit() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let event = used(&simulator, &mut client, ping()).await;
    let (status, made) = open_call(
        &simulator,
        "POST",
        &format!("{}?with_response=1", callback(&event)),
        Some(json!({ "type": 5 })),
    )
    .await;
    assert_eq!((status, &made["interaction"]["response_message_loading"]), (200, &json!(true)));
    let loading = client.dispatch("MESSAGE_CREATE").await;
    assert_eq!(
        (&loading["flags"], &loading["type"], &loading["content"]),
        (&json!(128), &json!(20), &json!(""))
    );

    let interaction = event["id"].as_str().unwrap();
    let replies = format!("/control/interactions/{interaction}/replies");
    assert_eq!(call(&simulator, "GET", &replies, None).await.1, json!([]));
    let waiting = format!("{replies}?waitMs=60000");
    let completing = async {
        let body = Some(json!({ "content": "pong" }));
        let path = format!("{}/messages/@original", webhook(&event));
        open_call(&simulator, "PATCH", &path, body).await
    };
    let ((_, replies), (status, complete)) =
        tokio::join!(call(&simulator, "GET", &waiting, None), completing);
    assert_eq!((status, &complete["flags"], &complete["edited_timestamp"]), (200, &json!(0), &Value::Null));
    assert_eq!((&replies[0]["content"], &replies[0]["history"]), (&json!("pong"), &json!(["pong"])));
    let update = client.dispatch("MESSAGE_UPDATE").await;
    assert_eq!((&update["content"], &update["id"]), (&json!("pong"), &loading["id"]));
}

#[tokio::test]
async fn a_follow_up_right_after_a_deferred_answer_completes_that_one() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    open_call(&simulator, "POST", &callback(&event), Some(json!({ "type": 5, "data": { "flags": 64 } })))
        .await;
    let follow = async |content: &str| {
        open_call(&simulator, "POST", &webhook(&event), Some(json!({ "content": content }))).await.1
    };
    let first = follow("one").await;
    assert_eq!(first["flags"], 64);
    let second = follow("two").await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(second["interaction_metadata"]["original_response_message_id"], first["id"]);
    assert_eq!(simulator.ledger().interactions.followups, 1);
}

#[tokio::test]
async fn an_ephemeral_answer_is_no_event_and_no_part_of_the_channel() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let event = used(&simulator, &mut client, ping()).await;
    let secret = json!({ "type": 4, "data": { "content": "psst", "flags": MessageFlags::EPHEMERAL.bits() } });
    let path = format!("{}?with_response=true", callback(&event));
    let (_, made) = open_call(&simulator, "POST", &path, Some(secret)).await;
    assert_eq!(made["interaction"]["response_message_ephemeral"], true);
    let channel = format!("/api/v10/channels/{}/messages", event["channel_id"].as_str().unwrap());
    assert_eq!(call(&simulator, "GET", &channel, None).await.1, json!([]));
    let one = format!("{channel}/{}", made["interaction"]["response_message_id"].as_str().unwrap());
    assert_eq!(call(&simulator, "PATCH", &one, Some(json!({ "content": "x" }))).await.1["code"], 10008);
    // The next event that is heard is that of an open follow-up.
    open_call(&simulator, "POST", &webhook(&event), Some(json!({ "content": "open" }))).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "open");
}

#[tokio::test]
async fn the_webhook_opens_with_the_first_answer_and_closes_after_fifteen_minutes() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    let follow = async || {
        let (status, answer) =
            open_call(&simulator, "POST", &webhook(&event), Some(json!({ "content": "x" }))).await;
        (status, answer["code"].as_u64())
    };
    assert_eq!(follow().await, (404, Some(10015)));
    open_call(&simulator, "POST", &callback(&event), Some(says("one"))).await;
    simulator.control().clock.advance(Duration::from_secs(890));
    assert_eq!(follow().await.0, 200);
    simulator.control().clock.advance(Duration::from_secs(10));
    assert_eq!(follow().await, (401, Some(50027)));
}

#[tokio::test]
async fn a_callback_may_carry_files() {
    let simulator = with_commands(options()).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    let event = used(&simulator, &mut client, ping()).await;
    let body = "--X\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{\"type\":4}\r\n--X\r\n\
                Content-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\n\r\nabc\r\n--X--\r\n";
    let answer = http()
        .post(format!("http://{}/api/v10{}?with_response=true", simulator.addr(), callback(&event)))
        .header("Content-Type", "multipart/form-data; boundary=X")
        .body(body)
        .send()
        .await
        .unwrap();
    let made: Value = answer.json().await.unwrap();
    assert_eq!(made["resource"]["message"]["attachments"][0]["filename"], "a.txt");
}

#[tokio::test]
async fn interactions_do_not_count_towards_the_bots_global_limit() {
    let simulator = with_commands(Options { time_factor: 0.1, ..options() }).await;
    let mut client = Client::ready_with(&simulator, 0, 1, 0).await;
    for _ in 0..60 {
        let event = used(&simulator, &mut client, ping()).await;
        assert_eq!(open_call(&simulator, "POST", &callback(&event), Some(says("x"))).await.0, 204);
    }
    assert_eq!(call(&simulator, "GET", "/api/v10/users/@me", None).await.0, 200);
}

#[tokio::test]
async fn the_generator_makes_interactions_once_a_command_is_registered_that_needs_no_options() {
    let simulator = start(options()).await;
    let run = json!({ "count": 50, "messages": 0, "interactions": 1 });
    let (status, answer) = call(&simulator, "POST", "/control/generator", Some(run.clone())).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("let a bot register one"), "{answer}");
    let simulator = with_commands(options()).await;
    assert_eq!(call(&simulator, "POST", "/control/generator", Some(run)).await.0, 200);
    let made = simulator.wait_for(PATIENCE, |ledger| ledger.interactions.made == 50).await.unwrap();
    assert_eq!((made.events.asking, made.messages.made), (50, 0));
}
