//! Holds an object of a custom kind to its schema: types, bounds, choices, keys of lists, rules.
//!
//! From a defaulted object, and the one before it, to causes in the real server's words. Deliberately absent: patterns and formats
//! but `date-time`; the CRD has no others.

use crate::kinds::Kind;
use crate::schema::{Merged, Schema, Type};
use crate::status::Cause;
use serde_json::{Map, Value};

/// What is wrong with an object.
pub(crate) fn validate(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for name in &kind.schema.required {
        if object.get(name).is_none() {
            causes.push(Cause::required(name, ""));
        }
    }
    for (name, schema) in kind.schema.properties.iter().filter(|(name, _)| *name != "metadata") {
        if let Some(value) = object.get(name) {
            check(schema, value, name, &mut causes);
        }
    }
    scale(kind, object, &mut causes);
    let blocks = |cause: &Cause| {
        matches!(
            cause.reason,
            "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
                | "FieldValueDuplicate"
        )
    };
    if causes.iter().any(blocks) {
        causes.push(Cause::invalid(
            "<nil>",
            &Value::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to \
             complete validation",
        ));
    } else {
        rules(&kind.schema, object, old, "", &mut causes);
    }
    causes
}

fn check(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if schema.may_be_null && value.is_null() {
        return;
    }
    if !is_of_type(schema.kind, value) {
        let (wanted, found) = (name(schema.kind), sort(value));
        let why = format!("{path} in body must be of type {wanted}: \"{found}\"");
        let cause = Cause::invalid(path, &found.into(), &why);
        causes.push(Cause { reason: "FieldValueTypeInvalid", ..cause });
        return;
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, causes),
        Value::Array(items) => list(schema, items, path, causes),
        Value::String(text) => self::text(schema, text, path, causes),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(0);
            let mut wrong = |why: &str, bound: i64| {
                causes.push(Cause::invalid(
                    path,
                    value,
                    &format!("{path} in body should be {why} than or equal to {bound}"),
                ));
            };
            if let Some(bound) = schema.maximum.filter(|bound| number > *bound) {
                wrong("less", bound);
            }
            if let Some(bound) = schema.minimum.filter(|bound| number < *bound) {
                wrong("greater", bound);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(schema: &Schema, fields: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in &schema.required {
        if !fields.contains_key(name) {
            causes.push(Cause::required(format!("{path}.{name}"), ""));
        }
    }
    for (name, value) in fields {
        if let Some(field) = schema.field(name) {
            check(field, value, &format!("{path}.{name}"), causes);
        }
    }
}

fn list(schema: &Schema, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let length = items.len();
    if let Some(bound) = schema.max_items.filter(|bound| length > *bound) {
        let message = format!("Too many: {length}: must have at most {bound} items");
        causes.push(Cause::new("FieldValueTooMany", path, message));
    }
    if let Some(bound) = schema.min_items.filter(|bound| length < *bound) {
        causes.push(Cause::invalid(
            path,
            &length.into(),
            &format!("{path} in body should have at least {bound} items"),
        ));
    }
    for (place, item) in items.iter().enumerate() {
        check(schema.item(), item, &format!("{path}[{place}]"), causes);
    }
    let Merged::ByKeys(keys) = &schema.merged else { return };
    let keys_of = |item: &Value| -> Map<String, Value> {
        keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect()
    };
    for (place, item) in items.iter().enumerate() {
        let mine = keys_of(item);
        if !mine.is_empty() && items[..place].iter().any(|other| keys_of(other) == mine) {
            causes.push(Cause::duplicate(format!("{path}[{place}]"), &Value::Object(mine)));
        }
    }
}

fn text(schema: &Schema, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = Value::from(text);
    let length = text.chars().count();
    let before = causes.len();
    if let Some(bound) = schema.max_length.filter(|bound| length > *bound) {
        let message = format!("Too long: may not be more than {bound} bytes");
        causes.push(Cause::new("FieldValueTooLong", path, message));
    }
    if let Some(bound) = schema.min_length.filter(|bound| length < *bound) {
        causes.push(Cause::invalid(
            path,
            &value,
            &format!("{path} in body should be at least {bound} chars long"),
        ));
    }
    // Of a text of the wrong length the real server says no more.
    let pattern = schema.pattern.as_ref().filter(|pattern| causes.len() == before && !pattern.is_match(text));
    if let Some(pattern) = pattern {
        causes.push(Cause::invalid(path, &value, &format!("{path} in body should match '{pattern}'")));
    }
    if !schema.choices.is_empty() && !schema.choices.iter().any(|choice| choice == text) {
        let choices: Vec<_> = schema.choices.iter().map(String::as_str).collect();
        causes.push(Cause::unsupported(path, &value, &choices));
    }
    if schema.format == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
        let cause =
            Cause::invalid(path, &value, &format!("{path} in body must be of type date-time: {value}"));
        causes.push(Cause { reason: "FieldValueTypeInvalid", ..cause });
    }
}

/// The numbers that `scale` speaks of are looked at once more.
fn scale(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    for path in kind.scale.iter().flat_map(|scale| &scale.fields) {
        let value = path.split('.').try_fold(object, |value, name| value.get(name));
        let field = format!(".{path}");
        match value {
            Some(Value::Number(number)) if number.as_i64().is_some_and(|number| number < 0) => {
                let value = Value::Number(number.clone());
                causes.push(Cause::invalid(field, &value, "should be a non-negative integer"));
            }
            None | Some(Value::Number(_)) => {}
            Some(other) => {
                let told = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
                let why =
                    format!("{field} accessor error: {told} is of the type {}, expected int64", sort(other));
                causes.push(Cause::invalid(field, &0.into(), &why));
            }
        }
    }
}

fn rules(schema: &Schema, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    for rule in &schema.rules {
        if rule.is_transition && old.is_none() || (rule.check)(value, old.unwrap_or(&Value::Null)) {
            continue;
        }
        let field = format!("{path}{}", rule.field);
        let field =
            if field.is_empty() { "<nil>".to_owned() } else { field.trim_start_matches('.').to_owned() };
        causes.push(Cause::new("FieldValueInvalid", field, format!("Invalid value: {}", rule.message)));
    }
    for (name, schema) in &schema.properties {
        if let Some(value) = value.get(name) {
            let old = old.and_then(|old| old.get(name));
            rules(schema, value, old, &joined(path, name), causes);
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn is_of_type(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Object => value.is_object(),
        Type::List => value.is_array(),
        Type::Text => value.is_string(),
        Type::Integer => value.is_i64() || value.is_u64(),
        Type::Number => value.is_number(),
        Type::Bool => value.is_boolean(),
        Type::IntOrText | Type::Quantity => value.is_string() || value.is_i64() || value.is_u64(),
        Type::Any => true,
    }
}

fn name(kind: Type) -> &'static str {
    match kind {
        Type::Object => "object",
        Type::List => "array",
        Type::Text => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Bool => "boolean",
        Type::IntOrText | Type::Quantity => "integer,string",
        Type::Any => "",
    }
}

fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
