//! Interactions as Discord's JSON: INTERACTION_CREATE's `d`, and the answer of a callback `with_response`.
//!
//! From: an interaction and the command's data. For: sessions and REST. Source: Discord,
//! `developers/interactions/receiving-and-responding.mdx` "Interaction Object", "Interaction Callback Response Object".
//! Deliberately absent: user installs; every bot is installed in its guilds.

use serde_json::{Value, json};

use super::{Answer, Interaction};
use crate::snowflake::Snowflake;
use crate::world::{World, channel_objects, objects};

/// Bytes that a user may upload.
const UPLOAD_LIMIT: u64 = 10 * 1024 * 1024;

/// As INTERACTION_CREATE brings it; `data` is the command and its options.
pub fn event(world: &World, of: &Interaction, data: &Value) -> Value {
    let mut value = json!({
        "id": of.id, "application_id": of.application, "type": 2, "data": data, "token": of.token, "version": 1,
        "channel_id": of.place.channel, "app_permissions": world.permissions_in(of.place.channel), "locale": "en-US", "entitlements": [],
        "authorizing_integration_owners": owners(of), "attachment_size_limit": UPLOAD_LIMIT,
    });
    if let Some(guild) = of.place.guild {
        let mut member = objects::member(guild, &of.user);
        member["permissions"] = json!(world.permissions());
        value["guild_id"] = json!(guild);
        value["guild"] = json!({ "id": guild, "locale": "en-US", "features": [] });
        value["guild_locale"] = json!("en-US");
        value["channel"] = channel(world, of.place.channel, of.application);
        value["member"] = member;
        value["context"] = json!(0);
    } else {
        value["channel"] = channel_objects::direct(of.place.channel, &of.user);
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
pub fn resolved_member(world: &World, guild: Snowflake) -> Value {
    let mut member = json!(objects::MemberObject::partial(guild));
    member["permissions"] = json!(world.permissions());
    for absent in ["deaf", "mute"] {
        member.as_object_mut().map(|member| member.remove(absent));
    }
    member
}

/// A channel as the interaction itself has it: whole, whether or not the bot may view it.
fn channel(world: &World, id: Snowflake, bot: Snowflake) -> Value {
    let Some((guild, kind)) = world.channel(id) else { return Value::Null };
    let mut object = channel_objects::whole(guild, kind, world.access.view(guild, kind), bot);
    object["permissions"] = json!(world.permissions());
    object
}

/// A channel as `resolved` has it: with what the user may do in it, and with what the bot may.
pub fn resolved_channel(world: &World, id: Snowflake, bot: Snowflake) -> Value {
    let mut object = channel(world, id, bot);
    object["app_permissions"] = json!(world.permissions_in(id));
    object
}

fn owners(of: &Interaction) -> Value {
    json!({ "0": of.place.guild.map_or_else(|| "0".to_owned(), |guild| guild.to_string()) })
}
