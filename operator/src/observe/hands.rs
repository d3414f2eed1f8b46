//! Whether other hands changed what a StatefulSet asks for.
//!
//! From managed fields, by which the API server says who wrote what, to one word. A write to a subresource is none: its controller
//! tells the status there, and replicas are compared by themselves. Managed fields may nest deeply, so they are not parsed further than
//! is looked at. Deliberately absent: what was changed.

use crate::model::Hand;
use crate::names::MANAGER;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The annotation of the template by which `kubectl rollout restart` and those who copied it (k9s, Lens) restart.
const RESTARTED_AT: &str = "f:kubectl.kubernetes.io/restartedAt";

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
    let others = metadata
        .managed_fields
        .iter()
        .filter(|entry| entry.manager != MANAGER && entry.subresource.is_empty());
    let specs = others.filter_map(|entry| entry.fields.as_ref()?.spec);
    let hands = specs.map(|spec| {
        if restarts(spec) {
            Hand::Rollout
        } else if has_template(spec) {
            Hand::Somebody
        } else {
            Hand::Beside
        }
    });
    hands.max()
}

/// Whether the template is among these fields of a spec, or what they are cannot be read.
fn has_template(spec: &RawValue) -> bool {
    let fields: Option<BTreeMap<&str, &RawValue>> = serde_json::from_str(spec.get()).ok();
    fields.is_none_or(|fields| fields.contains_key("f:template"))
}

/// Whether these fields of a spec are that annotation and nothing else.
fn restarts(spec: &RawValue) -> bool {
    let annotations = only(spec, "f:template")
        .and_then(|template| only(template, "f:metadata"))
        .and_then(|metadata| only(metadata, "f:annotations"));
    annotations.is_some_and(|annotations| only(annotations, RESTARTED_AT).is_some())
}

/// The field of this name, if there is no other. A dot stands for the object itself.
fn only<'a>(fields: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_str(fields.get()).ok()?;
    fields.remove(".");
    let found = fields.remove(name)?;
    fields.is_empty().then_some(found)
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
        let restart = r#""f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}"#;
        assert_eq!(set("kubectl-rollout", "", restart), Some(Hand::Rollout));
        assert_eq!(set("k9s", "", restart), Some(Hand::Rollout));
        let both = r#""f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:kubectl.kubernetes.io/restartedAt":{}}},"f:spec":{"f:nodeSelector":{}}}}"#;
        assert_eq!(set("k9s", "", both), Some(Hand::Somebody));
        assert_eq!(
            set("kubectl-edit", "", r#""f:spec":{"f:replicas":{},"f:updateStrategy":{}}"#),
            Some(Hand::Beside)
        );
        assert_eq!(set(MANAGER, "", of_template), None);
        assert_eq!(set("kubectl", "scale", r#""f:spec":{"f:replicas":{}}"#), None);
        assert_eq!(set("kube-controller-manager", "status", r#""f:status":{"f:replicas":{}}"#), None);
        assert_eq!(set("kubectl-label", "", r#""f:metadata":{"f:labels":{}}"#), None);
        assert_eq!(other_hand(r#"{"metadata":{}}"#), None);
        assert_eq!(other_hand("{"), Some(Hand::Somebody));
    }
}
