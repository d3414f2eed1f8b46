//! Whether other hands changed what a StatefulSet asks for.
//!
//! From managed fields, by which the API server says who wrote what, to one word. A write to a subresource is none: its controller
//! tells the status there, and replicas are compared by themselves. Managed fields may nest deeply, so they are not parsed further than
//! is looked at. Deliberately absent: what was changed.

use crate::model::Hand;
use crate::names::MANAGER;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The manager by which `kubectl rollout restart` writes.
const ROLLOUT: &str = "kubectl-rollout";

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    metadata: Managed<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Managed<'a> {
    #[serde(borrow, default)]
    managed_fields: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    subresource: String,
    #[serde(borrow, default, rename = "fieldsV1")]
    fields: Option<Fields<'a>>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, rename = "f:spec")]
    spec: Option<&'a RawValue>,
}

/// Who else wrote to the spec of a set, if somebody did; where that cannot be read, somebody.
#[must_use]
pub fn other_hand(text: &str) -> Option<Hand> {
    let Ok(Set { metadata }) = serde_json::from_str(text) else { return Some(Hand::Somebody) };
    let others = metadata.managed_fields.iter().filter(|entry| {
        let of_spec = entry.fields.as_ref().is_some_and(|fields| fields.spec.is_some());
        entry.manager != MANAGER && entry.subresource.is_empty() && of_spec
    });
    let hands = others.map(|entry| if entry.manager == ROLLOUT { Hand::Rollout } else { Hand::Somebody });
    hands.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_else_wrote_to_the_spec_is_told_and_what_its_controller_writes_is_not() {
        let set = |manager: &str, subresource: &str, fields: &str| {
            let entry =
                format!(r#"{{"manager":"{manager}","subresource":"{subresource}","fieldsV1":{{{fields}}}}}"#);
            other_hand(&format!(r#"{{"metadata":{{"managedFields":[{entry}]}},"spec":{{"template":{{}}}}}}"#))
        };
        let of_template = r#""f:spec":{"f:template":{"f:spec":{}}}"#;
        assert_eq!(set("kubectl-set", "", of_template), Some(Hand::Somebody));
        assert_eq!(set("kubectl-rollout", "", of_template), Some(Hand::Rollout));
        assert_eq!(set(MANAGER, "", of_template), None);
        assert_eq!(set("kubectl", "scale", r#""f:spec":{"f:replicas":{}}"#), None);
        assert_eq!(set("kube-controller-manager", "status", r#""f:status":{"f:replicas":{}}"#), None);
        assert_eq!(set("kubectl-label", "", r#""f:metadata":{"f:labels":{}}"#), None);
        assert_eq!(other_hand(r#"{"metadata":{}}"#), None);
        assert_eq!(other_hand("{"), Some(Hand::Somebody));
    }
}
