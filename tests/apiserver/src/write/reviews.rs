//! Tokens that are asked for, and reviews of them: what is created and never kept.
//!
//! From a TokenReview or a TokenRequest to its answer, in the real server's order of complaints. Deliberately absent: the tokens
//! themselves.

use super::{Asked, Done};
use crate::managers;
use crate::read::{self, Sent};
use crate::server::{State, Stop};
use crate::status::{self, Cause, Refusal, bad_request};
use crate::{defaults, meta, tokens};
use serde_json::{Value, json};
use std::sync::Arc;

/// POST of a review.
pub(super) fn review(state: &mut State, asked: &Asked, object: Value) -> Result<Done, Refusal> {
    let spec = object["spec"].clone();
    if spec["token"].as_str().unwrap_or_default().is_empty() {
        return Err(bad_request("token is required for TokenReview in authentication"));
    }
    let now = state.clock.stamp();
    let mut object = managers::updated(&asked.at.kind, None, object, &asked.writer(false), &now);
    let uid_of = |kind: &str, namespace: &str, name: &str| {
        let object = state.store.get(&(kind.to_owned(), format!("{namespace}/{name}")));
        let good = object.filter(|object| tokens::are_valid_of(object, state.clock.now()));
        good.map(|object| meta::uid(object).to_owned())
    };
    object["status"] = state.tokens.review(&spec, uid_of, state.clock.now());
    Ok(Done { code: 201, value: object, warnings: Vec::new() })
}

/// POST to an account's tokens.
pub(crate) fn request_token(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    let kind = state.kinds.named("authentication.k8s.io", "TokenRequest").ok_or_else(status::no_such_path)?;
    let Sent { mut object, warnings } = read::object(&kind, &asked.body, &asked.query)?;
    let account = state.store.get(&asked.key(&asked.at.name)).cloned().ok_or_else(|| asked.missing())?;
    defaults::default(&kind, &mut object);
    let now = state.clock.stamp();
    let mut object = managers::updated(&kind, None, object, &asked.writer(false), &now);
    defaults::or(&mut object["spec"], "audiences", json!([]));
    if object["spec"]["audiences"].as_array().is_some_and(Vec::is_empty) {
        object["spec"]["audiences"] = json!([tokens::ISSUER]);
    }
    let seconds = object["spec"]["expirationSeconds"].clone();
    if seconds.as_i64().is_some_and(|seconds| seconds < 600) {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &seconds,
            "may not specify a duration less than 10 minutes",
        );
        return Err(status::invalid("", &kind.group, &kind.kind, &[cause]).into());
    }
    let pod = bound_pod(state, asked, &object["spec"]["boundObjectRef"])?;
    let id = state.uid();
    let now = state.clock.now();
    object["status"] = state.tokens.issue(&object["spec"], &account, pod.as_deref(), &id, now);
    for field in ["name", "namespace", "uid"] {
        meta::set(&mut object, field, meta::text(&account, field));
    }
    meta::set(&mut object, "creationTimestamp", state.clock.stamp());
    Ok(Done { code: 201, value: object, warnings })
}

fn bound_pod(state: &State, asked: &Asked, bound: &Value) -> Result<Option<Arc<Value>>, Refusal> {
    if bound.is_null() {
        return Ok(None);
    }
    let (name, uid) = (bound["name"].as_str().unwrap_or_default(), bound["uid"].as_str().unwrap_or_default());
    let key = ("pods".to_owned(), format!("{}/{name}", asked.at.namespace));
    let pod = state.store.get(&key).ok_or_else(|| status::not_found(name, "", "pods"))?;
    if !uid.is_empty() && uid != meta::uid(pod) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(status::conflict(name, "", "Pod", &why));
    }
    Ok(Some(Arc::clone(pod)))
}
