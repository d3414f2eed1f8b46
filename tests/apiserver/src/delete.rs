//! Deletions.
//!
//! From a call to an object that is gone, or that ends: a pod for as long as its grace, others until their finalizers are taken off.
//! Guarantees: preconditions are looked at first. Deliberately absent: the garbage that is left, and the ends of namespaces.

use crate::clock::stamp;
use crate::kinds::Kind;
use crate::list;
use crate::meta;
use crate::server::{State, Stop};
use crate::status::{self, Cause, Refusal, bad_request, invalid_options};
use crate::write::{Asked, Done, outward};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// Set by a deletion in the foreground, and by one that leaves dependants.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";

/// What a deletion may say.
#[derive(Clone, Debug, Default)]
struct Wish {
    grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    policy: String,
    is_dry: bool,
}

fn wish(asked: &Asked) -> Result<Wish, Refusal> {
    let body: Value = if asked.body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&asked.body).map_err(|error| bad_request(error.to_string()))?
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let query = |name: &str| Some(asked.query.get(name).to_owned()).filter(|value| !value.is_empty());
    let policy = text(&body["propagationPolicy"]).or_else(|| query("propagationPolicy")).unwrap_or_default();
    if !matches!(policy.as_str(), "" | "Foreground" | "Background" | "Orphan") {
        let those = ["Foreground", "Background", "Orphan", "nil"];
        let cause = Cause::unsupported("propagationPolicy", &policy.into(), &those);
        return Err(invalid_options("DeleteOptions", cause));
    }
    let dry = body["dryRun"].as_array().is_some_and(|dry| dry.iter().any(|one| one == "All"));
    Ok(Wish {
        grace: body["gracePeriodSeconds"].as_i64().or_else(|| query("gracePeriodSeconds")?.parse().ok()),
        uid: text(&body["preconditions"]["uid"]),
        version: text(&body["preconditions"]["resourceVersion"]),
        policy,
        is_dry: dry || asked.query.is_dry(),
    })
}

/// DELETE of one.
pub(crate) fn delete(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    asked.query.check("DeleteOptions")?;
    let wish = wish(asked)?;
    let live = state.store.get(&asked.key(&asked.at.name)).cloned().ok_or_else(|| asked.missing())?;
    let kind = Arc::clone(&asked.at.kind);
    let value = end(state, asked, &live, &wish)?;
    let value = match value {
        Left::Nothing(last) if kind.traits.returns_deleted => outward(&kind, &last).into_owned(),
        Left::Nothing(last) => {
            status::deleted(meta::name(&last), &kind.group, &kind.plural, meta::uid(&last))
        }
        Left::Ending(object) => outward(&kind, &object).into_owned(),
    };
    Ok(Done { code: 200, value, warnings: Vec::new() })
}

/// DELETE of all that match: each as if alone; the answer is the list as it was.
pub(crate) fn delete_all(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    asked.query.check("DeleteOptions")?;
    let wish = wish(asked)?;
    let value = list::list(state, &asked.at, &asked.query, None)?;
    let found = list::find(state, &asked.at, &asked.query, None)?;
    for (_, object) in found.objects {
        end(state, asked, &object, &wish)?;
    }
    Ok(Done { code: 200, value, warnings: Vec::new() })
}

enum Left {
    Nothing(Value),
    Ending(Value),
}

fn end(state: &mut State, asked: &Asked, live: &Arc<Value>, wish: &Wish) -> Result<Left, Stop> {
    let kind = Arc::clone(&asked.at.kind);
    preconditions(&kind, live, wish)?;
    let (name, now) = (meta::name(live).to_owned(), state.clock.now());
    let mut new = Value::clone(live);
    let is_pod = kind.kind == "Pod";
    policy(&mut new, &wish.policy);
    let was_ending = meta::is_ending(live);
    let grace = if is_pod { grace(live, wish.grace) } else { 0 };
    let before = live["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    if !was_ending || is_pod && grace < before {
        let begun = begun(live, before).filter(|_| was_ending).unwrap_or(now);
        let ends = begun.checked_add(SignedDuration::from_secs(grace)).unwrap_or(begun);
        meta::set(&mut new, "deletionTimestamp", stamp(ends));
        meta::set(&mut new, "deletionGracePeriodSeconds", grace);
        if !was_ending && meta::generation(live) > 0 {
            meta::set(&mut new, "generation", meta::generation(live) + 1);
        }
    }
    let grace = new["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let is_gone = meta::finalizers(&new).is_empty() && grace == 0;
    if wish.is_dry {
        return Ok(if is_gone { Left::Nothing(Value::clone(live)) } else { Left::Ending(new) });
    }
    if !is_gone && new == **live {
        return Ok(Left::Ending(new));
    }
    state.begin(&asked.call)?;
    let key = asked.key(&name);
    let key =
        if kind.traits.is_namespaced { (key.0, format!("{}/{name}", meta::namespace(live))) } else { key };
    if !is_gone {
        let kept = state.store.put(key, new);
        state.end(&asked.call, meta::version(&kept))?;
        return Ok(Left::Ending(Value::clone(&kept)));
    }
    if is_pod {
        // A pod ends before it goes, even at once.
        new = Value::clone(&state.store.put(key.clone(), new));
    } else {
        new = Value::clone(live);
    }
    let last = state.store.remove(&key, new);
    state.end(&asked.call, meta::version(&last))?;
    Ok(Left::Nothing(Value::clone(&last)))
}

fn preconditions(kind: &Kind, live: &Value, wish: &Wish) -> Result<(), Refusal> {
    let failed = |why: String| Err(status::conflict(meta::name(live), &kind.group, &kind.kind, &why));
    if let Some(uid) = wish.uid.as_ref().filter(|uid| *uid != meta::uid(live)) {
        return failed(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted \
             and then recreated",
            meta::uid(live)
        ));
    }
    let found = meta::text(live, "resourceVersion");
    if let Some(version) = wish.version.as_ref().filter(|version| *version != found) {
        return failed(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({found}). The \
             object might have been modified"
        ));
    }
    Ok(())
}

/// Whether dependants go first, later or never.
fn policy(object: &mut Value, policy: &str) {
    let mut finalizers: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
    let before = finalizers.clone();
    if !policy.is_empty() {
        finalizers.retain(|one| one != FOREGROUND && one != ORPHAN);
    }
    match policy {
        "Foreground" => finalizers.push(FOREGROUND.to_owned()),
        "Orphan" => finalizers.push(ORPHAN.to_owned()),
        _ => {}
    }
    if finalizers == before {
        return;
    }
    if finalizers.is_empty() {
        meta::remove(object, "finalizers");
    } else {
        meta::set(object, "finalizers", finalizers);
    }
}

/// How long a pod may take: as it is asked, or as its spec says; none where nobody would end it.
fn grace(pod: &Value, asked: Option<i64>) -> i64 {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if node.is_empty() || is_over {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    // Below zero is one second.
    let grace = asked.unwrap_or(own);
    if grace < 0 { 1 } else { grace }
}

/// When an object that ends was told to.
fn begun(object: &Value, grace: i64) -> Option<Timestamp> {
    let ends: Timestamp = meta::text(object, "deletionTimestamp").parse().ok()?;
    ends.checked_sub(SignedDuration::from_secs(grace)).ok()
}
