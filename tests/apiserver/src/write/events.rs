//! Events in the words of both groups.
//!
//! From an event as `events.k8s.io` has it to one as it is kept, in the core group's words, and back; other kinds stay as they are.
//! Deliberately absent: series of the core group's older shape.

use crate::kinds::Kind;
use serde_json::Value;
use std::borrow::Cow;

/// The core group's name, the other's.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// As it is kept.
pub(crate) fn inward(kind: &Kind, mut object: Value) -> Value {
    if kind.is_event() && !kind.group.is_empty() {
        rename(&mut object, NAMES.map(|(core, other)| (other, core)));
        if object.get("reportingComponent").is_none() {
            object["reportingComponent"] = "".into();
        }
        if object.get("reportingInstance").is_none() {
            object["reportingInstance"] = "".into();
        }
    }
    object
}

/// As this kind's group has it.
pub(crate) fn outward<'a>(kind: &Kind, object: &'a Value) -> Cow<'a, Value> {
    if !kind.is_event() {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object["apiVersion"] = kind.api_version().into();
    if !kind.group.is_empty() {
        rename(&mut object, NAMES);
    }
    Cow::Owned(object)
}

fn rename(object: &mut Value, names: [(&str, &str); 7]) {
    let Some(fields) = object.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}
