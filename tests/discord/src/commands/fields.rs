//! Fields of a command's options that are kept: those that Discord has, at every depth.
//!
//! From: options that were checked. For: `commands/definition.rs`. Source: Discord,
//! `developers/interactions/application-commands.mdx` "Application Command Option Structure".
//! Deliberately absent: checks (`commands/definition.rs`, `commands/choices.rs`), the fields of commands themselves.

use serde_json::Value;

use crate::form_errors::{Object, present};

const OPTION: [&str; 15] = [
    "type",
    "name",
    "name_localizations",
    "description",
    "description_localizations",
    "required",
    "choices",
    "options",
    "channel_types",
    "min_value",
    "max_value",
    "min_length",
    "max_length",
    "autocomplete",
    "file_types",
];
const CHOICE: [&str; 3] = ["name", "name_localizations", "value"];

/// An option without what Discord does not know.
pub fn of_option(option: &Value) -> Value {
    known(option, &OPTION)
}

fn of_choice(choice: &Value) -> Value {
    known(choice, &CHOICE)
}

fn known(of: &Value, fields: &[&str]) -> Value {
    let fields = fields.iter().filter_map(|field| {
        let value = present(of.as_object()?, field)?;
        let value = match (*field, value.as_array()) {
            ("options", Some(list)) => list.iter().map(of_option).collect(),
            ("choices", Some(list)) => list.iter().map(of_choice).collect(),
            _ => value.clone(),
        };
        Some(((*field).to_owned(), value))
    });
    fields.collect::<Object>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_discord_does_not_know_is_forgotten_at_every_depth() {
        let choice = json!({ "name": "a", "value": 1, "extra": [1] });
        let option = json!({ "name": "o", "choices": [choice], "extra": {} });
        let group = json!({ "name": "g", "options": [option], "extra": "x" });
        let choice = json!({ "name": "a", "value": 1 });
        let kept = json!({ "name": "g", "options": [{ "name": "o", "choices": [choice] }] });
        assert_eq!(of_option(&group), kept);
    }
}
