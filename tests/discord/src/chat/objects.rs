//! Messages as Discord's JSON: for REST and for events, whole or without what MESSAGE_CONTENT hides.
//!
//! From: `Message`. For: REST answers and MESSAGE_CREATE, MESSAGE_UPDATE. Written member by member, since messages are what
//! a generator makes by the hundred thousand. Source: Discord, `developers/resources/message.mdx` and
//! `developers/events/gateway.mdx` "Message Content Intent". Deliberately absent: who may see the content (`discord/content.rs`).

use serde_json::{Value, json};

use super::Message;
use crate::members::Members;
use crate::world::objects::{MemberObject, UserObject, time};

/// What hides its content: a message itself, and the message that it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hides {
    /// The message.
    pub own: bool,
    /// The one that it answers.
    pub asked: bool,
}

/// As `POST channels/{id}/messages` answers; `asked` is the message it answers, where it is still known.
pub fn message(of: &Message, asked: Option<&Message>, hides: Hides) -> Value {
    members(of, asked, hides).to_value()
}

/// As an event brings it: with the guild and, in one, the author's membership.
pub fn message_event(of: &Message, asked: Option<&Message>, hides: Hides) -> Members {
    let mut members = members(of, asked, hides);
    if let Some(guild) = of.place.guild {
        members.add("guild_id", &guild);
        members.add("member", &MemberObject::partial(guild).acting());
    }
    members
}

fn members(of: &Message, asked: Option<&Message>, hides: Hides) -> Members {
    let mut members = plain(of, if of.reference.is_some() { 19 } else { of.kind() }, hides.own);
    if let Some(id) = of.reference {
        let mut reference = json!({ "type": 0, "message_id": id, "channel_id": of.place.channel });
        if let Some(guild) = of.place.guild {
            reference["guild_id"] = json!(guild);
        }
        members.add("message_reference", &reference);
        members.add(
            "referenced_message",
            &asked.map(|asked| plain(asked, asked.kind(), hides.asked).to_value()),
        );
    }
    members
}

fn plain(of: &Message, kind: u8, is_hidden: bool) -> Members {
    let shown = |list| if is_hidden { &[] } else { Vec::as_slice(list) };
    let mentions: Vec<_> = of.mentions.iter().map(UserObject::from).collect();
    let mut members = Members::new()
        .with("id", &of.id)
        .with("channel_id", &of.place.channel)
        .with("type", &kind)
        .with("content", if is_hidden { "" } else { of.content.as_str() })
        .with("author", &UserObject::from(&of.author))
        .with("timestamp", &time(of.id.time_ms()))
        .with("edited_timestamp", &of.edited.map(|(_, unix_ms)| time(unix_ms)))
        .with("tts", &false)
        .with("mention_everyone", &false)
        .with("mentions", &mentions)
        .with("mention_roles", &[(); 0])
        .with("attachments", shown(&of.attachments))
        .with("embeds", shown(&of.embeds))
        .with("components", shown(&of.components))
        .with("pinned", &false)
        .with("flags", &of.flags);
    if let Some(nonce) = &of.nonce {
        members.add("nonce", nonce);
    }
    if let Some(source) = &of.interaction {
        let user = UserObject::from(&source.user);
        members.add("application_id", &of.author.id);
        members.add("webhook_id", &of.author.id);
        let owners = json!({ "0": of.place.guild.map_or_else(|| "0".to_owned(), |guild| guild.to_string()) });
        let mut metadata = json!({
            "id": source.id, "type": 2, "user": user, "authorizing_integration_owners": owners, "name": source.name,
        });
        if let Some(original) = source.original {
            metadata["original_response_message_id"] = json!(original);
        } else {
            members.add(
                "interaction",
                &json!({ "id": source.id, "type": 2, "name": source.name, "user": user }),
            );
        }
        members.add("interaction_metadata", &metadata);
    }
    members
}
