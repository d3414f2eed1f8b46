//! Channels that the bot may not view, by the rules that hold since November 2026.
//!
//! From: worlds in which the staff areas are hidden or not, and control, which gives access and takes it. For: whoever keeps
//! channels in a cache, compares two sessions' guilds, or counts what was lost. Source: Discord, `developers/resources/channel.mdx`
//! "Obfuscated Channels". Deliberately absent: how libraries bear it (the level `clients`).

use std::time::Duration;

use discord_sim::{
    ChannelAccess, ChannelKind, ChannelState, Generate, NewInteraction, NewMessage, Options, SettingsChange,
    Simulator, Snowflake,
};
use serde_json::{Value, json};

use crate::client::{Client, INTENTS, call, options, start, twilight};

/// CHANNEL_OBFUSCATED.
const OBFUSCATED: u64 = 1 << 17;
/// The path of a bot's commands.
const COMMANDS: &str = "/api/v10/applications/1000000000000000000/commands";

/// A simulator in which every staff area is hidden.
async fn hidden() -> Simulator {
    start(Options { hidden_share: 100, guilds: 4, ..options() }).await
}

fn guild(simulator: &Simulator) -> Snowflake {
    simulator.control().world.guilds()[0]
}

/// General, category, text, voice.
fn channels(simulator: &Simulator) -> [ChannelState; 4] {
    simulator.control().channels_of(guild(simulator)).unwrap().try_into().unwrap()
}

fn give(simulator: &Simulator, channel: ChannelState, visible: bool) -> Vec<Snowflake> {
    let request = ChannelAccess { channel_id: channel.channel_id, visible };
    simulator.control().change_access(request).unwrap().channel_ids
}

/// The first guild's channels as GUILD_CREATE brings them.
async fn created(client: &mut Client, guild: Snowflake) -> Vec<Value> {
    loop {
        let create = client.dispatch("GUILD_CREATE").await;
        if create["id"] == json!(guild) {
            return create["channels"].as_array().unwrap().clone();
        }
    }
}

fn is_obfuscated(channel: &Value, guild: Snowflake) {
    assert_eq!(
        (&channel["name"], &channel["flags"]),
        (&json!("___hidden___"), &json!(OBFUSCATED)),
        "{channel}"
    );
    let overwrite = json!({ "id": guild, "type": 0, "allow": "0", "deny": "1024" });
    assert_eq!(channel["permission_overwrites"], json!([overwrite]));
    for field in ["topic", "last_message_id", "last_pin_timestamp", "rtc_region", "status"] {
        assert!(channel.get(field).is_none_or(Value::is_null), "{field}: {channel}");
    }
    assert!(!channel.to_string().to_lowercase().contains("staff"), "{channel}");
}

#[tokio::test]
async fn channels_that_the_bot_may_not_view_come_obfuscated_with_their_real_place_and_kind() {
    let simulator = hidden().await;
    let (guild, [general, category, text, voice]) = (guild(&simulator), channels(&simulator));
    assert!(general.visible && !category.visible && !text.visible && !voice.visible);
    let mut client = Client::ready(&simulator, 0, 1).await;
    let found = created(&mut client, guild).await;
    let places: Vec<_> = found
        .iter()
        .map(|channel| (channel["id"].clone(), channel["type"].clone(), channel["parent_id"].clone()))
        .collect();
    let expected = [
        (json!(general.channel_id), json!(0), Value::Null),
        (json!(category.channel_id), json!(4), Value::Null),
        (json!(text.channel_id), json!(0), json!(category.channel_id)),
        (json!(voice.channel_id), json!(2), json!(category.channel_id)),
    ];
    assert_eq!(places, expected);
    assert_eq!((&found[0]["name"], &found[0]["flags"]), (&json!("general"), &json!(0)));
    for channel in &found[1..] {
        is_obfuscated(channel, guild);
    }
}

#[tokio::test]
async fn what_the_bot_may_view_is_whole_where_nothing_is_hidden() {
    let simulator = start(Options { hidden_share: 0, guilds: 4, ..options() }).await;
    let mut client = Client::ready(&simulator, 0, 1).await;
    let found = created(&mut client, guild(&simulator)).await;
    let names: Vec<_> = found.iter().map(|channel| channel["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["general", "Staff", "staff-room", "Staff meeting"]);
    assert!(
        found.iter().all(|channel| channel["flags"] == 0 && channel["permission_overwrites"] == json!([]))
    );
}

#[tokio::test]
async fn without_being_told_some_staff_areas_are_hidden_and_every_general_is_not() {
    let simulator = start(Options { guilds: 400, ..options() }).await;
    let all = simulator.control().world.guilds();
    let states = |guild: &Snowflake| simulator.control().channels_of(*guild).unwrap();
    let hidden = all.iter().filter(|guild| states(guild).iter().any(|channel| !channel.visible)).count();
    assert!((20..100).contains(&hidden), "{hidden} of 400");
    assert!(all.iter().all(|guild| states(guild)[0].visible));
}

#[tokio::test]
async fn a_hidden_voice_channel_has_a_bitrate_or_none_as_the_switch_says() {
    let simulator = hidden().await;
    let guild = guild(&simulator);
    for (shard, has_bitrate) in [(0, true), (1, false)] {
        let change = SettingsChange { hidden_voice_bitrate: Some(has_bitrate), ..SettingsChange::default() };
        simulator.control().settle(&change).unwrap();
        let total = 2;
        let guild =
            *simulator.control().world.guilds().iter().find(|guild| guild.shard(total) == shard).unwrap();
        let mut client = Client::ready(&simulator, shard, total).await;
        let voice = created(&mut client, guild).await.remove(3);
        is_obfuscated(&voice, guild);
        for field in ["bitrate", "user_limit"] {
            assert_eq!(voice.get(field).is_some(), has_bitrate, "{field}: {voice}");
        }
    }
    // The switch is about hidden ones alone.
    give(&simulator, channels(&simulator)[3], true);
    let path = format!("/api/v10/guilds/{guild}/channels");
    let found = call(&simulator, "GET", &path, None).await.1;
    let voice = found.as_array().unwrap().iter().find(|channel| channel["type"] == 2).unwrap().clone();
    assert_eq!(voice["bitrate"], 64_000);
}

#[tokio::test]
async fn get_channels_leaves_out_what_the_bot_may_not_view_and_never_obfuscates() {
    let simulator = hidden().await;
    let rest = twilight(&simulator);
    let id = twilight_model::id::Id::new(guild(&simulator).0);
    let [general, category, text, _] = channels(&simulator);
    let ids = async || {
        let channels = rest.guild_channels(id).await.unwrap().model().await.unwrap();
        assert!(channels.iter().all(|channel| channel.name.as_deref() != Some("___hidden___")));
        channels.iter().map(|channel| Snowflake(channel.id.get())).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [general.channel_id]);
    give(&simulator, text, true);
    assert_eq!(ids().await, [general.channel_id, category.channel_id, text.channel_id]);
    give(&simulator, text, false);
    assert_eq!(ids().await, [general.channel_id]);
}

#[tokio::test]
async fn access_gained_brings_the_whole_channel_and_its_category_and_access_lost_obfuscates_both_again() {
    let simulator = hidden().await;
    let (guild, [_, category, text, voice]) = (guild(&simulator), channels(&simulator));
    let mut client = Client::ready(&simulator, 0, 1).await;
    created(&mut client, guild).await;
    let changed = give(&simulator, text, true);
    assert_eq!(changed, [text.channel_id, category.channel_id]);
    let mut updates = Vec::new();
    while updates.len() < 2 {
        let frame = client.frame().await;
        updates.extend((frame["t"] == "CHANNEL_UPDATE").then(|| frame["d"].clone()));
    }
    assert_eq!((&updates[0]["name"], &updates[1]["name"]), (&json!("staff-room"), &json!("Staff")));
    assert_eq!((&updates[0]["flags"], &updates[1]["flags"]), (&json!(0), &json!(0)));
    assert!(updates[0]["topic"].is_string());
    let allowed = &updates[0]["permission_overwrites"][1];
    assert_eq!((&allowed["id"], &allowed["allow"]), (&json!("1000000000000000000"), &json!("1024")));
    // A second channel changes nothing about the category.
    assert_eq!(give(&simulator, voice, true), [voice.channel_id]);
    assert_eq!(client.dispatch("CHANNEL_UPDATE").await["name"], "Staff meeting");
    assert_eq!(give(&simulator, voice, true), [], "it is given already");
    assert_eq!(give(&simulator, voice, false), [voice.channel_id]);
    is_obfuscated(&client.dispatch("CHANNEL_UPDATE").await, guild);
    assert_eq!(give(&simulator, text, false), [text.channel_id, category.channel_id]);
    for channel in [text, category] {
        let update = client.dispatch("CHANNEL_UPDATE").await;
        assert_eq!(update["id"], json!(channel.channel_id));
        is_obfuscated(&update, guild);
    }
}

#[tokio::test]
async fn updates_of_access_need_the_guilds_intent_and_go_to_the_guilds_shard_of_every_total() {
    let simulator = start(Options { hidden_share: 100, guilds: 4, time_factor: 1000.0, ..options() }).await;
    let guild = guild(&simulator);
    let mut without = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let mut of_two = Client::ready(&simulator, guild.shard(2), 2).await;
    let text = channels(&simulator)[2];
    let request = ChannelAccess { channel_id: text.channel_id, visible: true };
    let changed = simulator.control().change_access(request).unwrap();
    let told: Vec<_> = changed.delivered_to.iter().map(|delivery| delivery.total).collect();
    assert_eq!(told, [2]);
    assert_eq!(of_two.until("CHANNEL_UPDATE").await.pop().unwrap()["d"]["id"], json!(text.channel_id));
    without.beat().await;
}

#[tokio::test]
async fn what_is_written_in_a_hidden_channel_is_not_delivered_and_nobody_calls_it_lost() {
    let simulator = hidden().await;
    let text = channels(&simulator)[2];
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let write = |content: &str| {
        let channel_id = Some(text.channel_id);
        let message = NewMessage { content: content.into(), channel_id, ..NewMessage::default() };
        simulator.control().post_message(message).unwrap()
    };
    assert_eq!(write("!secret").delivered_to, []);
    client.beat().await;
    give(&simulator, text, true);
    let made = write("!open");
    assert_eq!((made.channel_id, made.delivered_to.len()), (text.channel_id, 1));
    let message = client.dispatch("MESSAGE_CREATE").await;
    assert_eq!((&message["content"], &message["channel_id"]), (&json!("!open"), &json!(text.channel_id)));
    let events = simulator.ledger().events;
    assert_eq!((events.made, events.hidden, events.asking, events.to_nobody), (2, 1, 1, 0));
    assert_eq!((events.lost, events.dropped_with_session), (0, 0));
}

#[tokio::test]
async fn rest_has_no_access_to_a_hidden_channel_until_it_is_given() {
    let simulator = hidden().await;
    let [general, _, text, _] = channels(&simulator);
    let message =
        NewMessage { content: "x".into(), channel_id: Some(text.channel_id), ..NewMessage::default() };
    let message = simulator.control().post_message(message).unwrap().message_id;
    let base = format!("/api/v10/channels/{}", text.channel_id);
    let calls = [
        ("GET", base.clone(), None),
        ("GET", format!("{base}/messages"), None),
        ("GET", format!("{base}/messages/{message}"), None),
        ("POST", format!("{base}/messages"), Some(json!({ "content": "x" }))),
        ("PATCH", format!("{base}/messages/{message}"), Some(json!({ "content": "x" }))),
        ("DELETE", format!("{base}/messages/{message}"), None),
        ("PUT", format!("{base}/messages/{message}/reactions/%F0%9F%91%8D/@me"), None),
        ("POST", format!("{base}/typing"), None),
    ];
    for (method, path, body) in calls {
        let (status, answer) = call(&simulator, method, &path, body).await;
        assert_eq!((status, &answer["code"]), (403, &json!(50001)), "{method} {path}");
        assert_eq!(answer["message"], "Missing Access");
    }
    assert_eq!(simulator.ledger().invalid_requests, 8, "each counts against the address");
    give(&simulator, text, true);
    assert_eq!(call(&simulator, "GET", &base, None).await.1["name"], "staff-room");
    let body = Some(json!({ "content": "x" }));
    assert_eq!(call(&simulator, "POST", &format!("{base}/messages"), body.clone()).await.0, 200);
    let path = format!("/api/v10/channels/{}/messages", general.channel_id);
    assert_eq!(call(&simulator, "POST", &path, body).await.0, 200);
}

#[tokio::test]
async fn a_command_used_in_a_hidden_channel_comes_whole_and_is_answered() {
    let simulator = hidden().await;
    let [_, _, text, voice] = channels(&simulator);
    let option = json!({ "type": 7, "name": "where", "description": "d" });
    let command = json!({ "name": "ping", "description": "d", "options": [option] });
    assert_eq!(call(&simulator, "POST", COMMANDS, Some(command)).await.0, 201);
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1).await;
    let options = json!({ "where": voice.channel_id }).as_object().unwrap().clone();
    let channel_id = Some(text.channel_id);
    let used = NewInteraction { command: "ping".into(), channel_id, options, ..NewInteraction::default() };
    simulator.control().post_interaction(used).unwrap();
    let interaction = client.dispatch("INTERACTION_CREATE").await;
    let named = &interaction["data"]["resolved"]["channels"][voice.channel_id.to_string()];
    assert_eq!(
        (&interaction["channel"]["name"], &named["name"]),
        (&json!("staff-room"), &json!("Staff meeting"))
    );
    assert_eq!((&interaction["channel"]["flags"], &named["type"]), (&json!(0), &json!(2)));
    let (id, token) = (interaction["id"].as_str().unwrap(), interaction["token"].as_str().unwrap());
    let callback = format!("/api/v10/interactions/{id}/{token}/callback");
    let body = Some(json!({ "type": 4, "data": { "content": "pong" } }));
    assert_eq!(call(&simulator, "POST", &callback, body).await.0, 204);
    let edit = format!("/api/v10/webhooks/1000000000000000000/{token}/messages/@original");
    let body = Some(json!({ "content": "pong pong" }));
    assert_eq!(call(&simulator, "PATCH", &edit, body).await.0, 200);
    // What it wrote there, it does not hear of.
    client.beat().await;
    let events = simulator.ledger().events;
    assert_eq!((events.asking, events.answered, events.hidden), (1, 1, 0));
}

#[tokio::test]
async fn the_generator_talks_where_the_bot_may_look() {
    let simulator = start(Options { hidden_share: 100, guilds: 1, ..options() }).await;
    let [general, _, text, _] = channels(&simulator);
    let mut client = Client::ready_with(&simulator, 0, 1, INTENTS & !1 | 1 << 10).await;
    let burst = || Generate { count: Some(20), reactions: 1, ..Generate::default() };
    for (seen, unseen) in [(general, None), (text, Some(general))] {
        give(&simulator, seen, true);
        unseen.map(|unseen| give(&simulator, unseen, false));
        simulator.control().generate(&burst()).unwrap();
        for _ in 0..20 {
            let frame = client.frame().await;
            assert!(frame["t"].as_str().unwrap().starts_with("MESSAGE_"), "{frame}");
            assert_eq!(frame["d"]["channel_id"], json!(seen.channel_id), "{frame}");
        }
    }
    give(&simulator, text, false);
    simulator.control().generate(&burst()).unwrap();
    let mut changes = simulator.control().changes();
    while simulator.control().generated().running {
        let _ = tokio::time::timeout(Duration::from_millis(10), changes.changed()).await;
    }
    let events = simulator.ledger().events;
    assert_eq!((events.made, events.hidden, events.to_nobody), (40, 0, 0), "there is no place to talk");
}

#[tokio::test]
async fn a_channel_that_does_not_exist_is_said_to_control() {
    let simulator = hidden().await;
    let (guild, [_, category, _, voice]) = (guild(&simulator), channels(&simulator));
    let wrong = ChannelAccess { channel_id: guild, visible: true };
    let error = simulator.control().change_access(wrong).unwrap_err().to_string();
    assert!(error.contains("channelId") && error.contains("GET /control/channels"), "{error}");
    let message =
        NewMessage { content: "x".into(), channel_id: Some(category.channel_id), ..NewMessage::default() };
    let error = simulator.control().post_message(message).unwrap_err().to_string();
    assert!(error.contains("is a category"), "{error}");
    let (status, answer) = call(&simulator, "GET", &format!("/control/channels?guild={guild}"), None).await;
    assert_eq!((status, &answer[3]["kind"], &answer[3]["visible"]), (200, &json!("voice"), &json!(false)));
    assert_eq!(channels(&simulator)[1].kind, ChannelKind::Category);
    let body = Some(json!({ "channelId": voice.channel_id, "visible": true }));
    let (status, answer) = call(&simulator, "POST", "/control/channels/access", body).await;
    assert_eq!((status, answer["channelIds"].as_array().unwrap().len()), (200, 2));
}
