//! Channels as Discord's JSON: whole, and obfuscated as the gateway has those that the bot may not view.
//!
//! From: a guild and which of its channels it is. For: GUILD_CREATE, CHANNEL_UPDATE, REST, interactions. Of an obfuscated channel
//! `id`, `type`, `position` and `parent_id` are real, the rest is null or reduced. Source: Discord,
//! `developers/resources/channel.mdx` "Obfuscated Channels", which does not say what becomes of each field; those here are as
//! libraries' own tests have them. Deliberately absent: messages' places in channels, which are not kept (`last_message_id`).

use serde_json::{Value, json};

use super::User;
use super::channels::{Access, KINDS, Kind, View};
use super::objects::user;
use crate::snowflake::Snowflake;

/// What an obfuscated channel is called.
const HIDDEN: &str = "___hidden___";
/// CHANNEL_OBFUSCATED.
const OBFUSCATED: u64 = 1 << 17;
/// VIEW_CHANNEL, as the string that Discord uses.
const VIEW_CHANNEL: &str = "1024";
/// Bits a second of a voice channel.
const BITRATE: u32 = 64_000;

/// Who is told of a channel, and how.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The bot, to whom an overwrite allows what everybody is denied.
    pub bot: Snowflake,
    /// Whether an obfuscated voice channel has a bitrate.
    pub hidden_bitrate: bool,
}

/// A guild's channels as the gateway has them, with those that the bot may not view.
pub fn all(access: &Access, guild: Snowflake, told: Told) -> Vec<Value> {
    KINDS.into_iter().map(|kind| gateway(access, guild, kind, told)).collect()
}

/// A channel as the gateway has it.
pub fn gateway(access: &Access, guild: Snowflake, kind: Kind, told: Told) -> Value {
    match access.view(guild, kind) {
        View::Hidden => obfuscated(guild, kind, told.hidden_bitrate),
        view => whole(guild, kind, view, told.bot),
    }
}

/// A channel as REST has it; none if the bot may not view it.
pub fn rest(access: &Access, guild: Snowflake, kind: Kind, bot: Snowflake) -> Option<Value> {
    let view = access.view(guild, kind);
    (view != View::Hidden).then(|| whole(guild, kind, view, bot))
}

/// A channel with all that it has.
pub fn whole(guild: Snowflake, kind: Kind, view: View, bot: Snowflake) -> Value {
    let everybody = || overwrite(guild, 0, false);
    let overwrites = match view {
        View::Open => json!([]),
        View::Allowed => json!([everybody(), overwrite(bot, 1, true)]),
        View::ByChild | View::Hidden => json!([everybody()]),
    };
    let (name, topic) = match kind {
        Kind::General => ("general", None),
        Kind::Category => ("Staff", None),
        Kind::StaffText => ("staff-room", Some("What only the staff is to know")),
        Kind::StaffVoice => ("Staff meeting", None),
    };
    let mut channel = json!({ "name": name, "permission_overwrites": overwrites, "flags": 0 });
    if kind.is_text() {
        channel["topic"] = json!(topic);
        channel["last_pin_timestamp"] = Value::Null;
    }
    completed(channel, guild, kind, true)
}

/// A channel that the bot may not view.
fn obfuscated(guild: Snowflake, kind: Kind, has_bitrate: bool) -> Value {
    let overwrites = [overwrite(guild, 0, false)];
    let mut channel = json!({
        "name": HIDDEN, "permission_overwrites": overwrites, "flags": OBFUSCATED, "topic": null, "status": null,
        "available_tags": [],
    });
    if kind.is_text() {
        channel["last_pin_timestamp"] = Value::Null;
    }
    completed(channel, guild, kind, has_bitrate)
}

/// With what is the same in both.
fn completed(mut channel: Value, guild: Snowflake, kind: Kind, has_bitrate: bool) -> Value {
    channel["id"] = json!(kind.of(guild));
    channel["guild_id"] = json!(guild);
    channel["type"] = json!(match kind {
        Kind::General | Kind::StaffText => 0,
        Kind::StaffVoice => 2,
        Kind::Category => 4,
    });
    channel["position"] = json!(i32::from(matches!(kind, Kind::Category | Kind::StaffText)));
    channel["parent_id"] = json!(kind.parent().map(|parent| parent.of(guild)));
    channel["nsfw"] = json!(false);
    if kind != Kind::Category {
        channel["last_message_id"] = Value::Null;
        channel["rate_limit_per_user"] = json!(0);
    }
    if kind == Kind::StaffVoice {
        channel["rtc_region"] = Value::Null;
        if has_bitrate {
            channel["bitrate"] = json!(BITRATE);
            channel["user_limit"] = json!(0);
        }
    }
    channel
}

/// An overwrite of VIEW_CHANNEL for a role (0) or a member (1).
fn overwrite(id: Snowflake, kind: u8, is_allowed: bool) -> Value {
    let (allow, deny) = if is_allowed { (VIEW_CHANNEL, "0") } else { ("0", VIEW_CHANNEL) };
    json!({ "id": id, "type": kind, "allow": allow, "deny": deny })
}

/// A channel between one person and the bot.
pub fn direct(channel: Snowflake, with: &User) -> Value {
    json!({ "id": channel, "type": 1, "last_message_id": null, "flags": 0, "recipients": [user(with)] })
}
