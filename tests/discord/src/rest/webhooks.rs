//! Routes of an interaction's webhook: follow-ups, `@original`, and both edited and deleted.
//!
//! From: requests of whoever has the interaction's token. For: `discord/webhooks.rs`. Source: Discord,
//! `developers/interactions/receiving-and-responding.mdx` "Followup Messages". `wait` is always true here.
//! Deliberately absent: webhooks that are not an interaction's; their tokens are not known (50027).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::refused;
use super::channels::{done, respond};
use super::draft::{self, Body};
use super::query::id;
use crate::discord::Discord;
use crate::discord::talk::Refused;
use crate::snowflake::Snowflake;

type Place = Path<(String, String, String)>;

/// `POST /webhooks/{webhook}/{token}`.
pub async fn follow_up(
    State(discord): State<Arc<Discord>>,
    Path((webhook, token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(why) = discord.may_follow_up((id(&webhook), &token)) {
        return refused(why);
    }
    match draft::read(&headers, body) {
        Ok(draft) if draft.is_empty() => refused(Refused::Empty),
        Ok(draft) => respond(discord.bot_follows_up((id(&webhook), &token), draft.answer())),
        Err(answer) => *answer,
    }
}

/// `GET /webhooks/{webhook}/{token}/messages/{message}`.
pub async fn read(State(discord): State<Arc<Discord>>, Path((webhook, token, message)): Place) -> Response {
    respond(discord.webhook_message((id(&webhook), &token), message_id(&message)))
}

/// `PATCH /webhooks/{webhook}/{token}/messages/{message}`.
pub async fn edit(
    State(discord): State<Arc<Discord>>,
    Path((webhook, token, message)): Place,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let webhook = (id(&webhook), token.as_str());
    if let Err(why) = discord.may_follow_up(webhook) {
        return refused(why);
    }
    match draft::read(&headers, body) {
        Ok(draft) => respond(discord.edit_webhook_message(webhook, message_id(&message), draft.edit())),
        Err(answer) => *answer,
    }
}

/// `DELETE /webhooks/{webhook}/{token}/messages/{message}`.
pub async fn delete(State(discord): State<Arc<Discord>>, Path((webhook, token, message)): Place) -> Response {
    done(discord.delete_webhook_message((id(&webhook), &token), message_id(&message)))
}

/// The message that is meant; none for the first answer's.
fn message_id(text: &str) -> Option<Snowflake> {
    (text != "@original").then(|| id(text))
}
