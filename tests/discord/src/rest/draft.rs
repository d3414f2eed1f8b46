//! A message as a bot's body says it, read and checked: the same for channels, callbacks and webhooks.
//!
//! From: JSON or a form (`rest/form.rs`). For: the routes that write and edit. Every wrong field is told, as 50035.
//! Source: Discord, `developers/resources/message.mdx` "Create Message". Deliberately absent: polls, stickers, `tts`,
//! `allowed_mentions`, and what is inside embeds and components; those are given back as they came.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::answer::{invalid_form, too_large};
use super::form::{Form, Unreadable, read_form};
use crate::chat::edit::{EPHEMERAL, Edit};
use crate::discord::talk::BotMessage;
use crate::form_errors::{FormErrors, Object, present};
use crate::snowflake::Snowflake;

/// Characters that a message may have.
const LONGEST_CONTENT: usize = 2000;
/// Embeds that a message may have.
const MOST_EMBEDS: usize = 10;
/// Components that a message may have, if they are of the second kind.
const MOST_COMPONENTS: usize = 40;
/// Characters that all embeds of a message may have.
const LARGEST_EMBEDS: usize = 6000;
/// Bytes of JSON that an embed, or all components, may have.
const LARGEST_JSON: usize = 64 * 1024;
/// Attachments that a message may have.
const MOST_ATTACHMENTS: usize = 10;
/// Characters that a nonce may have.
const LONGEST_NONCE: usize = 25;
/// Flags that a bot may set: SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS, IS_VOICE_MESSAGE, IS_COMPONENTS_V2.
const SETTABLE: u64 = 1 << 2 | 1 << 12 | 1 << 13 | 1 << 15;

/// A body, or why it could not be had.
pub type Body = Result<Bytes, BytesRejection>;

/// What a body says of a message; what it does not name is none.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    content: Option<String>,
    embeds: Option<Vec<Value>>,
    components: Option<Vec<Value>>,
    attachments: Option<Vec<Snowflake>>,
    files: Vec<Value>,
    flags: Option<u64>,
    nonce: Option<Value>,
    enforce_nonce: bool,
    reference: Option<(Snowflake, bool)>,
}

/// The JSON object and the files of a body.
pub fn read_object(headers: &HeaderMap, body: Body) -> Result<Form, Box<Response>> {
    let body = body.map_err(|_| too_large())?;
    Ok(read_form(headers, &body).map_err(Unreadable::answer)?)
}

/// A body that is a message as a whole.
pub fn read(headers: &HeaderMap, body: Body) -> Result<Draft, Box<Response>> {
    let form = read_object(headers, body)?;
    let mut errors = FormErrors::default();
    let draft = of(&mut errors, &form.payload, form.attachments);
    Ok(errors.result(draft).map_err(|errors| invalid_form(&errors))?)
}

/// A message that is a part of a body.
pub fn of(errors: &mut FormErrors, of: &Object, files: Vec<Value>) -> Draft {
    let content =
        of.contains_key("content").then(|| errors.text(of, "content").unwrap_or_default().to_owned());
    errors.length("content", content.as_deref().unwrap_or_default(), 0..=LONGEST_CONTENT);
    let flags = errors.integer(of, "flags");
    if flags.is_some_and(i64::is_negative) {
        errors.add("flags", "NUMBER_TYPE_MIN", "int value should be greater than or equal to 0.");
    }
    let mut embeds = objects(errors, of, "embeds", MOST_EMBEDS);
    check_embeds(errors, embeds.as_deref().unwrap_or_default());
    for embed in embeds.iter_mut().flatten() {
        // As Discord gives them back: with a type.
        embed["type"] = "rich".into();
    }
    let attachments = objects(errors, of, "attachments", MOST_ATTACHMENTS);
    if files.len() + attachments.as_ref().map_or(0, Vec::len) > 2 * MOST_ATTACHMENTS {
        errors.add("attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.");
    }
    let id = |attachment: &Value| serde_json::from_value(attachment["id"].clone()).ok();
    let components = objects(errors, of, "components", MOST_COMPONENTS);
    if components.iter().flatten().map(json_bytes).sum::<usize>() > LARGEST_JSON {
        errors.add(
            "components",
            "BASE_TYPE_MAX_LENGTH",
            format!("Must be {LARGEST_JSON} or fewer in length."),
        );
    }
    Draft {
        content,
        embeds,
        components,
        attachments: attachments.map(|attachments| attachments.iter().filter_map(id).collect()),
        files,
        flags: flags.and_then(|flags| u64::try_from(flags).ok()),
        nonce: nonce(errors, of),
        enforce_nonce: errors.boolean(of, "enforce_nonce").unwrap_or_default(),
        reference: reference(errors, of),
    }
}

impl Draft {
    /// Whether nothing would be seen of it.
    pub fn is_empty(&self) -> bool {
        let has = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let has_text = self.content.as_ref().is_some_and(|content| !content.is_empty());
        !(has_text || has(&self.embeds) || has(&self.components) || !self.files.is_empty())
    }

    /// As a new message in a channel.
    pub fn message(self) -> BotMessage {
        BotMessage {
            content: self.content.unwrap_or_default(),
            embeds: self.embeds.unwrap_or_default(),
            components: self.components.unwrap_or_default(),
            attachments: self.files,
            reference: self.reference,
            nonce: self.nonce,
            enforce_nonce: self.enforce_nonce,
            flags: self.flags.unwrap_or_default() & SETTABLE,
            interaction: None,
        }
    }

    /// As an answer to an interaction, which may also be for its user only.
    pub fn answer(self) -> BotMessage {
        let ephemeral = self.flags.unwrap_or_default() & EPHEMERAL;
        let message = self.message();
        BotMessage { flags: message.flags | ephemeral, reference: None, ..message }
    }

    /// As an edit.
    pub fn edit(self) -> Edit {
        Edit {
            content: self.content,
            embeds: self.embeds,
            components: self.components,
            kept: self.attachments,
            files: self.files,
            flags: self.flags,
        }
    }
}

/// A list of objects; null stands for an empty one.
fn objects(errors: &mut FormErrors, of: &Object, field: &str, most: usize) -> Option<Vec<Value>> {
    if !of.contains_key(field) {
        return None;
    }
    let list = errors.list(of, field, most).unwrap_or_default();
    errors.within(field, |errors| {
        for (index, value) in list.iter().enumerate() {
            errors.within(index, |errors| errors.object(value).map(|_| ()));
        }
    });
    Some(list.iter().filter(|value| value.is_object()).cloned().collect())
}

/// Embeds are bounded together, in characters that are shown, and each in what has to be kept of it.
fn check_embeds(errors: &mut FormErrors, embeds: &[Value]) {
    let shown: usize = embeds.iter().map(shown_characters).sum();
    if shown > LARGEST_EMBEDS || embeds.iter().any(|embed| json_bytes(embed) > LARGEST_JSON) {
        let message = format!("Embed size exceeds maximum size of {LARGEST_EMBEDS}");
        errors.add("embeds", "MAX_EMBED_SIZE_EXCEEDED", message);
    }
}

fn shown_characters(embed: &Value) -> usize {
    let length = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    let fields = embed["fields"].as_array().into_iter().flatten();
    let texts = [&embed["title"], &embed["description"], &embed["footer"]["text"], &embed["author"]["name"]];
    texts.into_iter().chain(fields.flat_map(|field| [&field["name"], &field["value"]])).map(length).sum()
}

fn json_bytes(value: &Value) -> usize {
    value.to_string().len()
}

fn nonce(errors: &mut FormErrors, of: &Object) -> Option<Value> {
    let nonce = present(of, "nonce")?;
    let is_nonce = nonce.is_i64() || nonce.as_str().is_some_and(|text| text.chars().count() <= LONGEST_NONCE);
    if !is_nonce {
        errors.add("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.");
    }
    Some(nonce.clone())
}

fn reference(errors: &mut FormErrors, of: &Object) -> Option<(Snowflake, bool)> {
    let reference = present(of, "message_reference")?;
    errors.within("message_reference", |errors| {
        let reference = errors.object(reference)?;
        let must_exist = errors.boolean(reference, "fail_if_not_exists").unwrap_or(true);
        let id = present(reference, "message_id")?;
        let id = serde_json::from_value(id.clone());
        if id.is_err() {
            errors.add("message_id", "NUMBER_TYPE_COERCE", "Value is not snowflake.");
        }
        Some((id.ok()?, must_exist))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(body: &Value) -> Result<Draft, Value> {
        let mut errors = FormErrors::default();
        let draft = of(&mut errors, body.as_object().unwrap(), Vec::new());
        errors.result(draft).map_err(|errors| errors.tree())
    }

    #[test]
    fn every_wrong_field_is_told() {
        let body = json!({
            "content": 5, "embeds": [1], "nonce": "n".repeat(26), "flags": "x", "message_reference": { "message_id": "x" },
        });
        let tree = draft(&body).unwrap_err();
        for place in ["/content", "/embeds/0", "/nonce", "/flags", "/message_reference/message_id"] {
            assert!(tree.pointer(&format!("{place}/_errors")).is_some(), "{place}: {tree}");
        }
    }

    #[test]
    fn embeds_and_components_are_bounded() {
        let text = |length| "ä".repeat(length);
        let wide: Vec<_> =
            (0..4).map(|_| json!({ "title": text(750), "footer": { "text": text(750) } })).collect();
        let named = |length| json!([{ "author": { "name": text(2000) }, "fields": [{ "name": text(1999), "value": text(length) }] }]);
        let bytes = "x".repeat(LARGEST_JSON);
        let table = [
            (json!({ "embeds": wide }), None),
            (json!({ "embeds": named(2001) }), None),
            (json!({ "embeds": named(2002) }), Some(("embeds", "MAX_EMBED_SIZE_EXCEEDED"))),
            (json!({ "embeds": [{ "url": bytes }] }), Some(("embeds", "MAX_EMBED_SIZE_EXCEEDED"))),
            (json!({ "components": [{ "type": bytes }] }), Some(("components", "BASE_TYPE_MAX_LENGTH"))),
        ];
        for (body, expected) in table {
            let tree = draft(&body).err();
            let found =
                expected.map(|(field, _)| tree.as_ref().unwrap()[field]["_errors"][0]["code"].clone());
            assert_eq!((tree.is_some(), found), (expected.is_some(), expected.map(|(_, code)| json!(code))));
        }
    }

    #[test]
    fn only_the_flags_of_bots_are_taken_and_ephemeral_only_in_answers() {
        let draft = draft(&json!({ "content": "x", "flags": 64 | 4 | 1 })).unwrap();
        assert_eq!((draft.clone().message().flags, draft.answer().flags), (4, 68));
    }

    #[test]
    fn null_empties_and_absence_leaves() {
        let edit = draft(&json!({ "content": null, "embeds": null })).unwrap().edit();
        assert_eq!((edit.content.as_deref(), edit.embeds.map(|list| list.len())), (Some(""), Some(0)));
        assert!(edit.components.is_none() && edit.kept.is_none());
    }

    #[test]
    fn a_message_needs_something_to_be_seen() {
        let table = [
            (json!({}), true),
            (json!({ "content": "" }), true),
            (json!({ "content": null, "embeds": [] }), true),
            (json!({ "content": "x" }), false),
            (json!({ "embeds": [{}] }), false),
            (json!({ "components": [{ "type": 10 }] }), false),
        ];
        for (body, expected) in table {
            assert_eq!(draft(&body).unwrap().is_empty(), expected, "{body}");
        }
    }
}
