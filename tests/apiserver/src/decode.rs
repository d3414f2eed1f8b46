//! From JSON to an object of a kind, as the real server's decoders read it.
//!
//! Built-in kinds: unknown fields are told and dropped, null and empty values vanish, and what the real types always write is
//! written. Custom kinds: unknown fields are told and pruned where the schema does not keep them. Deliberately absent:
//! defaults that depend on other fields.

use crate::kinds::Kind;
use crate::schema::{Schema, Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// An object, and the fields that nobody knows.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) unknown: Vec<String>,
}

/// Numbers and truths that the real types leave out when they are zero. Others are pointers, where zero is a value.
const VANISH: [&str; 26] = [
    "automountReadOnly",
    "count",
    "currentReplicas",
    "deprecatedCount",
    "failureThreshold",
    "healthCheckNodePort",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "observedGeneration",
    "periodSeconds",
    "publishNotReadyAddresses",
    "readOnly",
    "readyReplicas",
    "stdin",
    "stdinOnce",
    "successThreshold",
    "timeoutSeconds",
    "tty",
    "unschedulable",
    "updatedReplicas",
    "authenticated",
];

/// Times and a few others that the real types write as null when there are none.
const NULLS: [(&str, &[&str]); 7] = [
    ("TokenRequestSpec", &["boundObjectRef"]),
    ("PodCondition", &["lastProbeTime", "lastTransitionTime"]),
    ("NodeCondition", &["lastHeartbeatTime", "lastTransitionTime"]),
    ("StatefulSetCondition", &["lastTransitionTime"]),
    ("ContainerStateRunning", &["startedAt"]),
    ("ContainerStateTerminated", &["startedAt", "finishedAt"]),
    // Of both groups.
    (
        "Event",
        &[
            "firstTimestamp",
            "lastTimestamp",
            "deprecatedFirstTimestamp",
            "deprecatedLastTimestamp",
            "eventTime",
        ],
    ),
];

/// Reads an object.
///
/// # Errors
/// In the words of the real decoder.
pub(crate) fn decode(kind: &Kind, value: &Value) -> Result<Decoded, String> {
    let mut unknown = Vec::new();
    let value = if kind.traits.is_custom {
        custom(kind, value, &mut unknown)?
    } else {
        let mut reader = Reader { unknown: &mut unknown };
        reader.object(&kind.schema, value, "", "")?
    };
    let mut value = value;
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.kind.as_str().into();
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    Ok(Decoded { value, unknown })
}

/// The object that has nothing said of it, before it is made.
pub(crate) fn zero(kind: &Kind) -> Value {
    if kind.traits.is_custom { json!({ "metadata": {} }) } else { empty(&kind.schema) }
}

fn empty(schema: &Schema) -> Value {
    let mut object = Map::new();
    fill(schema, &mut object);
    Value::Object(object)
}

/// What the real types always write.
fn fill(schema: &Schema, object: &mut Map<String, Value>) {
    for (name, field) in &schema.properties {
        if object.contains_key(name) {
            continue;
        }
        let nulls = NULLS.iter().find(|(go, _)| *go == schema.go).map_or(&[][..], |(_, fields)| fields);
        match &field.default {
            Some(Value::Object(_)) => {
                object.insert(name.clone(), empty(field));
            }
            Some(default) => {
                object.insert(name.clone(), default.clone());
            }
            None if field.kind == Type::List && schema.required.contains(name) => {
                object.insert(name.clone(), Value::Null);
            }
            None if nulls.contains(&name.as_str()) => {
                object.insert(name.clone(), Value::Null);
            }
            None => {}
        }
    }
}

struct Reader<'a> {
    unknown: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// `path` as in messages about unknown fields, with places in lists; `plain` without.
    fn object(&mut self, schema: &Schema, value: &Value, path: &str, plain: &str) -> Result<Value, String> {
        let Some(fields) = value.as_object() else {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type v1.{}",
                sort(value),
                schema.go
            ));
        };
        let mut object = Map::new();
        for (name, value) in fields {
            let path = joined(path, name);
            let Some(field) = schema.properties.get(name) else {
                self.unknown.push(path);
                continue;
            };
            let value = self.value(field, value, &path, &joined(plain, name), &schema.go)?;
            if let Some(value) = value.filter(|value| !vanishes(name, field, value)) {
                object.insert(name.clone(), value);
            }
        }
        fill(schema, &mut object);
        Ok(Value::Object(object))
    }

    fn value(
        &mut self,
        schema: &Schema,
        value: &Value,
        path: &str,
        plain: &str,
        owner: &str,
    ) -> Result<Option<Value>, String> {
        let wrong = |schema: &Schema| {
            let found = sort(value);
            Err(format!(
                "json: cannot unmarshal {found} into Go struct field {owner}.{plain} of type {}",
                go_type(schema)
            ))
        };
        Ok(Some(match (schema.kind, value) {
            (_, Value::Null) => return Ok(None),
            (Type::Any, value) => value.clone(),
            (Type::Object, Value::Object(entries)) if schema.is_map() => {
                let mut map = Map::new();
                for (name, value) in entries {
                    let path = joined(path, name);
                    let value =
                        self.value(schema.field(name).unwrap_or(schema), value, &path, plain, owner)?;
                    // An empty text is kept in a map.
                    map.insert(name.clone(), value.unwrap_or_else(|| "".into()));
                }
                Value::Object(map)
            }
            (Type::Object, Value::Object(_)) => self.object(schema, value, path, plain)?,
            (Type::List, Value::Array(items)) => {
                let mut list = Vec::new();
                for (place, item) in items.iter().enumerate() {
                    list.extend(self.value(
                        schema.item(),
                        item,
                        &format!("{path}[{place}]"),
                        plain,
                        owner,
                    )?);
                }
                Value::Array(list)
            }
            (Type::Text, Value::String(text)) if schema.format == "byte" => bytes(text)?,
            (Type::Text, Value::String(text)) if schema.format == "date-time" => time(schema, text)?,
            (Type::Quantity, Value::Number(number)) => number.to_string().into(),
            (Type::Text | Type::Quantity | Type::IntOrText, Value::String(_))
            | (Type::Bool, Value::Bool(_))
            | (Type::Number, Value::Number(_)) => value.clone(),
            (Type::Integer | Type::IntOrText, Value::Number(number))
                if number.is_i64() || number.is_u64() =>
            {
                value.clone()
            }
            _ => return wrong(schema),
        }))
    }
}

fn vanishes(name: &str, schema: &Schema, value: &Value) -> bool {
    if schema.default.is_some() {
        return false;
    }
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty() && schema.is_map(),
        Value::Bool(false) => VANISH.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && VANISH.contains(&name),
        Value::Bool(true) | Value::Null => false,
    }
}

fn bytes(text: &str) -> Result<Value, String> {
    if STANDARD.decode(text).is_ok() {
        return Ok(text.into());
    }
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let at = text.bytes().position(|byte| !good(&byte)).unwrap_or(text.len() / 4 * 4);
    Err(format!("illegal base64 data at input byte {at}"))
}

fn time(schema: &Schema, text: &str) -> Result<Value, String> {
    let Ok(time) = text.parse::<jiff::Timestamp>() else {
        return Err(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
        ));
    };
    Ok(if schema.go == "MicroTime" {
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&time).into()
    } else {
        crate::clock::stamp(time).into()
    })
}

fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_type(schema: &Schema) -> String {
    match schema.kind {
        Type::Text if schema.format == "byte" => "[]uint8".to_owned(),
        Type::Integer => schema.format.clone(),
        Type::Bool => "bool".to_owned(),
        Type::List => format!("[]{}", go_type(schema.item())),
        Type::Object if schema.is_map() => {
            format!("map[string]{}", schema.additional.as_deref().map_or_else(String::new, go_type))
        }
        Type::Object => format!("v1.{}", schema.go),
        _ => "string".to_owned(),
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn custom(kind: &Kind, value: &Value, unknown: &mut Vec<String>) -> Result<Value, String> {
    let mut value = value.clone();
    if !value.is_object() {
        return Err("json: cannot unmarshal array into Go value of type map[string]interface {}".to_owned());
    }
    if let (Some(schema), Some(metadata)) = (kind.schema.field("metadata"), value.get("metadata")) {
        let mut reader = Reader { unknown };
        let metadata = reader.object(schema, metadata, "metadata", "metadata")?;
        value["metadata"] = metadata;
    }
    for (name, schema) in kind.schema.properties.iter().filter(|(name, _)| *name != "metadata") {
        if let Some(value) = value.get_mut(name) {
            prune(schema, value, name, unknown);
        }
    }
    let Value::Object(fields) = &mut value else { return Ok(value) };
    fields.retain(|name, _| {
        let is_known = kind.schema.properties.contains_key(name);
        if !is_known {
            unknown.push(name.clone());
        }
        is_known
    });
    Ok(value)
}

/// Takes out what the schema does not know, and null where null may not be.
fn prune(schema: &Schema, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let is_known = schema.field(name).is_some();
                if !is_known {
                    unknown.push(joined(path, name));
                }
                let may_be_null = schema.properties.get(name).is_none_or(|field| field.may_be_null);
                is_known && (may_be_null || !value.is_null())
            });
            for (name, value) in fields {
                if let Some(field) = schema.field(name) {
                    prune(field, value, &joined(path, name), unknown);
                }
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter_mut().enumerate() {
                prune(schema.item(), item, &format!("{path}[{place}]"), unknown);
            }
        }
        _ => {}
    }
}
