//! Messages as Discord's JSON: for REST and for events, whole or without what MESSAGE_CONTENT hides.
//!
//! From: `Message`. For: REST answers and MESSAGE_CREATE, MESSAGE_UPDATE. Source: Discord,
//! `developers/resources/message.mdx` and `developers/events/gateway.mdx` "Message Content Intent".
//! Deliberately absent: the rule who may see the content (`discord/delivery.rs`).

use serde_json::{Value, json};

use super::Message;
use crate::world::objects;

/// As `POST channels/{id}/messages` answers; `asked` is the message it answers, where it is still known.
pub fn message(message: &Message, asked: Option<&Message>) -> Value {
    let mut value = plain(message);
    if let Some(id) = message.reference {
        value["type"] = json!(19);
        value["message_reference"] = json!({ "type": 0, "message_id": id, "channel_id": message.place.channel, "guild_id": message.place.guild });
        if message.place.guild.is_none() {
            value["message_reference"].as_object_mut().map(|reference| reference.remove("guild_id"));
        }
        value["referenced_message"] = asked.map_or(Value::Null, plain);
    }
    value
}

/// As an event brings it: with the guild and, in one, the author's membership.
pub fn message_event(of: &Message, asked: Option<&Message>) -> Value {
    let mut value = message(of, asked);
    if let Some(guild) = of.place.guild {
        value["guild_id"] = json!(guild);
        value["member"] = objects::partial_member(guild);
    }
    value
}

/// The same message for a session without MESSAGE_CONTENT that it does not concern.
pub fn without_content(mut message: Value) -> Value {
    message["content"] = json!("");
    for hidden in ["attachments", "embeds", "components"] {
        message[hidden] = json!([]);
    }
    if message.get("referenced_message").is_some_and(Value::is_object) {
        message["referenced_message"] = without_content(message["referenced_message"].take());
    }
    message
}

fn plain(message: &Message) -> Value {
    let mut value = json!({
        "id": message.id, "channel_id": message.place.channel, "type": 0, "content": message.content,
        "author": objects::user(&message.author), "timestamp": objects::time(message.id.time_ms()),
        "edited_timestamp": message.edited.map(|(_, unix_ms)| objects::time(unix_ms)), "tts": false,
        "mention_everyone": false, "mentions": message.mentions.iter().map(objects::user).collect::<Vec<_>>(),
        "mention_roles": [], "attachments": message.attachments, "embeds": message.embeds, "components": [],
        "pinned": false, "flags": 0,
    });
    if let Some(nonce) = &message.nonce {
        value["nonce"] = nonce.clone();
    }
    value
}
