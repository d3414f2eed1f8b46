//! Routes about who the bot is and where it connects: gateway, user, application.
//!
//! From: the state. For: a client's start. Source: Discord, `developers/events/gateway.mdx` "Get Gateway Bot",
//! `developers/resources/{user,application}.mdx`. Deliberately absent: images, and the endpoint URL of interactions; those
//! come over the gateway only.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;

use super::answer::{invalid_form, ok, unauthorized};
use super::draft::{Body, read_object};
use super::gate::Caller;
use crate::discord::Discord;
use crate::form_errors::{FormErrors, present};
use crate::snowflake::Snowflake;
use crate::world::{self, objects};

/// Characters that an application's description may have.
const LONGEST_DESCRIPTION: usize = 400;

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
    application_of(&discord, bot, None)
}

/// `PATCH /applications/@me`.
pub async fn edit_application(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let change = match read_object(&headers, body) {
        Ok(form) => form.payload,
        Err(answer) => return *answer,
    };
    let mut errors = FormErrors::default();
    let description = errors.text(&change, "description").map(str::to_owned);
    errors.length("description", description.as_deref().unwrap_or_default(), 0..=LONGEST_DESCRIPTION);
    if present(&change, "interactions_endpoint_url").is_some() {
        let message = "The specified interactions endpoint url could not be verified.";
        errors.add("interactions_endpoint_url", "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID", message);
    }
    match errors.result(description) {
        Ok(description) => application_of(&discord, bot, description),
        Err(errors) => invalid_form(&errors),
    }
}

fn application_of(discord: &Discord, bot: Snowflake, change: Option<String>) -> Response {
    let description = discord.description(bot, change);
    let Some(bot) = discord.bot(bot) else { return unauthorized() };
    let owner = world::somebody();
    let guilds = discord.world.guilds().len();
    let mut object = objects::application(&bot, &owner, guilds, discord.options.privileged_intents);
    object["description"] = json!(description);
    ok(&object)
}

/// What the client called us, to send it back there.
fn host(headers: &HeaderMap) -> String {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned()
}
