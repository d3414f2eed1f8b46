//! What a bot may answer first to the use of a command, read and checked.
//!
//! From: the body of `POST /interactions/{id}/{token}/callback`. For: the route, which then makes a message or none.
//! Source: Discord, `developers/interactions/receiving-and-responding.mdx` "Interaction Response Object".
//! Deliberately absent: answers to components, autocomplete and PING; Discord refuses them for commands, too.

use serde_json::Value;

use crate::chat::edit::EPHEMERAL;
use crate::form_errors::{FormErrors, Object, present};

/// CHANNEL_MESSAGE_WITH_SOURCE.
pub const MESSAGE: i64 = 4;
/// DEFERRED_CHANNEL_MESSAGE_WITH_SOURCE.
pub const DEFERRED: i64 = 5;
/// MODAL.
pub const MODAL: i64 = 9;
/// All types that there are.
const TYPES: [i64; 9] = [1, 4, 5, 6, 7, 8, 9, 10, 12];

/// A first answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    /// A message; its `data` is read like any message's.
    Message(Object),
    /// A message to come, for the user only or for all.
    Deferred {
        /// Whether only the user will see it.
        is_ephemeral: bool,
    },
    /// A modal.
    Modal,
}

/// Reads a callback.
pub fn read(body: &Object) -> Result<Callback, FormErrors> {
    let mut errors = FormErrors::default();
    errors.required(body, "type");
    let kind = errors.integer(body, "type").unwrap_or_default();
    if present(body, "type").is_some() {
        errors.choice("type", kind, &TYPES);
        if TYPES.contains(&kind) && ![MESSAGE, DEFERRED, MODAL].contains(&kind) {
            let message = "Interaction callback type is invalid for this interaction.";
            errors.add("type", "INTERACTION_CALLBACK_TYPE_INVALID", message);
        }
    }
    let nothing = Object::new();
    let data = match present(body, "data") {
        Some(data) => errors.within("data", |errors| errors.object(data)).unwrap_or(&nothing),
        None => &nothing,
    };
    let callback = errors.within("data", |errors| match kind {
        DEFERRED => deferred(errors, data),
        MODAL => modal(errors, data),
        _ => Callback::Message(data.clone()),
    });
    errors.result(callback)
}

fn deferred(errors: &mut FormErrors, data: &Object) -> Callback {
    let flags = errors.integer(data, "flags").and_then(|flags| u64::try_from(flags).ok()).unwrap_or_default();
    if flags & !EPHEMERAL != 0 {
        errors.add("flags", "MESSAGE_FLAGS_INVALID", "Only the flag EPHEMERAL (64) can be set here.");
    }
    Callback::Deferred { is_ephemeral: flags & EPHEMERAL != 0 }
}

fn modal(errors: &mut FormErrors, data: &Object) -> Callback {
    for (field, most) in [("custom_id", 100), ("title", 45)] {
        if errors.required(data, field).is_some() {
            let text = errors.text(data, field).unwrap_or_default();
            errors.length(field, text, 1..=most);
        }
    }
    errors.required(data, "components");
    let components = errors.list(data, "components", 5);
    if components.is_some_and(<[Value]>::is_empty) {
        errors.add("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.");
    }
    Callback::Modal
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_deferrals_and_modals_are_taken() {
        let modal = json!({ "custom_id": "m", "title": "t", "components": [{}] });
        let table = [
            (json!({ "type": 5 }), Callback::Deferred { is_ephemeral: false }),
            (json!({ "type": 5, "data": { "flags": 64 } }), Callback::Deferred { is_ephemeral: true }),
            (json!({ "type": 5, "data": null }), Callback::Deferred { is_ephemeral: false }),
            (json!({ "type": 9, "data": modal }), Callback::Modal),
            (json!({ "type": 4, "data": {} }), Callback::Message(Object::new())),
        ];
        for (body, expected) in table {
            assert_eq!(read(body.as_object().unwrap()).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn everything_else_is_refused_at_its_field() {
        let table = [
            (json!({}), "/type"),
            (json!({ "type": "x" }), "/type"),
            (json!({ "type": 1 }), "/type"),
            (json!({ "type": 6 }), "/type"),
            (json!({ "type": 8, "data": { "choices": [] } }), "/type"),
            (json!({ "type": 99 }), "/type"),
            (json!({ "type": 4, "data": [] }), "/data"),
            (json!({ "type": 5, "data": { "flags": 65 } }), "/data/flags"),
            (json!({ "type": 9, "data": { "custom_id": "m", "title": "t" } }), "/data/components"),
            (
                json!({ "type": 9, "data": { "custom_id": "", "title": "t", "components": [1] } }),
                "/data/custom_id",
            ),
        ];
        for (body, place) in table {
            let tree = read(body.as_object().unwrap()).unwrap_err().tree();
            assert!(tree.pointer(&format!("{place}/_errors")).is_some(), "{body}: {tree}");
        }
    }
}
