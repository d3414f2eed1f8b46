//! The objects of a bot, each built whole by a file of its own.
//!
//! From a checked spec and a layout to JSON as it is applied. JSON and not typed structs: a typed StatefulSet would drop
//! the fields of a newer Kubernetes from the user's template. Each body carries the hash of itself, by which a later
//! round sees that nothing is to be done. Deliberately absent: which of them should exist, which the plan decides.

pub mod config_map;
pub mod disruption;
pub mod records;
pub mod rights;
pub mod service;
pub mod stateful_set;

use crate::model::{Kind, Object};
use crate::names::{HASH_ANNOTATION, OURS};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stateful_set::is_bounded;
use std::fmt::Write;

/// Seals a body with its own hash.
#[must_use]
pub fn with_hash(kind: Kind, name: String, mut body: Value) -> Object {
    let hash = hash(&body);
    body["metadata"]["annotations"][HASH_ANNOTATION] = hash.into();
    Object { kind, name, body }
}

/// The first 16 hex digits of a JSON value's SHA-256; keys are sorted, so equal values have equal hashes.
#[must_use]
pub fn hash(value: &Value) -> String {
    Sha256::digest(value.to_string()).iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether an object stands as it should: it was applied as this, and every field that was applied is still so. Of a set the marks of
/// ours, the replicas and that no pod of it is replaced: whether the rest was edited is seen otherwise.
#[must_use]
pub fn stands(wanted: &Object, live: &Value) -> bool {
    let Object { kind: Kind::StatefulSet, body, .. } = wanted else {
        let of = |body: &Value| body["metadata"]["annotations"][HASH_ANNOTATION].clone();
        return of(&wanted.body) == of(live) && contains(live, &wanted.body);
    };
    let has_marks = |marks: &str| {
        let wanted = body["metadata"][marks].as_object().into_iter().flatten();
        let mut ours = wanted.filter(|(mark, _)| mark.starts_with(OURS));
        ours.all(|(mark, value)| live["metadata"][marks].get(mark) == Some(value))
    };
    is_bounded(live, &body["spec"]["replicas"]) && has_marks("labels") && has_marks("annotations")
}

/// Whether `live` has every field of `wanted`. Lists are compared item by item.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| live.get(key).is_some_and(|found| contains(found, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted))
        }
        _ => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_edit_by_hand_is_seen_and_a_default_of_the_api_server_is_not() {
        let wanted = with_hash(
            Kind::Role,
            "r".into(),
            json!({ "metadata": {}, "rules": [{ "verbs": ["get", "watch"] }] }),
        );
        let mut live = wanted.body.clone();
        live["metadata"]["uid"] = "filled in".into();
        assert!(stands(&wanted, &live));
        live["rules"][0]["verbs"] = json!(["get"]);
        assert!(!stands(&wanted, &live));
        live = wanted.body.clone();
        live["metadata"]["annotations"][HASH_ANNOTATION] = "another".into();
        assert!(!stands(&wanted, &live));
    }
}
