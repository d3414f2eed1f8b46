//! Routes about channels: read one and its messages, write, edit and delete messages, type.
//!
//! From: requests whose token and limits are checked. For: talk (`discord/talk.rs`), which has the rules.
//! Source: Discord, `developers/resources/{channel,message}.mdx`. Deliberately absent: pins, bulk deletion, changes of channels.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::Value;

use super::answer::{no_content, ok, refused};
use super::draft::{self, Body};
use super::gate::Caller;
use super::query::{id, page};
use crate::discord::Discord;
use crate::discord::talk::Refused;

/// Messages of a page, unless more or fewer are asked for, and at most.
const MESSAGES: (usize, usize) = (50, 100);

/// `GET /channels/{channel}`.
pub async fn read(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
) -> Response {
    respond(discord.channel(bot, id(&channel)))
}

/// `POST /channels/{channel}/typing`.
pub async fn type_in(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
) -> Response {
    done(discord.bot_types(bot, id(&channel)))
}

/// `GET /channels/{channel}/messages`.
pub async fn history(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
    uri: Uri,
) -> Response {
    match page(&uri, MESSAGES.0, MESSAGES.1) {
        Ok(page) => respond(discord.history(bot, id(&channel), &page).map(Value::from)),
        Err(answer) => *answer,
    }
}

/// `GET /channels/{channel}/messages/{message}`.
pub async fn message(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path((channel, message)): Path<(String, String)>,
) -> Response {
    respond(discord.message(bot, id(&channel), id(&message)))
}

/// `POST /channels/{channel}/messages`.
pub async fn write(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match draft::read(&headers, body) {
        Ok(draft) if draft.is_empty() => refused(Refused::Empty),
        Ok(draft) => respond(discord.bot_writes(bot, id(&channel), &draft.message())),
        Err(answer) => *answer,
    }
}

/// `PATCH /channels/{channel}/messages/{message}`.
pub async fn edit(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path((channel, message)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match draft::read(&headers, body) {
        Ok(draft) => respond(discord.bot_edits(bot, (id(&channel), id(&message)), draft.edit())),
        Err(answer) => *answer,
    }
}

/// `DELETE /channels/{channel}/messages/{message}`.
pub async fn delete(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path((channel, message)): Path<(String, String)>,
) -> Response {
    done(discord.bot_deletes(bot, id(&channel), id(&message)))
}

/// 200 with the thing, or why not.
pub(super) fn respond(result: Result<Value, Refused>) -> Response {
    result.map_or_else(refused, |value| ok(&value))
}

/// 204, or why not.
pub(super) fn done(result: Result<(), Refused>) -> Response {
    result.map_or_else(refused, |()| no_content())
}
