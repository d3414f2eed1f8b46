//! Definitions of commands, right and wrong ones, by table.
//!
//! From: JSON as libraries send it. For: the promise that what is wrong is named by its place. Deliberately absent: HTTP.

use super::*;

fn option(kind: i64, name: &str) -> Value {
    json!({ "type": kind, "name": name, "description": "d" })
}

fn with_options(options: &Value) -> Value {
    json!({ "name": "n", "description": "d", "options": options })
}

/// The path of the first error and its code.
fn first_error(value: &Value) -> Option<(String, String)> {
    let tree = read(value).err()?.tree();
    let (mut place, mut path) = (&tree, Vec::new());
    while place.get("_errors").is_none() {
        let (key, next) = place.as_object().unwrap().iter().next().unwrap();
        path.push(key.clone());
        place = next;
    }
    Some((path.join("."), place["_errors"][0]["code"].as_str().unwrap().to_owned()))
}

#[test]
fn what_discord_takes_is_taken() {
    let group = json!({ "type": 2, "name": "g", "description": "d", "options": [
        { "type": 1, "name": "s", "description": "d", "options": [option(3, "text")] },
    ] });
    let table = [
        json!({ "name": "ping", "description": "Pings." }),
        json!({ "name": "ping", "description": "Pings.", "type": 1, "options": null }),
        json!({ "name": "High Five", "type": 2 }),
        json!({ "name": "Quote This", "type": 3, "description": "" }),
        json!({ "name": "größe-1_a'b", "description": "d" }),
        json!({ "name": "ทักทาย", "description": "d" }),
        json!({ "name": "नमस्ते", "description": "d" }),
        json!({ "name": "p", "description": "d", "default_member_permissions": "0", "contexts": [0, 1] }),
        json!({ "name": "p", "description": "d", "name_localizations": { "de": "ping" } }),
        with_options(&json!([group])),
        with_options(&json!([option(1, "a"), option(1, "b")])),
    ];
    for value in table {
        assert_eq!(first_error(&value), None, "{value}");
    }
}

#[test]
fn what_discord_refuses_is_refused_at_its_place() {
    let required = json!({ "type": 3, "name": "b", "description": "d", "required": true });
    let deep = json!([{ "type": 1, "name": "s", "description": "d", "options": [option(1, "t")] }]);
    let many: Vec<_> = (0..26).map(|number| option(3, &format!("o{number}"))).collect();
    let table = [
        (json!([]), "", "MODEL_TYPE_CONVERT"),
        (json!({ "description": "d" }), "name", "BASE_TYPE_REQUIRED"),
        (json!({ "name": "Ping", "description": "d" }), "name", "APPLICATION_COMMAND_INVALID_NAME"),
        (json!({ "name": "a b", "description": "d" }), "name", "APPLICATION_COMMAND_INVALID_NAME"),
        (json!({ "name": "", "description": "d" }), "name", "BASE_TYPE_BAD_LENGTH"),
        (json!({ "name": "n".repeat(33), "description": "d" }), "name", "BASE_TYPE_BAD_LENGTH"),
        (json!({ "name": "n" }), "description", "BASE_TYPE_REQUIRED"),
        (json!({ "name": "n", "description": "" }), "description", "BASE_TYPE_BAD_LENGTH"),
        (json!({ "name": "n", "description": "d".repeat(101) }), "description", "BASE_TYPE_BAD_LENGTH"),
        (json!({ "name": "n", "description": "d", "type": 9 }), "type", "BASE_TYPE_CHOICES"),
        (json!({ "name": "n", "description": "d", "nsfw": "no" }), "nsfw", "BOOLEAN_TYPE_CONVERT"),
        (
            json!({ "name": "n", "description": "d", "name_localizations": { "xx": "n" } }),
            "name_localizations",
            "BASE_TYPE_CHOICES",
        ),
        (
            json!({ "name": "n", "description": "d", "description_localizations": { "de": [1] } }),
            "description_localizations.de",
            "STRING_TYPE_CONVERT",
        ),
        (with_options(&json!(many)), "options", "BASE_TYPE_MAX_LENGTH"),
        (
            with_options(&json!([{ "type": 11, "name": "f", "description": "d", "file_types": [1] }])),
            "options.0.file_types.0",
            "STRING_TYPE_CONVERT",
        ),
        (
            with_options(&json!([{ "type": 7, "name": "c", "description": "d", "channel_types": [[]] }])),
            "options.0.channel_types.0",
            "NUMBER_TYPE_COERCE",
        ),
        (
            with_options(&json!([{ "type": 3, "name": "t", "description": "d", "choices": [
                { "name": "a", "value": "a", "name_localizations": { "de": 1 } },
            ] }])),
            "options.0.choices.0.name_localizations.de",
            "STRING_TYPE_CONVERT",
        ),
        (with_options(&json!({ "0": 1 })), "options", "LIST_TYPE_CONVERT"),
        (with_options(&json!(["x"])), "options.0", "MODEL_TYPE_CONVERT"),
        (with_options(&json!([option(12, "a")])), "options.0.type", "BASE_TYPE_CHOICES"),
        (with_options(&json!([option(3, "A")])), "options.0.name", "APPLICATION_COMMAND_INVALID_NAME"),
        (
            with_options(&json!([option(3, "a"), option(3, "a")])),
            "options.1.name",
            "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_USED",
        ),
        (
            with_options(&json!([option(3, "a"), required])),
            "options.1",
            "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
        (
            with_options(&json!([option(1, "a"), option(3, "b")])),
            "options",
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
        ),
        (with_options(&deep), "options.0.options.0.type", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"),
    ];
    for (value, path, code) in table {
        assert_eq!(first_error(&value), Some((path.to_owned(), code.to_owned())), "{value}");
    }
}

#[test]
fn a_command_may_not_be_larger_than_8000_characters_or_64_kib_in_all_languages() {
    let options: Vec<_> = (0..25)
        .map(|number| {
            let choices: Vec<_> =
                (0..4).map(|i| json!({ "name": format!("{i}"), "value": "v".repeat(100) })).collect();
            json!({ "type": 3, "name": format!("o{number}"), "description": "d", "choices": choices })
        })
        .collect();
    let (path, code) = first_error(&with_options(&json!(options))).unwrap();
    assert_eq!((path.as_str(), code.as_str()), ("", "APPLICATION_COMMAND_TOO_LARGE"));
    let translated: Object =
        LOCALES.iter().map(|locale| ((*locale).to_owned(), json!("d".repeat(100)))).collect();
    let options: Vec<_> = (0..20)
        .map(|number| {
            let name = format!("o{number}");
            json!({ "type": 3, "name": name, "description": "d", "description_localizations": translated })
        })
        .collect();
    assert_eq!(first_error(&with_options(&json!(options))).unwrap().1, "APPLICATION_COMMAND_TOO_LARGE");
    assert_eq!(first_error(&with_options(&json!(options[..10]))), None);
}

#[test]
fn names_of_a_list_must_differ_within_a_kind() {
    let slash = json!({ "name": "a", "description": "d" });
    let menu = json!({ "name": "a", "type": 2 });
    assert_eq!(read_all(&[slash.clone(), menu]).unwrap().len(), 2);
    let tree = read_all(&[slash.clone(), slash]).unwrap_err().tree();
    assert_eq!(tree["1"]["_errors"][0]["code"], "APPLICATION_COMMANDS_DUPLICATE_NAME");
}

#[test]
fn a_change_leaves_what_it_does_not_name() {
    let known = read(&json!({ "name": "a", "description": "d", "options": [option(3, "o")] })).unwrap();
    let changed = read_change(&known, &json!({ "description": "e" })).unwrap();
    assert_eq!((changed.members["description"].as_str(), changed.name.as_str()), (Some("e"), "a"));
    assert_eq!(changed.members["options"].as_array().unwrap().len(), 1);
    assert!(read_change(&known, &json!({ "name": "A" })).is_err());
    assert!(!read_change(&known, &json!({ "options": [] })).unwrap().members.contains_key("options"));
}

#[test]
fn unknown_fields_are_forgotten_and_defaults_are_said() {
    let read = read(&json!({ "name": "a", "description": "d", "guild_id": "1", "extra": 1 })).unwrap();
    assert!(!read.members.contains_key("extra") && !read.members.contains_key("guild_id"));
    assert_eq!(
        (&read.members["nsfw"], &read.members["default_member_permissions"]),
        (&json!(false), &Value::Null)
    );
}
