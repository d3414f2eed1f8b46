//! The garbage collector, one step at a time.
//!
//! From owner references to deletions: what has only owners that are gone goes, in the background; what ends in the foreground waits
//! for its dependants; what leaves orphans is taken from their references. In the order of keys, all in one step. Deliberately
//! absent: when; a test says so.

use crate::delete::{FOREGROUND, ORPHAN};
use crate::hooks::Call;
use crate::meta;
use crate::server::State;
use crate::store::Key;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Does what can be done now; returns how many objects were changed.
pub(crate) fn step(state: &mut State) -> usize {
    let all: Vec<(Key, Arc<Value>)> =
        state.store.all().map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
    let there: BTreeSet<&str> = all.iter().map(|(_, object)| meta::uid(object)).collect();
    let ending: BTreeSet<&str> = all
        .iter()
        .filter(|(_, object)| meta::is_ending(object) && meta::finalizers(object).contains(&FOREGROUND))
        .map(|(_, object)| meta::uid(object))
        .collect();
    let mut changed = 0;
    for (key, object) in &all {
        let owners: Vec<&str> = meta::owners(object).filter_map(|owner| owner["uid"].as_str()).collect();
        let is_garbage =
            !owners.is_empty() && owners.iter().all(|uid| !there.contains(uid) || ending.contains(uid));
        if is_garbage {
            changed += usize::from(remove(state, key, object));
        }
    }
    for (key, object) in all.iter().filter(|(_, object)| meta::is_ending(object)) {
        for finalizer in [FOREGROUND, ORPHAN] {
            if meta::finalizers(object).contains(&finalizer) {
                changed += finish(state, key, object, finalizer);
            }
        }
    }
    changed
}

/// Lets an object go whose deletion waited for its dependants.
fn finish(state: &mut State, key: &Key, object: &Arc<Value>, finalizer: &str) -> usize {
    let uid = meta::uid(object);
    let dependants: Vec<(Key, Arc<Value>)> = state
        .store
        .all()
        .filter(|(_, other)| meta::owners(other).any(|owner| owner["uid"] == uid))
        .map(|(key, other)| (key.clone(), Arc::clone(other)))
        .collect();
    let mut changed = 0;
    if finalizer == FOREGROUND {
        let blocks = |other: &Value| {
            meta::owners(other).any(|owner| owner["uid"] == uid && owner["blockOwnerDeletion"] == true)
        };
        if dependants.iter().any(|(_, other)| blocks(other)) {
            return 0;
        }
    } else {
        for (key, other) in dependants {
            let mut orphan = Value::clone(&other);
            let owners: Vec<_> = meta::owners(&other).filter(|owner| owner["uid"] != uid).cloned().collect();
            if owners.is_empty() {
                meta::remove(&mut orphan, "ownerReferences");
            } else {
                meta::set(&mut orphan, "ownerReferences", owners);
            }
            changed += usize::from(write(state, &key, orphan));
        }
    }
    let mut rest = Value::clone(object);
    let finalizers: Vec<_> = meta::finalizers(object).into_iter().filter(|one| *one != finalizer).collect();
    if finalizers.is_empty() {
        meta::remove(&mut rest, "finalizers");
    } else {
        meta::set(&mut rest, "finalizers", json!(finalizers));
    }
    changed + usize::from(write(state, key, rest))
}

/// Deletes in the background: a pod by its grace, others at once unless they have finalizers.
fn remove(state: &mut State, key: &Key, object: &Arc<Value>) -> bool {
    if meta::is_ending(object) {
        return false;
    }
    let mut new = Value::clone(object);
    let is_scheduled = new["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let grace = if key.0 == "pods" && is_scheduled {
        new["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30)
    } else {
        0
    };
    let ends = state.clock.now().checked_add(jiff::SignedDuration::from_secs(grace));
    meta::set(&mut new, "deletionTimestamp", crate::clock::stamp(ends.unwrap_or(jiff::Timestamp::MAX)));
    meta::set(&mut new, "deletionGracePeriodSeconds", grace);
    if meta::generation(object) > 0 {
        meta::set(&mut new, "generation", meta::generation(object) + 1);
    }
    write(state, key, new)
}

/// Keeps an object, or lets it go when it ends and nothing holds it.
fn write(state: &mut State, key: &Key, new: Value) -> bool {
    let path =
        state.kinds.on_shelf(&key.0).map_or_else(String::new, |kind| format!("{}/{}", kind.plural, key.1));
    let call = Call {
        verb: "collect",
        path,
        user: "system:serviceaccount:kube-system:generic-garbage-collector".to_owned(),
        from: String::new(),
    };
    if state.begin(&call).is_err() {
        return false;
    }
    let grace = new["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let kept = if meta::is_ending(&new) && meta::finalizers(&new).is_empty() && grace == 0 {
        state.store.remove(key, new)
    } else {
        state.store.put(key.clone(), new)
    };
    // Nobody waits for an answer.
    let _ = state.end(&call, meta::version(&kept));
    true
}
