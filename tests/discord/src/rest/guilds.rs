//! Routes about guilds: one of them, its channels, roles and members.
//!
//! From: the world. For: bots that look around. Every bot is in every guild. Source: Discord,
//! `developers/resources/guild.mdx`. Deliberately absent: changes of any kind, searches, bans, emojis.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{error, missing_access, ok, unknown_guild};
use super::gate::Caller;
use super::query::{id, is_set, page};
use crate::discord::Discord;
use crate::intents;
use crate::snowflake::Snowflake;
use crate::world::channels::KINDS;
use crate::world::{channel_objects, objects};

/// Members of the largest page.
const MEMBERS: usize = 1000;

/// `GET /guilds/{guild}`.
pub async fn read(State(discord): State<Arc<Discord>>, Path(guild): Path<String>, uri: Uri) -> Response {
    let Some(guild) = known(&discord, &guild) else { return unknown_guild() };
    let mut object = objects::guild(&discord.world, guild);
    if is_set(&uri, "with_counts") {
        object["approximate_member_count"] = json!(discord.members(guild).len());
        object["approximate_presence_count"] = json!(0);
    }
    ok(&object)
}

/// `GET /guilds/{guild}/channels`.
pub async fn channels(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(guild): Path<String>,
) -> Response {
    let Some(guild) = known(&discord, &guild) else { return unknown_guild() };
    let seen = |kind| channel_objects::rest(&discord.world.access, guild, kind, bot);
    ok(&KINDS.into_iter().filter_map(seen).collect::<Value>())
}

/// `GET /guilds/{guild}/roles`.
pub async fn roles(State(discord): State<Arc<Discord>>, Path(guild): Path<String>) -> Response {
    let Some(guild) = known(&discord, &guild) else { return unknown_guild() };
    ok(&json!([objects::everyone(&discord.world, guild)]))
}

/// `GET /guilds/{guild}/members`.
pub async fn members(State(discord): State<Arc<Discord>>, Path(guild): Path<String>, uri: Uri) -> Response {
    let Some(guild) = known(&discord, &guild) else { return unknown_guild() };
    if discord.options.privileged_intents & intents::GUILD_MEMBERS == 0 {
        return missing_access();
    }
    let page = match page(&uri, 1, MEMBERS) {
        Ok(page) => page,
        Err(answer) => return *answer,
    };
    let members = page.of(discord.members(guild).into_iter(), |user| user.id);
    ok(&members.iter().map(|user| objects::member(guild, user)).collect::<Value>())
}

/// `GET /guilds/{guild}/members/{user}`.
pub async fn member(
    State(discord): State<Arc<Discord>>,
    Path((guild, user)): Path<(String, String)>,
) -> Response {
    let Some(guild) = known(&discord, &guild) else { return unknown_guild() };
    let member = discord.members(guild).into_iter().find(|member| member.id == id(&user));
    let unknown = || error(StatusCode::NOT_FOUND, 10007, "Unknown Member");
    member.map_or_else(unknown, |member| ok(&objects::member(guild, &member)))
}

fn known(discord: &Discord, guild: &str) -> Option<Snowflake> {
    Some(id(guild)).filter(|guild| discord.world.has_guild(*guild))
}
