//! Refusals as the API server words them.
//!
//! From what is wrong to the `Status` object with code, reason, message and causes. Deliberately absent: who decides that
//! something is wrong.

use serde_json::{Map, Value, json};

/// A refusal. Some carry no reason, as the real ones do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal(pub(crate) Box<Value>);

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }

    /// What is missing.
    pub(crate) fn required(field: impl Into<String>, more: &str) -> Self {
        let message =
            if more.is_empty() { "Required value".to_owned() } else { format!("Required value: {more}") };
        Self::new("FieldValueRequired", field, message)
    }

    /// What has a value that it may not have.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {}: {why}", shown(value)))
    }

    /// What may not be said here.
    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {why}"))
    }

    /// What is none of a few.
    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, those: &[&str]) -> Self {
        let those: Vec<_> = those.iter().map(|one| format!("\"{one}\"")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), those.join(", "));
        Self::new("FieldValueNotSupported", field, message)
    }

    /// What is there twice.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)))
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    value.to_string()
}

/// A status with this code; `details` without its empty fields.
pub(crate) fn failure(
    code: u16,
    reason: &str,
    message: impl Into<String>,
    details: Option<Value>,
) -> Refusal {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message.into(), "code": code,
    });
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    if let Some(details) = details {
        status["details"] = details;
    }
    Refusal(Box::new(status))
}

pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
    failure(400, "BadRequest", message, None)
}

/// What the API server did not mean to happen.
pub(crate) fn internal(message: impl Into<String>) -> Refusal {
    failure(500, "", message, None)
}

/// A path that nobody serves.
pub(crate) fn no_such_path() -> Refusal {
    failure(404, "NotFound", "the server could not find the requested resource", Some(json!({})))
}

/// `shardedbots.shard-operator.dev`, or `pods`.
pub(crate) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

fn about(name: &str, group: &str, kind: &str) -> Map<String, Value> {
    let mut details = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.to_owned(), value.into());
        }
    }
    details
}

pub(crate) fn not_found(name: &str, group: &str, plural: &str) -> Refusal {
    let message = format!("{} \"{name}\" not found", qualified(plural, group));
    failure(404, "NotFound", message, Some(about(name, group, plural).into()))
}

pub(crate) fn already_exists(name: &str, group: &str, plural: &str) -> Refusal {
    let message = format!("{} \"{name}\" already exists", qualified(plural, group));
    failure(409, "AlreadyExists", message, Some(about(name, group, plural).into()))
}

pub(crate) fn forbidden(name: &str, group: &str, plural: &str, why: &str) -> Refusal {
    let message = format!("{} \"{name}\" is forbidden: {why}", qualified(plural, group));
    failure(403, "Forbidden", message, Some(about(name, group, plural).into()))
}

/// `kind` is the plural, but for preconditions, where it is the kind.
pub(crate) fn conflict(name: &str, group: &str, kind: &str, why: &str) -> Refusal {
    let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(kind, group));
    failure(409, "Conflict", message, Some(about(name, group, kind).into()))
}

/// A version that is no longer the newest.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

pub(crate) fn invalid(name: &str, group: &str, kind: &str, causes: &[Cause]) -> Refusal {
    let told: Vec<_> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    let told = if let [one] = &told[..] { one.clone() } else { format!("[{}]", told.join(", ")) };
    let mut details = about(name, group, kind);
    details.insert("causes".to_owned(), causes.iter().map(cause_object).collect());
    let message = format!("{} \"{name}\" is invalid: {told}", qualified(kind, group));
    failure(422, "Invalid", message, Some(details.into()))
}

fn cause_object(cause: &Cause) -> Value {
    json!({ "reason": cause.reason, "message": cause.message, "field": cause.field })
}

/// Options of a call that may not be.
pub(crate) fn invalid_options(kind: &str, cause: Cause) -> Refusal {
    invalid("", "meta.k8s.io", kind, &[cause])
}

/// An apply that would take fields from others: who, by which version, which fields.
pub(crate) fn apply_conflict(conflicts: &[(String, Vec<String>)]) -> Refusal {
    let count: usize = conflicts.iter().map(|(_, fields)| fields.len()).sum();
    let told: Vec<_> = conflicts
        .iter()
        .map(|(who, fields)| match &fields[..] {
            [field] => format!("conflict with {who}: {field}"),
            fields => format!("conflicts with {who}:\n- {}", fields.join("\n- ")),
        })
        .collect();
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{plural}: {}", told.join("\n"));
    let causes: Vec<_> = conflicts
        .iter()
        .flat_map(|(who, fields)| {
            fields.iter().map(move |field| {
                json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": field })
            })
        })
        .collect();
    failure(409, "Conflict", message, Some(json!({ "causes": causes })))
}

/// A version that is no longer kept.
pub(crate) fn expired(message: impl Into<String>) -> Refusal {
    failure(410, "Expired", message, None)
}

impl Refusal {
    pub(crate) fn code(&self) -> u16 {
        self.0["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(500)
    }
}

/// What a deletion answers when it leaves nothing.
pub(crate) fn deleted(name: &str, group: &str, plural: &str, uid: &str) -> Value {
    let mut details = about(name, group, plural);
    details.insert("uid".to_owned(), uid.into());
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
