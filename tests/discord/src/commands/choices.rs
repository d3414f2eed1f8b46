//! Choices and bounds of a command's option: what its type allows and what a bot may offer.
//!
//! From: one option's JSON. For: `commands/definition.rs`. Source: Discord,
//! `developers/interactions/application-commands.mdx` "Application Command Option Structure".
//! Deliberately absent: the check of a user's value against them (`commands/call.rs`).

use serde_json::Value;

use super::definition;
use crate::form_errors::{FormErrors, Object, present};

/// STRING as an option's type.
pub const STRING: i64 = 3;
/// INTEGER as an option's type.
pub const INTEGER: i64 = 4;
/// NUMBER as an option's type.
pub const NUMBER: i64 = 10;
/// CHANNEL as an option's type.
const CHANNEL: i64 = 7;

/// Choices of an option.
const MOST_CHOICES: usize = 25;
/// Types of files, or of channels, that an option may name.
const MOST_TYPES: usize = 25;
/// The longest text that a STRING may have.
const LONGEST_TEXT: i64 = 6000;

/// Checks everything of an option that depends on its type.
pub fn check(errors: &mut FormErrors, of: &Object, kind: i64) {
    check_choices(errors, of, kind);
    let may_complete = matches!(kind, STRING | INTEGER | NUMBER);
    let completes = errors.boolean(of, "autocomplete").unwrap_or_default();
    let has_choices = present(of, "choices").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if completes && (!may_complete || has_choices) {
        let message = "Autocomplete may not be set to true if choices are present or the type has none";
        errors.add("autocomplete", "APPLICATION_COMMAND_AUTOCOMPLETE_INVALID", message);
    }
    for bound in ["min_value", "max_value"] {
        let Some(value) = present(of, bound) else { continue };
        if !matches!(kind, INTEGER | NUMBER) {
            wrong_type(errors, bound);
        } else if !fits(kind, value) {
            errors.add(bound, "NUMBER_TYPE_COERCE", "Value is not of the option's type.");
        }
    }
    for (bound, least) in [("min_length", 0), ("max_length", 1)] {
        let Some(length) = errors.integer(of, bound) else { continue };
        if kind != STRING {
            wrong_type(errors, bound);
        } else if !(least..=LONGEST_TEXT).contains(&length) {
            let message = format!("int value should be between {least} and {LONGEST_TEXT}.");
            errors.add(bound, "NUMBER_TYPE_RANGE", message);
        }
    }
    check_types(errors, of);
    if kind != CHANNEL && present(of, "channel_types").is_some_and(|list| list != &Value::Array(Vec::new())) {
        wrong_type(errors, "channel_types");
    }
}

/// Whether a value is one of an option of this type.
pub fn fits(kind: i64, value: &Value) -> bool {
    match kind {
        STRING => value.is_string(),
        INTEGER => value.is_i64() || value.is_u64(),
        NUMBER => value.is_number(),
        _ => false,
    }
}

fn check_types(errors: &mut FormErrors, of: &Object) {
    for (field, is_number) in [("channel_types", true), ("file_types", false)] {
        let types = errors.list(of, field, MOST_TYPES).unwrap_or_default();
        errors.within(field, |errors| {
            for (index, value) in types.iter().enumerate() {
                let index = index.to_string();
                match value.as_str() {
                    _ if is_number && value.is_i64() => {}
                    _ if is_number => errors.add(&index, "NUMBER_TYPE_COERCE", "Value is not int."),
                    Some(text) => errors.length(&index, text, 1..=100),
                    None => {
                        errors.add(&index, "STRING_TYPE_CONVERT", "Could not interpret the value as string.");
                    }
                }
            }
        });
    }
}

fn check_choices(errors: &mut FormErrors, of: &Object, kind: i64) {
    let Some(choices) = errors.list(of, "choices", MOST_CHOICES) else { return };
    if !choices.is_empty() && !matches!(kind, STRING | INTEGER | NUMBER) {
        wrong_type(errors, "choices");
        return;
    }
    let mut names: Vec<&str> = Vec::new();
    errors.within("choices", |errors| {
        for (index, choice) in choices.iter().enumerate() {
            errors.within(index, |errors| {
                let Some(choice) = errors.object(choice) else { return };
                if errors.required(choice, "name").is_some() {
                    let name = errors.text(choice, "name").unwrap_or_default();
                    errors.length("name", name, 1..=100);
                    if names.contains(&name) {
                        let message = "Option choice names must be unique";
                        errors.add("name", "APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_ALREADY_EXISTS", message);
                    }
                    names.push(name);
                }
                definition::translations(errors, choice, |errors, locale, name| {
                    errors.length(locale, name, 1..=100);
                });
                let Some(value) = errors.required(choice, "value") else { return };
                if !fits(kind, value) {
                    errors.add("value", "STRING_TYPE_CONVERT", "Value is not of the option's type.");
                } else if let Some(text) = value.as_str() {
                    errors.length("value", text, 1..=100);
                }
            });
        }
    });
}

fn wrong_type(errors: &mut FormErrors, field: &str) {
    errors.add(
        field,
        "APPLICATION_COMMAND_OPTIONS_FIELD_INVALID",
        "Options of this type do not have this field",
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_and_bounds_belong_to_their_types() {
        let table = [
            (3, json!({ "choices": [{ "name": "a", "value": "x" }] }), true),
            (4, json!({ "choices": [{ "name": "a", "value": 1 }], "min_value": 0, "max_value": 9 }), true),
            (10, json!({ "min_value": 0.5 }), true),
            (3, json!({ "min_length": 0, "max_length": 6000 }), true),
            (3, json!({ "autocomplete": true, "choices": [] }), true),
            (7, json!({ "channel_types": [0] }), true),
            (3, json!({ "choices": [{ "name": "a", "value": 1 }] }), false),
            (4, json!({ "choices": [{ "name": "a", "value": 1.5 }] }), false),
            (5, json!({ "choices": [{ "name": "a", "value": "x" }] }), false),
            (3, json!({ "choices": [{ "name": "", "value": "x" }] }), false),
            (3, json!({ "choices": [{ "name": "a", "value": "x" }, { "name": "a", "value": "y" }] }), false),
            (3, json!({ "choices": [{ "name": "a", "value": "x".repeat(101) }] }), false),
            (3, json!({ "choices": [{ "value": "x" }] }), false),
            (3, json!({ "autocomplete": true, "choices": [{ "name": "a", "value": "x" }] }), false),
            (5, json!({ "autocomplete": true }), false),
            (4, json!({ "min_value": 0.5 }), false),
            (3, json!({ "min_value": 1 }), false),
            (3, json!({ "max_length": 0 }), false),
            (3, json!({ "max_length": 6001 }), false),
            (4, json!({ "max_length": 5 }), false),
            (3, json!({ "channel_types": [0] }), false),
        ];
        for (kind, option, expected) in table {
            let mut errors = FormErrors::default();
            check(&mut errors, option.as_object().unwrap(), kind);
            assert_eq!(errors.result(()).is_ok(), expected, "{kind} {option}");
        }
    }
}
