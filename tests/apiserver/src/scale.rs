//! The scale of a StatefulSet.
//!
//! From a set to its Scale and from a changed Scale back to the set. Deliberately absent: the scale of ShardedBots, which no fleet
//! asks for, and replacements by PUT.

use crate::meta;
use crate::patch::{json_patch, merge_patch};
use crate::read::Sent;
use crate::server::{State, Stop};
use crate::status::{self, Cause, failure};
use crate::write::{Asked, Done, change, outward};
use serde_json::{Value, json};

/// GET.
pub(crate) fn get(state: &State, asked: &Asked) -> Result<Done, Stop> {
    let set = state.store.get(&asked.key(&asked.at.name)).ok_or_else(|| asked.missing())?;
    Ok(Done { code: 200, value: scale(set), warnings: Vec::new() })
}

/// PATCH.
pub(crate) fn patch(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    asked.query.check("PatchOptions")?;
    let live = state.store.get(&asked.key(&asked.at.name)).cloned().ok_or_else(|| asked.missing())?;
    let mut wanted = scale(&live);
    match asked.content.as_str() {
        "application/merge-patch+json" => drop(merge_patch(&mut wanted, &asked.body)?),
        "application/json-patch+json" => json_patch(&mut wanted, &asked.body)?,
        _ => {
            return Err(
                failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", Some(json!({}))).into()
            );
        }
    }
    let replicas = wanted["spec"]["replicas"].clone();
    if replicas.as_i64().is_none_or(|replicas| replicas < 0) {
        let cause = Cause::invalid("spec.replicas", &replicas, "must be greater than or equal to 0");
        return Err(status::invalid(&asked.at.name, "autoscaling", "Scale", &[cause]).into());
    }
    let mut object = outward(&asked.at.kind, &live).into_owned();
    object["spec"]["replicas"] = replicas;
    meta::set(&mut object, "resourceVersion", meta::text(&wanted, "resourceVersion"));
    let Done { code, value, warnings } =
        change(state, asked, &live, Sent { object, warnings: Vec::new() }, false)?;
    Ok(Done { code, value: scale(&value), warnings })
}

fn scale(set: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata[field] = set["metadata"][field].clone();
    }
    let labels = set["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<_> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": { "replicas": set["spec"]["replicas"] },
        "status": { "replicas": set["status"]["replicas"], "selector": selector.join(",") },
    })
}
