//! Routes about users: one of them, the bot's guilds, and direct channels.
//!
//! From: requests whose token and limits are checked. For: bots that look around. Source: Discord,
//! `developers/resources/user.mdx`. Deliberately absent: group channels, leaving guilds, changes of the bot's user.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;

use super::answer::{error, invalid_form, ok};
use super::draft::{Body, read_object};
use super::gate::Caller;
use super::query::{id, is_set, page};
use crate::discord::Discord;
use crate::form_errors::FormErrors;
use crate::world::objects;

/// Guilds of a page, unless fewer are asked for.
const GUILDS: usize = 200;

/// `GET /users/{user}`.
pub async fn read(State(discord): State<Arc<Discord>>, Path(user): Path<String>) -> Response {
    let unknown = || error(StatusCode::NOT_FOUND, 10013, "Unknown User");
    discord.user(id(&user)).map_or_else(unknown, |user| ok(&objects::user(&user)))
}

/// `GET /users/@me/guilds`.
pub async fn guilds(State(discord): State<Arc<Discord>>, uri: Uri) -> Response {
    let page = match page(&uri, GUILDS, GUILDS) {
        Ok(page) => page,
        Err(answer) => return *answer,
    };
    let with_counts = is_set(&uri, "with_counts");
    let guilds = discord.world.guilds();
    let guilds = page.of(guilds.iter().copied(), |guild| *guild);
    let object = |guild| objects::own_guild(&discord.world, guild, with_counts);
    ok(&guilds.into_iter().map(object).collect::<Value>())
}

/// `POST /users/@me/channels`.
pub async fn open_direct(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = match read_object(&headers, body) {
        Ok(form) => form.payload,
        Err(answer) => return *answer,
    };
    let mut errors = FormErrors::default();
    let recipient = errors.required(&form, "recipient_id").cloned().unwrap_or_default();
    let recipient = serde_json::from_value(recipient);
    match (errors.result(()), recipient) {
        (Err(errors), _) => invalid_form(&errors),
        (_, Err(_)) => {
            invalid_form(&FormErrors::of("recipient_id", "NUMBER_TYPE_COERCE", "Value is not snowflake."))
        }
        (_, Ok(person)) => match discord.direct_channel(bot, person) {
            Some(channel) => ok(&channel),
            None => error(StatusCode::BAD_REQUEST, 50033, "Invalid Recipient(s)"),
        },
    }
}
