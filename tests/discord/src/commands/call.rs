//! A user's use of a slash command: the typed options, checked against the definition, as an interaction's `data` has them.
//!
//! From: `POST /control/interactions`. For: INTERACTION_CREATE. Options are an object of names and values, for
//! `/group sub` with the words in the command's name; what a real client would not let a user send is refused.
//! Deliberately absent: attachments as options, autocomplete.

use serde_json::{Value, json};

use super::Command;
use super::choices::{INTEGER, NUMBER, STRING, fits};
use super::definition::{CHAT_INPUT, SUB_COMMAND_GROUP};
use crate::form_errors::Object;
use crate::snowflake::Snowflake;

const BOOLEAN: i64 = 5;
const USER: i64 = 6;
const CHANNEL: i64 = 7;
const ROLE: i64 = 8;
const MENTIONABLE: i64 = 9;

/// What of the world a use names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Users.
    pub users: Vec<Snowflake>,
    /// Channels.
    pub channels: Vec<Snowflake>,
    /// Roles.
    pub roles: Vec<Snowflake>,
}

/// The `options` of an interaction's `data` and what they name, or what is wrong.
pub fn options(command: &Command, words: &[&str], values: &Object) -> Result<(Vec<Value>, Named), String> {
    let definition = &command.definition;
    if definition.kind != CHAT_INPUT {
        return Err(format!(
            "command: {} is a menu's; only slash commands can be used here",
            definition.name
        ));
    }
    let mut named = Named::default();
    let options = level(&Value::Object(definition.members.clone()), words, values, &mut named)?;
    Ok((options, named))
}

/// Options of the command, a group or a subcommand, with the words that are left.
fn level(of: &Value, words: &[&str], values: &Object, named: &mut Named) -> Result<Vec<Value>, String> {
    let none = Vec::new();
    let options = of["options"].as_array().unwrap_or(&none);
    let is_nested = options.first().is_some_and(|option| kind(option) <= SUB_COMMAND_GROUP);
    let known = || options.iter().map(name).collect::<Vec<_>>().join(", ");
    match (is_nested, words) {
        (true, []) => Err(format!("command: {} has subcommands; add one of {}", name(of), known())),
        (true, [word, rest @ ..]) => {
            let sub = options.iter().find(|option| name(option) == *word);
            let sub = sub.ok_or_else(|| format!("command: found {word}; use one of {}", known()))?;
            let nested = level(sub, rest, values, named)?;
            Ok(vec![json!({ "name": name(sub), "type": kind(sub), "options": nested })])
        }
        (false, [word, ..]) => Err(format!("command: {} has no subcommand {word}; leave it out", name(of))),
        (false, []) => leaves(options, values, named),
    }
}

fn leaves(options: &[Value], values: &Object, named: &mut Named) -> Result<Vec<Value>, String> {
    if let Some(unknown) = values.keys().find(|key| options.iter().all(|option| name(option) != key.as_str()))
    {
        let known: Vec<_> = options.iter().map(name).collect();
        return Err(format!("options: found {unknown}; the command has [{}]", known.join(", ")));
    }
    let mut leaves = Vec::new();
    for option in options {
        match values.get(name(option)) {
            Some(value) => {
                let value = checked(option, value, named)
                    .map_err(|wanted| format!("options.{}: found {value}; use {wanted}", name(option)))?;
                leaves.push(json!({ "name": name(option), "type": kind(option), "value": value }));
            }
            None if option["required"] == true => {
                return Err(format!("options.{}: found none; the command requires it", name(option)));
            }
            None => {}
        }
    }
    Ok(leaves)
}

/// The value as Discord sends it, or what it would have to be.
fn checked(option: &Value, value: &Value, named: &mut Named) -> Result<Value, String> {
    let kind = kind(option);
    match kind {
        STRING | INTEGER | NUMBER => {
            if !fits(kind, value) {
                return Err(["a text", "a whole number", "a number"][match kind {
                    STRING => 0,
                    INTEGER => 1,
                    _ => 2,
                }]
                .to_owned());
            }
            in_bounds(option, value)?;
            Ok(value.clone())
        }
        BOOLEAN if value.is_boolean() => Ok(value.clone()),
        BOOLEAN => Err("true or false".to_owned()),
        USER | CHANNEL | ROLE | MENTIONABLE => {
            let id: Snowflake =
                serde_json::from_value(value.clone()).map_err(|_| "a snowflake".to_owned())?;
            match kind {
                CHANNEL => named.channels.push(id),
                ROLE => named.roles.push(id),
                _ => named.users.push(id),
            }
            Ok(json!(id))
        }
        _ => Err("another option: attachments are not simulated".to_owned()),
    }
}

fn in_bounds(option: &Value, value: &Value) -> Result<(), String> {
    let choices = option["choices"].as_array().filter(|choices| !choices.is_empty());
    if let Some(choices) = choices
        && choices.iter().all(|choice| choice["value"] != *value)
    {
        let values: Vec<_> = choices.iter().map(|choice| choice["value"].to_string()).collect();
        return Err(format!("one of {}", values.join(", ")));
    }
    let length = value.as_str().and_then(|text| u32::try_from(text.chars().count()).ok()).map(f64::from);
    let bounds = [(value.as_f64(), "min_value", "max_value"), (length, "min_length", "max_length")];
    for (size, least, most) in bounds {
        let Some(size) = size else { continue };
        if option[least].as_f64().is_some_and(|least| size < least) {
            return Err(format!("{least} {}", option[least]));
        }
        if option[most].as_f64().is_some_and(|most| size > most) {
            return Err(format!("{most} {}", option[most]));
        }
    }
    Ok(())
}

fn name(of: &Value) -> &str {
    of["name"].as_str().unwrap_or_default()
}

fn kind(option: &Value) -> i64 {
    option["type"].as_i64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::definition;

    fn command(value: &Value) -> Command {
        let definition = definition::read(value).unwrap();
        Command { id: Snowflake(1), version: Snowflake(1), definition }
    }

    fn fib() -> Command {
        command(&json!({ "name": "fib", "description": "d", "options": [
            { "type": 4, "name": "n", "description": "d", "required": true, "min_value": 0, "max_value": 9 },
            { "type": 3, "name": "how", "description": "d", "choices": [{ "name": "Fast", "value": "fast" }] },
            { "type": 6, "name": "for", "description": "d" },
        ] }))
    }

    fn of(command: &Command, words: &[&str], values: &Value) -> Result<(Vec<Value>, Named), String> {
        options(command, words, values.as_object().unwrap())
    }

    #[test]
    fn options_stand_in_the_commands_order_with_their_types() {
        let (options, named) = of(&fib(), &[], &json!({ "for": "7", "n": 5 })).unwrap();
        let expected = [
            json!({ "name": "n", "type": 4, "value": 5 }),
            json!({ "name": "for", "type": 6, "value": "7" }),
        ];
        assert_eq!((options.as_slice(), named.users), (&expected[..], vec![Snowflake(7)]));
    }

    #[test]
    fn what_a_client_would_not_let_a_user_send_is_refused_with_the_remedy() {
        let table = [
            (json!({}), "options.n: found none"),
            (json!({ "n": "5" }), "use a whole number"),
            (json!({ "n": 10 }), "use max_value 9"),
            (json!({ "n": -1 }), "use min_value 0"),
            (json!({ "n": 1, "how": "slow" }), "use one of \"fast\""),
            (json!({ "n": 1, "m": 1 }), "found m; the command has [n, how, for]"),
            (json!({ "n": 1, "for": "x" }), "use a snowflake"),
        ];
        for (values, expected) in table {
            let error = of(&fib(), &[], &values).unwrap_err();
            assert!(error.contains(expected), "{values}: {error}");
        }
    }

    #[test]
    fn words_lead_to_the_subcommand() {
        let command = command(&json!({ "name": "role", "description": "d", "options": [
            { "type": 2, "name": "user", "description": "d", "options": [
                { "type": 1, "name": "get", "description": "d", "options": [{ "type": 5, "name": "all", "description": "d" }] },
            ] },
        ] }));
        let (options, _) = of(&command, &["user", "get"], &json!({ "all": true })).unwrap();
        assert_eq!(
            options[0]["options"][0]["options"][0],
            json!({ "name": "all", "type": 5, "value": true })
        );
        for (words, expected) in [
            (&[][..], "add one of user"),
            (&["user", "set"][..], "use one of get"),
            (&["user", "get", "more"][..], "no subcommand more"),
        ] {
            assert!(of(&command, words, &json!({})).unwrap_err().contains(expected), "{words:?}");
        }
    }
}
