//! The route of first answers to interactions.
//!
//! From: requests of whoever has the interaction's token. For: `discord/interactions.rs`, which has the deadlines. Source:
//! Discord, `developers/interactions/receiving-and-responding.mdx` "Create Interaction Response".
//! Deliberately absent: what becomes of modals; no user fills them in.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::answer::{invalid_form, no_content, ok, refused};
use super::draft::{self, Body, read_object};
use super::query::{id, is_set};
use crate::discord::Discord;
use crate::discord::interactions::FirstAnswer;
use crate::discord::talk::Refused;
use crate::form_errors::FormErrors;
use crate::interactions::callback::{self, Callback};

/// `POST /interactions/{interaction}/{token}/callback`.
pub async fn callback(
    State(discord): State<Arc<Discord>>,
    Path((interaction, token)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(why) = discord.may_acknowledge(id(&interaction), &token) {
        return refused(why);
    }
    let answer = match read(&headers, body) {
        Ok(answer) => answer,
        Err(answer) => return *answer,
    };
    match discord.bot_acknowledges(id(&interaction), &token, answer) {
        Ok(value) if is_set(&uri, "with_response") => ok(&value),
        Ok(_) => no_content(),
        Err(why) => refused(why),
    }
}

fn read(headers: &HeaderMap, body: Body) -> Result<FirstAnswer, Box<Response>> {
    let form = read_object(headers, body)?;
    let callback = callback::read(&form.payload).map_err(|errors| invalid_form(&errors))?;
    let data = match callback {
        Callback::Message(data) => data,
        Callback::Deferred { is_ephemeral } => return Ok(FirstAnswer::Deferred { is_ephemeral }),
        Callback::Modal => return Ok(FirstAnswer::Modal),
    };
    let mut errors = FormErrors::default();
    let draft = errors.within("data", |errors| draft::of(errors, &data, form.attachments));
    errors.result(()).map_err(|errors| invalid_form(&errors))?;
    if draft.is_empty() {
        return Err(Box::new(refused(Refused::Empty)));
    }
    Ok(FirstAnswer::Message(Box::new(draft.answer())))
}
