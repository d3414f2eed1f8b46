//! Routes about reactions: the bot's own come and go, and who reacted.
//!
//! From: requests whose token and limits are checked. For: `discord/reactions.rs`. Source: Discord,
//! `developers/resources/message.mdx` "Create Reaction". Deliberately absent: the removal of others' reactions.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;

use super::channels::{done, respond};
use super::gate::Caller;
use super::query::{id, page};
use crate::discord::Discord;
use crate::world::objects;

/// Users of a page, unless more or fewer are asked for, and at most.
const USERS: (usize, usize) = (25, 100);

type Place = Path<(String, String, String)>;

/// `PUT .../reactions/{emoji}/@me`.
pub async fn add(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path((channel, message, emoji)): Place,
) -> Response {
    done(discord.bot_reacts(bot, (id(&channel), id(&message)), &emoji))
}

/// `DELETE .../reactions/{emoji}/@me`.
pub async fn remove(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path((channel, message, emoji)): Place,
) -> Response {
    done(discord.bot_unreacts(bot, (id(&channel), id(&message)), &emoji))
}

/// `GET .../reactions/{emoji}`.
pub async fn list(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path((channel, message, emoji)): Place,
    uri: Uri,
) -> Response {
    let page = match page(&uri, USERS.0, USERS.1) {
        Ok(page) => page,
        Err(answer) => return *answer,
    };
    let users = discord.reactors(bot, (id(&channel), id(&message)), &emoji);
    let users = users.map(|users| page.of(users.into_iter(), |user| user.id));
    respond(users.map(|users| users.iter().map(objects::user).collect()))
}
