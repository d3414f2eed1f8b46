//! Interactions as Discord's JSON: INTERACTION_CREATE's `d`, and the answer of a callback `with_response`.
//!
//! From: an interaction and the command's data. For: sessions and REST. Source: Discord,
//! `developers/interactions/receiving-and-responding.mdx` "Interaction Object", "Interaction Callback Response Object".
//! Deliberately absent: user installs; every bot is installed in its guilds.

use serde_json::{Value, json};

use super::{Answer, Interaction};
use crate::snowflake::Snowflake;
use crate::world::objects;

/// Bytes that a user may upload.
const UPLOAD_LIMIT: u64 = 10 * 1024 * 1024;
/// All permissions of a member and of the bot, as the string that Discord uses.
const PERMISSIONS: &str = "2248473465835073";

/// As INTERACTION_CREATE brings it; `data` is the command and its options.
pub fn event(of: &Interaction, data: &Value) -> Value {
    let mut value = json!({
        "id": of.id, "application_id": of.application, "type": 2, "data": data, "token": of.token, "version": 1,
        "channel_id": of.place.channel, "app_permissions": PERMISSIONS, "locale": "en-US", "entitlements": [],
        "authorizing_integration_owners": owners(of), "attachment_size_limit": UPLOAD_LIMIT,
    });
    if let Some(guild) = of.place.guild {
        let mut member = objects::member(guild, &of.user);
        member["permissions"] = json!(PERMISSIONS);
        value["guild_id"] = json!(guild);
        value["guild"] = json!({ "id": guild, "locale": "en-US", "features": [] });
        value["guild_locale"] = json!("en-US");
        value["channel"] = channel(guild, of.place.channel);
        value["member"] = member;
        value["context"] = json!(0);
    } else {
        value["channel"] = objects::direct_channel(of.place.channel, &of.user);
        value["user"] = objects::user(&of.user);
        value["context"] = json!(1);
    }
    value
}

/// As a callback `with_response` is answered; `message` where it made one.
pub fn callback(of: &Interaction, kind: i64, is_ephemeral: bool, message: Option<Value>) -> Value {
    let mut value = json!({ "interaction": { "id": of.id, "type": 2 }, "resource": { "type": kind } });
    if let Some(id) = of.answer.original() {
        value["interaction"]["response_message_id"] = json!(id);
        value["interaction"]["response_message_loading"] = json!(matches!(of.answer, Answer::Deferred(_)));
        value["interaction"]["response_message_ephemeral"] = json!(is_ephemeral);
    }
    if let Some(message) = message {
        value["resource"]["message"] = message;
    }
    value
}

/// A member as `resolved` has it.
pub fn resolved_member(guild: Snowflake) -> Value {
    let mut member = json!(objects::MemberObject::partial(guild));
    member["permissions"] = json!(PERMISSIONS);
    for absent in ["deaf", "mute"] {
        member.as_object_mut().map(|member| member.remove(absent));
    }
    member
}

/// A channel as the interaction itself has it.
fn channel(guild: Snowflake, channel: Snowflake) -> Value {
    let mut object = objects::text_channel(guild, channel);
    object["permissions"] = json!(PERMISSIONS);
    object
}

/// A channel as `resolved` has it: with what the user may do in it, and with what the bot may.
pub fn resolved_channel(guild: Snowflake, id: Snowflake) -> Value {
    let mut object = channel(guild, id);
    object["app_permissions"] = json!(PERMISSIONS);
    object
}

fn owners(of: &Interaction) -> Value {
    json!({ "0": of.place.guild.map_or_else(|| "0".to_owned(), |guild| guild.to_string()) })
}
