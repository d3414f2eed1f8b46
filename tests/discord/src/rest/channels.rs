//! Routes about channels: read one, write, edit and delete messages, type.
//!
//! From: requests whose token and limits are checked. For: talk (`discord/talk.rs`), which has the rules.
//! Source: Discord, `developers/resources/{channel,message}.mdx`. Deliberately absent: reading messages back, reactions.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::Caller;
use super::answer::{error, invalid_form, no_content, ok, refused};
use super::form::{Form, read_form};
use crate::discord::Discord;
use crate::discord::talk::{BotMessage, Refused};
use crate::snowflake::Snowflake;

/// Characters that a message may have.
const LONGEST_CONTENT: usize = 2000;
/// Embeds that a message may have.
const MOST_EMBEDS: usize = 10;
/// Characters that a nonce may have.
const LONGEST_NONCE: usize = 25;

type Body = Result<Bytes, BytesRejection>;

#[derive(Debug, Deserialize)]
struct Write {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    embeds: Option<Vec<Value>>,
    #[serde(default)]
    message_reference: Option<Reference>,
    #[serde(default)]
    nonce: Option<Value>,
    #[serde(default)]
    enforce_nonce: bool,
}

#[derive(Debug, Deserialize)]
struct Reference {
    #[serde(default)]
    message_id: Option<Snowflake>,
    #[serde(default = "yes")]
    fail_if_not_exists: bool,
}

fn yes() -> bool {
    true
}

/// `GET /channels/{channel}`.
pub async fn read(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
) -> Response {
    match id(&channel, Refused::UnknownChannel).and_then(|channel| discord.channel(bot, channel)) {
        Ok(channel) => ok(&channel),
        Err(why) => refused(why),
    }
}

/// `POST /channels/{channel}/typing`.
pub async fn type_in(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
) -> Response {
    match id(&channel, Refused::UnknownChannel).and_then(|channel| discord.bot_types(bot, channel)) {
        Ok(()) => no_content(),
        Err(why) => refused(why),
    }
}

/// `POST /channels/{channel}/messages`.
pub async fn write(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (write, attachments) = match read_write(&headers, body) {
        Ok(form) => (form.payload, form.attachments),
        Err(answer) => return *answer,
    };
    let is_empty = write.content.as_deref().unwrap_or_default().is_empty();
    if is_empty && write.embeds.as_ref().is_none_or(Vec::is_empty) && attachments.is_empty() {
        return error(StatusCode::BAD_REQUEST, 50006, "Cannot send an empty message");
    }
    let reference = write.message_reference;
    let message = BotMessage {
        content: write.content.unwrap_or_default(),
        embeds: embeds(write.embeds.unwrap_or_default()),
        attachments,
        reference: reference
            .and_then(|reference| Some((reference.message_id?, reference.fail_if_not_exists))),
        nonce: write.nonce,
        enforce_nonce: write.enforce_nonce,
    };
    match id(&channel, Refused::UnknownChannel).and_then(|channel| discord.bot_writes(bot, channel, &message))
    {
        Ok(message) => ok(&message),
        Err(why) => refused(why),
    }
}

/// `PATCH /channels/{channel}/messages/{message}`.
pub async fn edit(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(place): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let write = match read_write(&headers, body) {
        Ok(form) => form.payload,
        Err(answer) => return *answer,
    };
    let edited =
        ids(&place).and_then(|place| discord.bot_edits(bot, place, write.content, write.embeds.map(embeds)));
    match edited {
        Ok(message) => ok(&message),
        Err(why) => refused(why),
    }
}

/// `DELETE /channels/{channel}/messages/{message}`.
pub async fn delete(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(place): Path<(String, String)>,
) -> Response {
    match ids(&place).and_then(|(channel, message)| discord.bot_deletes(bot, channel, message)) {
        Ok(()) => no_content(),
        Err(why) => refused(why),
    }
}

fn read_write(headers: &HeaderMap, body: Body) -> Result<Form<Write>, Box<Response>> {
    let body = body.map_err(|_| error(StatusCode::PAYLOAD_TOO_LARGE, 40005, "Request entity too large"))?;
    let form: Form<Write> =
        read_form(headers, &body).map_err(|text| error(StatusCode::BAD_REQUEST, 50109, &text))?;
    let write = &form.payload;
    if write.content.as_ref().is_some_and(|content| content.chars().count() > LONGEST_CONTENT) {
        let answer = invalid_form("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.");
        return Err(Box::new(answer));
    }
    if write.embeds.as_ref().is_some_and(|embeds| embeds.len() > MOST_EMBEDS) {
        return Err(Box::new(invalid_form(
            "embeds",
            "BASE_TYPE_MAX_LENGTH",
            "Must be 10 or fewer in length.",
        )));
    }
    let is_nonce =
        |nonce: &Value| nonce.is_i64() || nonce.as_str().is_some_and(|text| text.len() <= LONGEST_NONCE);
    if !write.nonce.as_ref().is_none_or(is_nonce) {
        return Err(Box::new(invalid_form("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.")));
    }
    Ok(form)
}

/// Embeds as Discord gives them back: with a type.
fn embeds(mut embeds: Vec<Value>) -> Vec<Value> {
    embeds.retain(Value::is_object);
    for embed in &mut embeds {
        embed["type"] = "rich".into();
    }
    embeds
}

fn id(text: &str, unknown: Refused) -> Result<Snowflake, Refused> {
    text.parse().map(Snowflake).map_err(|_| unknown)
}

fn ids((channel, message): &(String, String)) -> Result<(Snowflake, Snowflake), Refused> {
    Ok((id(channel, Refused::UnknownChannel)?, id(message, Refused::UnknownMessage)?))
}
