//! From an object as it is, and as somebody wants it, to what it becomes.
//!
//! Versions first, then what this write may touch, who owns what since, whether that may be, and whether it is a change at all.
//! Deliberately absent: where the wanted object came from.

use super::{Asked, Done, inward, outward};
use crate::kinds::Kind;
use crate::read::Sent;
use crate::server::{State, Stop};
use crate::status;
use crate::{checks, defaults, managers, meta, validate};
use serde_json::Value;
use std::sync::Arc;

/// Changes an object. `is_settled`: its managed fields are already what they will be.
pub(crate) fn change(
    state: &mut State,
    asked: &Asked,
    live: &Arc<Value>,
    sent: Sent,
    is_settled: bool,
) -> Result<Done, Stop> {
    let kind = &asked.at.kind;
    let Sent { object: mut new, warnings } = sent;
    let version = meta::text(&new, "resourceVersion");
    if !version.is_empty() && version != meta::text(live, "resourceVersion") {
        return Err(status::conflict(&asked.at.name, &kind.group, &kind.plural, status::MODIFIED).into());
    }
    let old = outward(kind, live).into_owned();
    carry_over(&mut new, &old);
    let owned = new["metadata"].get("managedFields").cloned();
    leave_alone(kind, &asked.at.subresource, &mut new, &old);
    if is_settled {
        meta::remove(&mut new, "managedFields");
        if let Some(owned) = owned {
            meta::set(&mut new, "managedFields", owned);
        }
    } else {
        let now = state.clock.stamp();
        meta::remove(&mut new, "managedFields");
        new = managers::updated(kind, Some(&old), new, &asked.writer(false), &now);
    }
    if kind.traits.counts && asked.at.subresource != "status" && wants_other(kind, &new, &old) {
        meta::set(&mut new, "generation", meta::generation(&old) + 1);
    }
    let new = inward(kind, new);
    let mut causes = checks::updated(kind, &new, live);
    if kind.traits.is_custom {
        causes.extend(validate::validate(kind, &new, Some(live)));
        if asked.at.subresource == "status" {
            // There the real one tells of fields as seen from the status.
            for cause in causes.iter_mut().filter(|cause| cause.message.contains(" in body ")) {
                cause.message = cause.message.replacen(": status.", ": ", 1);
            }
        }
    }
    if !causes.is_empty() {
        return Err(asked.invalid(&asked.at.name, &causes).into());
    }
    keep(state, asked, live, new, warnings)
}

fn keep(
    state: &mut State,
    asked: &Asked,
    live: &Arc<Value>,
    mut new: Value,
    warnings: Vec<String>,
) -> Result<Done, Stop> {
    let kind = &asked.at.kind;
    let done = |value: &Value| Done { code: 200, value: outward(kind, value).into_owned(), warnings };
    meta::set(&mut new, "resourceVersion", meta::text(live, "resourceVersion"));
    new["apiVersion"] = live["apiVersion"].clone();
    if without_times(&new) == without_times(live) {
        return Ok(done(live));
    }
    if asked.query.is_dry() {
        return Ok(done(&new));
    }
    state.begin(&asked.call)?;
    let key = asked.key(&asked.at.name);
    let grace = new["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let kept = if meta::is_ending(&new) && meta::finalizers(&new).is_empty() && grace == 0 {
        // The answer is the object as it was wanted, with the version it had.
        let last = state.store.remove(&key, new.clone());
        state.end(&asked.call, meta::version(&last))?;
        Arc::new(new)
    } else {
        let kept = state.store.put(key, new);
        state.end(&asked.call, meta::version(&kept))?;
        kept
    };
    Ok(done(&kept))
}

/// What nobody can change.
fn carry_over(new: &mut Value, old: &Value) {
    if meta::uid(new).is_empty() {
        meta::set(new, "uid", meta::uid(old));
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        let mut metadata = std::mem::take(&mut new["metadata"]);
        meta::copy(&mut metadata, &old["metadata"], field);
        new["metadata"] = metadata;
    }
}

/// A write to an object leaves its status, one to its status the rest.
fn leave_alone(kind: &Kind, subresource: &str, new: &mut Value, old: &Value) {
    match subresource {
        "status" if kind.traits.is_custom => {
            let status = new.get("status").cloned();
            *new = old.clone();
            meta::remove_at(new, "status");
            if let Some(status) = status {
                new["status"] = status;
            }
            defaults::default(kind, new);
        }
        "status" => {
            meta::copy(new, old, "spec");
            if kind.kind == "Pod" {
                let mut metadata = std::mem::take(&mut new["metadata"]);
                meta::copy(&mut metadata, &old["metadata"], "ownerReferences");
                new["metadata"] = metadata;
            }
        }
        _ if kind.traits.has_status => meta::copy(new, old, "status"),
        _ => {}
    }
    if kind.kind == "Service" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if let Some(value) = old["spec"].get(field) {
                defaults::or(&mut new["spec"], field, value.clone());
            }
        }
    }
}

/// Whether something else is wanted, not only said.
fn wants_other(kind: &Kind, new: &Value, old: &Value) -> bool {
    if !kind.traits.is_custom {
        return new["spec"] != old["spec"];
    }
    let wanted = |object: &Value| {
        let mut object = object.clone();
        for field in ["metadata", "status"] {
            meta::remove_at(&mut object, field);
        }
        object
    };
    wanted(new) != wanted(old)
}

/// Times of managed fields alone make no change.
fn without_times(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in fields.into_iter().flatten() {
        meta::remove_at(entry, "time");
    }
    object
}
