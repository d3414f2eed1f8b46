//! The PodDisruptionBudget of a layout with duty: one pod at a time.
//!
//! One per layout, since one over two sets would count both and block drains for the length of a change.

use super::with_hash;
use crate::model::{Kind, Object};
use crate::names::Owner;
use serde_json::json;
use shard_contract::names::stateful_set;

/// `<bot>-<layout>`.
#[must_use]
pub fn disruption(owner: &Owner, layout: u32) -> Object {
    let name = stateful_set(&owner.name, layout);
    let mut body = owner.head(Kind::PodDisruptionBudget, &name, &owner.layout_labels(layout));
    body["spec"] = json!({
        "maxUnavailable": 1,
        // A pod that is not ready protects nothing: it may always be evicted.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": { "matchLabels": owner.selector(layout) },
    });
    with_hash(Kind::PodDisruptionBudget, name, body)
}
