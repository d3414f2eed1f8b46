//! The world's things as Discord's JSON: users, members, channels, guilds.
//!
//! From: the world's ids. For: READY, GUILD_CREATE and REST. Complete enough for strict readers (twilight-model,
//! discord.py); fields that Discord may leave out are left out. Deliberately absent: messages (`chat/objects.rs`).
//! Source: Discord, `developers/resources/{user,guild,channel}.mdx`.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;
use serde::Serialize;
use serde_json::{Value, json};

use super::channel_objects::{self, Told};
use super::{User, World, channel_of};
use crate::intents;
use crate::snowflake::Snowflake;

/// Fields of a guild that are null in every guild of this world.
const GUILD_HAS_NO: [&str; 17] = [
    "icon",
    "icon_hash",
    "splash",
    "discovery_splash",
    "banner",
    "description",
    "afk_channel_id",
    "widget_channel_id",
    "application_id",
    "rules_channel_id",
    "public_updates_channel_id",
    "safety_alerts_channel_id",
    "max_presences",
    "vanity_url_code",
    "hub_type",
    "incidents_data",
    "home_header",
];

/// Six digits of a second.
const TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// RFC 3339 with six digits and an offset, as Discord writes times.
pub fn time(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    TIME.timestamp_with_offset_to_string(&time, Offset::UTC)
}

/// A user as others see it.
#[derive(Debug, Serialize)]
pub struct UserObject<'a> {
    id: Snowflake,
    username: &'a str,
    global_name: &'a str,
    discriminator: &'static str,
    avatar: (),
    avatar_decoration_data: (),
    banner: (),
    accent_color: (),
    bot: bool,
    system: bool,
    public_flags: u64,
}

impl<'a> From<&'a User> for UserObject<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            username: &user.name,
            global_name: &user.name,
            discriminator: if user.bot { "0001" } else { "0" },
            avatar: (),
            avatar_decoration_data: (),
            banner: (),
            accent_color: (),
            bot: user.bot,
            system: false,
            public_flags: 0,
        }
    }
}

/// A user as others see it, as a value.
pub fn user(user: &User) -> Value {
    json!(UserObject::from(user))
}

/// The bot's user as it sees itself.
pub fn current_user(bot: &User) -> Value {
    json!({
        "id": bot.id, "username": bot.name, "global_name": bot.name, "discriminator": "0001", "avatar": null,
        "avatar_decoration_data": null, "banner": null, "accent_color": null, "bot": true, "mfa_enabled": true,
        "locale": "en-US", "verified": true, "email": null, "flags": 0, "public_flags": 0, "premium_type": 0,
    })
}

/// Flags of an application that may use these privileged intents (more than 100 guilds: the full ones).
pub fn application_flags(privileged: u32) -> u64 {
    let flag = |intent, bit| if privileged & intent == 0 { 0 } else { 1_u64 << bit };
    flag(intents::GUILD_PRESENCES, 12) | flag(intents::GUILD_MEMBERS, 14) | flag(intents::MESSAGE_CONTENT, 18)
}

/// The bot's application.
pub fn application(bot: &User, owner: &User, guilds: usize, privileged: u32) -> Value {
    json!({
        "id": bot.id, "name": bot.name, "icon": null, "description": "A bot in a simulated Discord.", "summary": "",
        "type": null, "bot": user(bot), "bot_public": true, "bot_require_code_grant": false,
        "verify_key": "0".repeat(64), "flags": application_flags(privileged),
        "flags_new": application_flags(privileged).to_string(), "owner": user(owner), "team": null,
        "rpc_origins": [], "tags": [], "hook": true, "is_monetized": false, "redirect_uris": [],
        "interactions_endpoint_url": null, "role_connections_verification_url": null,
        "approximate_guild_count": guilds, "approximate_user_install_count": 0,
    })
}

/// A member; without its user and `pending` as it stands in a MESSAGE_CREATE.
#[derive(Debug, Serialize)]
pub struct MemberObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserObject<'a>>,
    nick: (),
    avatar: (),
    banner: (),
    roles: [(); 0],
    joined_at: String,
    premium_since: (),
    communication_disabled_until: (),
    deaf: bool,
    mute: bool,
    flags: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<bool>,
}

impl<'a> MemberObject<'a> {
    /// Without its user, as in an interaction.
    pub fn partial(guild: Snowflake) -> Self {
        Self {
            user: None,
            nick: (),
            avatar: (),
            banner: (),
            roles: [],
            joined_at: time(guild.time_ms()),
            premium_since: (),
            communication_disabled_until: (),
            deaf: false,
            mute: false,
            flags: 0,
            pending: Some(false),
        }
    }

    /// With its user.
    pub fn whole(guild: Snowflake, of: &'a User) -> Self {
        Self { user: Some(of.into()), ..Self::partial(guild) }
    }

    /// As in events that are no guild's and that only members bring about who are not pending; those do not say so.
    pub fn acting(self) -> Self {
        Self { pending: None, ..self }
    }
}

/// A member with its user, as a value.
pub fn member(guild: Snowflake, of: &User) -> Value {
    json!(MemberObject::whole(guild, of))
}

/// A guild as `GET guilds/{id}` answers it.
pub fn guild(world: &World, id: Snowflake) -> Value {
    let owner = world.members_of(id).into_iter().next().map_or(id, |user| user.id);
    let mut guild = json!({
        "id": id, "name": format!("Guild {}", id.0 % 100_000), "owner_id": owner, "region": "deprecated",
        "afk_timeout": 300, "widget_enabled": false, "verification_level": 1, "default_message_notifications": 1,
        "explicit_content_filter": 0, "mfa_level": 0, "nsfw": false, "nsfw_level": 0, "features": [], "emojis": [],
        "stickers": [], "roles": [everyone(world, id)], "system_channel_id": channel_of(id), "system_channel_flags": 0,
        "max_members": 500_000, "max_video_channel_users": 25, "max_stage_video_channel_users": 50, "premium_tier": 0,
        "premium_subscription_count": 0, "preferred_locale": "en-US", "premium_progress_bar_enabled": false,
    });
    for absent in GUILD_HAS_NO {
        guild[absent] = Value::Null;
    }
    guild
}

/// A guild as `GET users/@me/guilds` lists it.
pub fn own_guild(world: &World, id: Snowflake, with_counts: bool) -> Value {
    let mut guild = json!({
        "id": id, "name": format!("Guild {}", id.0 % 100_000), "icon": null, "banner": null, "owner": false,
        "permissions": world.permissions(), "features": [],
    });
    if with_counts {
        guild["approximate_member_count"] = json!(world.members_of(id).len() + 1);
        guild["approximate_presence_count"] = json!(0);
    }
    guild
}

/// A guild as GUILD_CREATE brings it: with its channels, and with its people where the session may see them.
pub fn guild_create(
    world: &World,
    id: Snowflake,
    bot: &User,
    (all_members, hidden_bitrate): (bool, bool),
) -> Value {
    let mut guild = guild(world, id);
    let people = world.members_of(id);
    let mut members = vec![member(id, bot)];
    if all_members {
        members.extend(people.iter().map(|person| member(id, person)));
    }
    let joined = json!(time(world.joined_ms(id)));
    members[0]["joined_at"] = joined.clone();
    guild["joined_at"] = joined;
    guild["large"] = json!(false);
    guild["unavailable"] = json!(false);
    guild["member_count"] = json!(people.len() + 1);
    guild["members"] = json!(members);
    let told = Told { bot: bot.id, hidden_bitrate };
    guild["channels"] = json!(channel_objects::all(&world.access, id, told));
    for empty in [
        "threads",
        "presences",
        "voice_states",
        "stage_instances",
        "guild_scheduled_events",
        "soundboard_sounds",
    ] {
        guild[empty] = json!([]);
    }
    guild
}

/// The role that every member of a guild has.
pub fn everyone(world: &World, guild: Snowflake) -> Value {
    json!({
        "id": guild, "name": "@everyone", "color": 0,
        "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null }, "hoist": false, "icon": null,
        "unicode_emoji": null, "position": 0, "permissions": world.permissions(), "managed": false, "mentionable": false,
        "flags": 0,
    })
}
