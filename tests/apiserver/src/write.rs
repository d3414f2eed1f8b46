//! Creations, replacements and patches.
//!
//! From a call to the object as it is kept, in the real server's order: read, owned, admitted, checked, kept. Guarantees: what is
//! refused has changed nothing, and a write that changes nothing is none. Deliberately absent: deletions.

use crate::address::{Address, Query};
use crate::hooks::Call;
use crate::kinds::Kind;
use crate::managers::{self, Writer};
use crate::patch::{json_patch, merge_patch};
use crate::read::{self, Sent};
use crate::server::{State, Stop};
use crate::status::{self, Cause, Refusal, bad_request, failure, internal, invalid_options};
use crate::{checks, decode, defaults, meta, pods, strategic, typed, validate};
use axum::body::Bytes;
use serde_json::{Value, json};

mod change;
mod events;
mod reviews;

pub(crate) use change::change;
pub(crate) use events::{inward, outward};
pub(crate) use reviews::request_token;

/// A call.
pub(crate) struct Asked {
    pub(crate) call: Call,
    pub(crate) at: Address,
    pub(crate) query: Query,
    /// By its User-Agent, up to the first slash.
    pub(crate) agent: String,
    pub(crate) content: String,
    pub(crate) body: Bytes,
}

/// An answer.
pub(crate) struct Done {
    pub(crate) code: u16,
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

impl Asked {
    pub(crate) fn key(&self, name: &str) -> crate::store::Key {
        (self.at.kind.shelf(), format!("{}/{name}", self.at.namespace))
    }

    pub(crate) fn writer(&self, applies: bool) -> Writer {
        let named = self.query.get("fieldManager");
        let name = if named.is_empty() { &self.agent } else { named };
        Writer { name: name.to_owned(), applies, subresource: self.at.subresource.clone() }
    }

    pub(crate) fn missing(&self) -> Refusal {
        status::not_found(&self.at.name, &self.at.kind.group, &self.at.kind.plural)
    }

    pub(crate) fn invalid(&self, name: &str, causes: &[Cause]) -> Refusal {
        // Events of both groups are checked as the core group's.
        let group = if self.at.kind.is_event() { "" } else { &self.at.kind.group };
        status::invalid(name, group, &self.at.kind.kind, causes)
    }
}

/// POST.
pub(crate) fn create(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    asked.query.check("CreateOptions")?;
    let kind = &asked.at.kind;
    let Sent { mut object, warnings } = read::object(kind, &asked.body, &asked.query)?;
    read::place(&mut object, &asked.at.namespace, "")?;
    defaults::default(kind, &mut object);
    if kind.traits.is_review {
        return Ok(reviews::review(state, asked, object)?);
    }
    if !meta::text(&object, "resourceVersion").is_empty() {
        return Err(internal("resourceVersion should not be set on objects to be created").into());
    }
    let now = state.clock.stamp();
    meta::remove(&mut object, "managedFields");
    let object = managers::updated(kind, None, object, &asked.writer(false), &now);
    make(state, asked, object, warnings)
}

/// Makes an object that nobody has yet; its managed fields are settled.
fn make(state: &mut State, asked: &Asked, mut object: Value, warnings: Vec<String>) -> Result<Done, Stop> {
    let kind = &asked.at.kind;
    if kind.traits.is_namespaced {
        let home = ("namespaces".to_owned(), format!("/{}", asked.at.namespace));
        if state.store.get(&home).is_none() {
            return Err(status::not_found(&asked.at.namespace, "", "namespaces").into());
        }
    }
    let generated = meta::text(&object, "generateName").to_owned();
    if meta::name(&object).is_empty() && !generated.is_empty() {
        let name = format!("{generated}{}", state.suffix());
        meta::set(&mut object, "name", name);
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"] {
        meta::remove(&mut object, field);
    }
    let (uid, now) = (state.uid(), state.clock.stamp());
    meta::set(&mut object, "uid", uid);
    meta::set(&mut object, "creationTimestamp", now);
    if kind.traits.counts {
        meta::set(&mut object, "generation", 1);
    }
    begin_status(kind, &mut object);
    admit(state, kind, &mut object)?;
    let object = inward(kind, object);
    let name = meta::name(&object).to_owned();
    let mut causes = checks::created(kind, &object);
    if kind.traits.is_custom {
        causes.extend(validate::validate(kind, &object, None));
    }
    if !causes.is_empty() {
        return Err(asked.invalid(&name, &causes).into());
    }
    let key = asked.key(&name);
    if state.store.get(&key).is_some() {
        return Err(status::already_exists(&name, &kind.group, &kind.plural).into());
    }
    if asked.query.is_dry() {
        return Ok(Done { code: 201, value: outward(kind, &object).into_owned(), warnings });
    }
    state.begin(&asked.call)?;
    let kept = state.store.put(key, object);
    state.end(&asked.call, meta::version(&kept))?;
    Ok(Done { code: 201, value: outward(kind, &kept).into_owned(), warnings })
}

/// A new object says nothing of how it is.
fn begin_status(kind: &Kind, object: &mut Value) {
    if !kind.traits.has_status || kind.kind == "Node" {
        return;
    }
    meta::remove_at(object, "status");
    meta::copy(object, &decode::zero(kind), "status");
    if object["status"].is_null() {
        meta::remove_at(object, "status");
    }
    defaults::default(kind, object);
}

fn admit(state: &mut State, kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    match kind.kind.as_str() {
        "Pod" => {
            let suffix = state.suffix();
            let namespace = meta::namespace(object).to_owned();
            let has = |account: &str| {
                let key = ("serviceaccounts".to_owned(), format!("{namespace}/{account}"));
                state.store.get(&key).is_some()
            };
            pods::admit(object, has, &suffix)?;
        }
        "Service" => defaults::allocate(&mut object["spec"]),
        "Namespace" => defaults::or(&mut object["spec"], "finalizers", json!(["kubernetes"])),
        "Node" => {
            let taint = json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" });
            defaults::or(&mut object["spec"], "taints", json!([taint]));
        }
        _ => {}
    }
    Ok(())
}

/// One of the namespaces that are there from the beginning.
pub(crate) fn make_namespace(state: &mut State, name: &str) {
    let (uid, now) = (state.uid(), state.clock.stamp());
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": name, "uid": uid, "creationTimestamp": now,
            "labels": { "kubernetes.io/metadata.name": name },
        },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    });
    state.store.put(("namespaces".to_owned(), format!("/{name}")), object);
}

/// PUT.
pub(crate) fn replace(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    asked.query.check("UpdateOptions")?;
    let kind = &asked.at.kind;
    let Sent { mut object, warnings } = read::object(kind, &asked.body, &asked.query)?;
    read::place(&mut object, &asked.at.namespace, &asked.at.name)?;
    defaults::default(kind, &mut object);
    let Some(live) = state.store.get(&asked.key(&asked.at.name)).cloned() else {
        if !kind.traits.made_by_put || !asked.at.subresource.is_empty() {
            return Err(asked.missing().into());
        }
        let now = state.clock.stamp();
        meta::remove(&mut object, "managedFields");
        let object = managers::updated(kind, None, object, &asked.writer(false), &now);
        return make(state, asked, object, warnings);
    };
    let said = meta::text(&object, "resourceVersion");
    if said.is_empty() && kind.traits.needs_version {
        let cause = Cause::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
        // Told of the plural, as the real one does.
        return Err(status::invalid(&asked.at.name, &kind.group, &kind.plural, &[cause]).into());
    }
    let uid = meta::uid(&object).to_owned();
    if !uid.is_empty() && uid != meta::uid(&live) {
        let key = format!("/registry/{}/{}/{}", kind.plural, asked.at.namespace, asked.at.name);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::uid(&live)
        );
        return Err(status::conflict(&asked.at.name, &kind.group, &kind.plural, &why).into());
    }
    change(state, asked, &live, Sent { object, warnings }, false)
}

/// PATCH.
pub(crate) fn patch(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    let kind = &asked.at.kind;
    let applies = asked.content == "application/apply-patch+yaml";
    if !applies && !asked.query.get("force").is_empty() {
        let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(invalid_options("PatchOptions", cause).into());
    }
    if applies && asked.query.get("fieldManager").is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(invalid_options("PatchOptions", cause).into());
    }
    asked.query.check("PatchOptions")?;
    if applies {
        return apply(state, asked);
    }
    if asked.content == "application/strategic-merge-patch+json" && kind.traits.is_custom {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        return Err(failure(415, "UnsupportedMediaType", message, None).into());
    }
    let live = state.store.get(&asked.key(&asked.at.name)).cloned();
    let before = live.as_ref().map(|live| outward(kind, live).into_owned());
    let mut object = before.clone().unwrap_or_default();
    match asked.content.as_str() {
        "application/json-patch+json" => {
            live.as_ref().ok_or_else(|| asked.missing())?;
            json_patch(&mut object, &asked.body)?;
        }
        "application/merge-patch+json" => {
            live.as_ref().ok_or_else(|| asked.missing())?;
            merge_patch(&mut object, &asked.body)?;
        }
        "application/strategic-merge-patch+json" => {
            live.as_ref().ok_or_else(|| asked.missing())?;
            let patch = serde_json::from_slice(&asked.body).map_err(|_| bad_request("invalid JSON patch"))?;
            strategic::merge(&kind.schema, &mut object, &patch);
        }
        _ => {
            let message = "415: Unsupported Media Type";
            return Err(failure(415, "UnsupportedMediaType", message, Some(json!({}))).into());
        }
    }
    let live = live.ok_or_else(|| asked.missing())?;
    let mut sent = read::patched(kind, &object, &asked.query)?;
    read::place(&mut sent.object, &asked.at.namespace, &asked.at.name)?;
    defaults::default(kind, &mut sent.object);
    change(state, asked, &live, sent, false)
}

/// A server-side apply.
fn apply(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    let kind = &asked.at.kind;
    let mut config = read::config(&asked.body)?;
    let said = |field: &str| config[field].as_str().unwrap_or_default().to_owned();
    if said("apiVersion") != kind.api_version() || said("kind") != kind.kind {
        let version = said("apiVersion");
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let message = format!("invalid object type: {group}/{version}, Kind={}", said("kind"));
        return Err(bad_request(message).into());
    }
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(bad_request("metadata.managedFields must be nil").into());
    }
    if let Some(field) = typed::undeclared(&kind.schema, &config, "") {
        let (namespace, name) = (meta::namespace(&config), meta::name(&config));
        let message = format!(
            "failed to create typed patch object ({namespace}/{name}; {}/{}, Kind={}): {field}",
            kind.group, kind.version, kind.kind
        );
        return Err(internal(message).into());
    }
    read::place(&mut config, &asked.at.namespace, &asked.at.name)?;
    let live = state.store.get(&asked.key(&asked.at.name)).cloned();
    if live.is_none() && !asked.at.subresource.is_empty() {
        return Err(asked.missing().into());
    }
    let version = meta::text(&config, "resourceVersion");
    if let Some(live) = &live
        && !version.is_empty()
        && version != meta::text(live, "resourceVersion")
    {
        let (group, plural) = (&kind.group, &kind.plural);
        return Err(status::conflict(&asked.at.name, group, plural, status::MODIFIED).into());
    }
    let (now, writer) = (state.clock.stamp(), asked.writer(true));
    let before = live.as_ref().map(|live| outward(kind, live).into_owned());
    let force = asked.query.is("force");
    let merged = managers::applied(kind, before.as_ref(), &config, &writer, force, &now)?;
    let mut sent = read::patched(kind, &merged, &asked.query)?;
    read::place(&mut sent.object, &asked.at.namespace, &asked.at.name)?;
    defaults::default(kind, &mut sent.object);
    match live {
        None => make(state, asked, sent.object, sent.warnings),
        Some(live) => change(state, asked, &live, sent, true),
    }
}
