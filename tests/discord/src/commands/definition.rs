//! A command's definition: what a bot may register, checked field by field as Discord does.
//!
//! From: JSON of POST, PUT and PATCH. For: the store of commands. What is accepted is kept as Discord gives it back, with
//! defaults filled in and unknown fields forgotten. Source: Discord, `developers/interactions/application-commands.mdx`
//! "Application Command Object". Deliberately absent: options' choices (`commands/choices.rs`), entry point commands.

use serde_json::{Value, json};

use super::typed::typed;
use super::{choices, fields};
use crate::form_errors::{FormErrors, Object, present};

/// The kind of slash commands.
pub const CHAT_INPUT: u8 = 1;
/// Options of a command, or of one of its groups.
pub const MOST_OPTIONS: usize = 25;
/// Characters of all names, descriptions and values of a command.
const LARGEST: usize = 8000;
/// Bytes of JSON of a command; more than those characters in a few languages take.
const LARGEST_JSON: usize = 64 * 1024;

/// SUB_COMMAND as an option's type.
pub const SUB_COMMAND: i64 = 1;
/// SUB_COMMAND_GROUP as an option's type.
pub const SUB_COMMAND_GROUP: i64 = 2;
/// All types of options.
const OPTION_TYPES: [i64; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// Languages that Discord has.
const LOCALES: [&str; 33] = [
    "id", "da", "de", "en-GB", "en-US", "es-ES", "es-419", "fr", "hr", "it", "lt", "hu", "nl", "no", "pl",
    "pt-BR", "ro", "fi", "sv-SE", "vi", "tr", "cs", "el", "bg", "ru", "uk", "hi", "th", "zh-CN", "ja",
    "zh-TW", "ko", "ar",
];

/// A definition that was found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// 1 slash command, 2 of a user's menu, 3 of a message's menu.
    pub kind: u8,
    /// 1 to 32 characters.
    pub name: String,
    /// Everything that Discord would give back, but the ids.
    pub members: Object,
}

impl Definition {
    /// Whether it is a slash command that a user can send off as it is.
    pub fn is_simple(&self) -> bool {
        let options = self.members.get("options").and_then(Value::as_array);
        let asks = |option: &Value| {
            option["required"] == true
                || option["type"].as_i64().is_some_and(|kind| kind <= SUB_COMMAND_GROUP)
        };
        self.kind == CHAT_INPUT && !options.is_some_and(|options| options.iter().any(asks))
    }
}

/// Reads one command.
pub fn read(value: &Value) -> Result<Definition, FormErrors> {
    let mut errors = FormErrors::default();
    let definition = check(&mut errors, value);
    errors.result(())?;
    // Without a definition there was an error.
    definition.ok_or_else(|| {
        FormErrors::of("", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    })
}

/// Reads a list of commands, whose names must differ within a kind.
pub fn read_all(values: &[Value]) -> Result<Vec<Definition>, FormErrors> {
    let mut errors = FormErrors::default();
    let mut definitions: Vec<Definition> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        errors.within(index, |errors| {
            let Some(definition) = check(errors, value) else { return };
            let is_known =
                |known: &Definition| (known.kind, &known.name) == (definition.kind, &definition.name);
            if definitions.iter().any(is_known) {
                let message = "Application command names must be unique";
                errors.add("", "APPLICATION_COMMANDS_DUPLICATE_NAME", message);
            }
            definitions.push(definition);
        });
    }
    errors.result(definitions)
}

/// Reads a change of a command: what is left out stays.
pub fn read_change(known: &Definition, change: &Value) -> Result<Definition, FormErrors> {
    let mut errors = FormErrors::default();
    let Some(change) = errors.object(change) else { return Err(errors) };
    let mut whole = known.members.clone();
    for (key, value) in change.iter().filter(|(key, _)| key.as_str() != "type") {
        whole.insert(key.clone(), value.clone());
    }
    read(&Value::Object(whole))
}

fn check(errors: &mut FormErrors, value: &Value) -> Option<Definition> {
    let value = typed(value);
    let of = errors.object(&value)?;
    let kind = errors.integer(of, "type").unwrap_or(i64::from(CHAT_INPUT));
    errors.choice("type", kind, &[1, 2, 3]);
    let (is_slash, is_menu) = (kind == i64::from(CHAT_INPUT), matches!(kind, 2 | 3));
    errors.required(of, "name");
    let name = errors.text(of, "name").unwrap_or_default();
    if present(of, "name").is_some() {
        check_name(errors, "name", name, is_slash);
    }
    let description = errors.text(of, "description").unwrap_or_default();
    if is_slash {
        if errors.required(of, "description").is_some() {
            errors.length("description", description, 1..=100);
        }
    } else if is_menu && !description.is_empty() {
        let message = "Context menu commands cannot have description";
        errors.add("description", "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_NOT_ALLOWED", message);
    }
    check_translations(errors, of, is_slash);
    let options = errors.list(of, "options", MOST_OPTIONS).unwrap_or_default();
    if is_menu && !options.is_empty() {
        let message = "Context menu commands cannot have options";
        errors.add("options", "APPLICATION_COMMAND_CONTEXT_MENU_OPTIONS_NOT_ALLOWED", message);
    }
    errors.within("options", |errors| check_options(errors, options, &[SUB_COMMAND, SUB_COMMAND_GROUP]));
    for flag in ["nsfw", "dm_permission", "default_permission"] {
        errors.boolean(of, flag);
    }
    check_numbers(errors, of, "integration_types", &[0, 1]);
    check_numbers(errors, of, "contexts", &[0, 1, 2]);
    let permissions = check_permissions(errors, of);
    if size(of) > LARGEST {
        errors.add("", "APPLICATION_COMMAND_TOO_LARGE", format!("Command exceeds maximum size ({LARGEST})"));
    }
    let members = members(of, (kind, name, description), options, permissions.as_deref());
    if serde_json::to_string(&members).map_or(true, |json| json.len() > LARGEST_JSON) {
        errors.add(
            "",
            "APPLICATION_COMMAND_TOO_LARGE",
            format!("Command exceeds maximum size ({LARGEST_JSON})"),
        );
    }
    Some(Definition { kind: u8::try_from(kind).unwrap_or_default(), name: name.to_owned(), members })
}

/// The members as Discord gives them back.
fn members(
    of: &Object,
    (kind, name, description): (i64, &str, &str),
    options: &[Value],
    permissions: Option<&str>,
) -> Object {
    let or = |field: &str, other: Value| present(of, field).cloned().unwrap_or(other);
    let mut members = Object::new();
    members.insert("type".into(), json!(kind));
    members.insert("name".into(), json!(name));
    members.insert("description".into(), json!(description));
    members.insert("name_localizations".into(), or("name_localizations", Value::Null));
    members.insert("description_localizations".into(), or("description_localizations", Value::Null));
    members.insert("default_member_permissions".into(), json!(permissions));
    members.insert("nsfw".into(), or("nsfw", json!(false)));
    members.insert("dm_permission".into(), or("dm_permission", json!(true)));
    members.insert("contexts".into(), or("contexts", Value::Null));
    members.insert("integration_types".into(), or("integration_types", json!([0])));
    if !options.is_empty() {
        members.insert("options".into(), options.iter().map(fields::of_option).collect());
    }
    members
}

/// `^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$` in lower case for slash commands and options; any 1 to 32 else.
fn check_name(errors: &mut FormErrors, field: &str, name: &str, is_slash: bool) {
    errors.length(field, name, 1..=32);
    // Scripts that write with combining marks: these two blocks are the ones that Discord names.
    let is_marked = |c: char| matches!(c, '\u{900}'..='\u{97F}' | '\u{E00}'..='\u{E7F}');
    let is_fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '\'') || is_marked(c);
    let is_lower = |c: char| c.to_lowercase().eq([c]);
    if is_slash && !name.is_empty() && !name.chars().all(|c| is_fine(c) && is_lower(c)) {
        errors.add(field, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
    }
}

fn check_translations(errors: &mut FormErrors, of: &Object, is_slash: bool) {
    translations(errors, of, |errors, locale, name| check_name(errors, locale, name, is_slash));
}

/// Checks translations; those of a name as it says.
pub(super) fn translations(
    errors: &mut FormErrors,
    of: &Object,
    check_name: impl Fn(&mut FormErrors, &str, &str),
) {
    for field in ["name_localizations", "description_localizations"] {
        let Some(translations) = present(of, field) else { continue };
        let Some(translations) = translations.as_object() else {
            errors.add(field, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType");
            continue;
        };
        for (locale, text) in translations {
            let Some(locale) = LOCALES.iter().find(|known| *known == locale) else {
                errors.add(field, "BASE_TYPE_CHOICES", "Keys must be locales that Discord has.");
                continue;
            };
            errors.within(field, |errors| {
                let Some(text) = text.as_str() else {
                    return errors.add(
                        locale,
                        "STRING_TYPE_CONVERT",
                        "Could not interpret the value as string.",
                    );
                };
                if field == "name_localizations" {
                    check_name(errors, locale, text);
                } else {
                    errors.length(locale, text, 1..=100);
                }
            });
        }
    }
}

/// Options of a command, of a group (`nests`: subcommands only), or of a subcommand (`nests`: none).
fn check_options(errors: &mut FormErrors, options: &[Value], nests: &[i64]) {
    let mut names: Vec<&str> = Vec::new();
    let mut was_optional = false;
    for (index, option) in options.iter().enumerate() {
        errors.within(index, |errors| {
            let Some(of) = errors.object(option) else { return };
            let kind = check_option(errors, of, nests);
            let name = present(of, "name").and_then(Value::as_str).unwrap_or_default();
            if names.contains(&name) {
                errors.add(
                    "name",
                    "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_USED",
                    "Option name is already used",
                );
            }
            names.push(name);
            let is_required = present(of, "required").and_then(Value::as_bool).unwrap_or_default();
            if is_required && was_optional {
                let message = "Required options must be placed before non-required options";
                errors.add("", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message);
            }
            was_optional |= !is_required && kind.is_some_and(|kind| kind > SUB_COMMAND_GROUP);
        });
    }
    let is_nested = |option: &Value| option["type"].as_i64().is_some_and(|kind| kind <= SUB_COMMAND_GROUP);
    let nested = options.iter().filter(|option| option.is_object() && is_nested(option)).count();
    if nested > 0 && nested < options.len() {
        let message =
            "Sub-command and sub-command group option types are mutually exclusive to all other types";
        errors.add("", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
    }
}

/// One option; its type.
fn check_option(errors: &mut FormErrors, of: &Object, nests: &[i64]) -> Option<i64> {
    errors.required(of, "type");
    let kind = errors.integer(of, "type");
    if errors.required(of, "name").is_some() {
        let name = errors.text(of, "name").unwrap_or_default();
        check_name(errors, "name", name, true);
    }
    if errors.required(of, "description").is_some() {
        let description = errors.text(of, "description").unwrap_or_default();
        errors.length("description", description, 1..=100);
    }
    check_translations(errors, of, true);
    errors.boolean(of, "required");
    let kind = kind?;
    errors.choice("type", kind, &OPTION_TYPES);
    if kind <= SUB_COMMAND_GROUP && OPTION_TYPES.contains(&kind) && !nests.contains(&kind) {
        let message = "Sub-commands and groups cannot be nested here";
        errors.add("type", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
        return Some(kind);
    }
    let nested = errors.list(of, "options", MOST_OPTIONS).unwrap_or_default();
    match kind {
        SUB_COMMAND => errors.within("options", |errors| check_options(errors, nested, &[])),
        SUB_COMMAND_GROUP => errors.within("options", |errors| {
            check_options(errors, nested, &[SUB_COMMAND]);
            if nested.iter().any(|option| option["type"].as_i64() != Some(SUB_COMMAND)) {
                let message = "Groups can only have sub-commands";
                errors.add("", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
            }
        }),
        _ if !nested.is_empty() => {
            let message = "Only sub-commands and groups have options";
            errors.add("options", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
        }
        _ => {}
    }
    choices::check(errors, of, kind);
    Some(kind)
}

fn check_numbers(errors: &mut FormErrors, of: &Object, field: &str, choices: &[i64]) {
    for (index, value) in errors.list(of, field, choices.len()).unwrap_or_default().iter().enumerate() {
        errors.within(field, |errors| match value.as_i64() {
            Some(number) => errors.choice(&index.to_string(), number, choices),
            None => errors.add(&index.to_string(), "NUMBER_TYPE_COERCE", "Value is not int."),
        });
    }
}

/// A set of permissions: digits as text, or a number.
fn check_permissions(errors: &mut FormErrors, of: &Object) -> Option<String> {
    let value = present(of, "default_member_permissions")?;
    let bits = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    if bits.is_none() {
        errors.add("default_member_permissions", "NUMBER_TYPE_COERCE", "Value is not int.");
    }
    bits.map(|bits| bits.to_string())
}

/// Characters that count towards the largest size: of each field the longest translation, and all that is nested.
fn size(of: &Object) -> usize {
    let length = |value: Option<&Value>| value.and_then(Value::as_str).map_or(0, |text| text.chars().count());
    let longest = |field: &str, translations: &str| {
        let translations = of.get(translations).and_then(Value::as_object);
        let translated = translations.into_iter().flatten().map(|(_, text)| length(Some(text))).max();
        length(of.get(field)).max(translated.unwrap_or_default())
    };
    let nested = ["options", "choices"].into_iter().filter_map(|list| of.get(list)?.as_array()).flatten();
    let nested: usize = nested.filter_map(Value::as_object).map(size).sum();
    longest("name", "name_localizations")
        + longest("description", "description_localizations")
        + length(of.get("value"))
        + nested
}

#[cfg(test)]
mod tests;
