//! Routes about who the bot is and where it connects: gateway, user, application, guild.
//!
//! From: the state and the world. For: a client's start. Source: Discord, `developers/events/gateway.mdx` "Get Gateway
//! Bot", `developers/resources/{user,application,guild}.mdx`. Deliberately absent: lists of guilds, members, roles.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::Caller;
use super::answer::{error, ok, unauthorized};
use crate::discord::Discord;
use crate::snowflake::Snowflake;
use crate::world::{self, objects};

/// `GET /gateway`.
pub async fn gateway(State(discord): State<Arc<Discord>>, headers: HeaderMap) -> Response {
    ok(&json!({ "url": discord.gateway_url(&host(&headers)) }))
}

/// `GET /gateway/bot`.
pub async fn gateway_bot(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let Some(start) = discord.session_start(bot) else { return unauthorized() };
    ok(&json!({
        "url": discord.gateway_url(&host(&headers)), "shards": start.shards,
        "session_start_limit": {
            "total": start.total, "remaining": start.remaining, "reset_after": start.reset_after_ms,
            "max_concurrency": start.max_concurrency,
        },
    }))
}

/// `GET /users/@me`.
pub async fn current_user(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
) -> Response {
    discord.bot(bot).map_or_else(unauthorized, |bot| ok(&objects::current_user(&bot)))
}

/// `GET /applications/@me` and `GET /oauth2/applications/@me`.
pub async fn application(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
) -> Response {
    let Some(bot) = discord.bot(bot) else { return unauthorized() };
    let owner = world::somebody();
    let guilds = discord.world.guilds().len();
    ok(&objects::application(&bot, &owner, guilds, discord.options.privileged_intents))
}

/// `GET /guilds/{guild}`.
pub async fn guild(State(discord): State<Arc<Discord>>, Path(guild): Path<String>) -> Response {
    match guild.parse().map(Snowflake) {
        Ok(guild) if discord.world.has_guild(guild) => ok(&objects::guild(&discord.world, guild)),
        _ => error(StatusCode::NOT_FOUND, 10004, "Unknown Guild"),
    }
}

/// What the client called us, to send it back there.
fn host(headers: &HeaderMap) -> String {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned()
}
