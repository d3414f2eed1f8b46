//! Lists: what matches, page by page, as of now or as of a version that is still kept.
//!
//! From a shelf and options to a list object, with the real server's rules about `resourceVersion`, `resourceVersionMatch`, `limit`
//! and `continue`. Guarantees: the pages of one list are of one version. Deliberately absent: tables.

use crate::address::{Address, Query};
use crate::kinds::Kind;
use crate::selectors::Selector;
use crate::server::State;
use crate::status::{Cause, Refusal, bad_request, expired, invalid_options};
use crate::write::outward;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The objects that a call speaks of, at a version.
pub(crate) struct Found {
    /// By `namespace/name`.
    pub(crate) objects: Vec<(String, Arc<Value>)>,
    pub(crate) version: u64,
    next: Option<(String, usize)>,
}

/// What a call selects.
pub(crate) fn selector(at: &Address, query: &Query) -> Result<Selector, Refusal> {
    Selector::parse(&at.kind, query.get("labelSelector"), query.get("fieldSelector")).map_err(bad_request)
}

/// A list as it is answered; where it asks for the newest, as of this version.
pub(crate) fn list(state: &State, at: &Address, query: &Query, as_of: Option<u64>) -> Result<Value, Refusal> {
    let found = find(state, at, query, as_of)?;
    let items: Vec<_> = found.objects.iter().map(|(_, object)| Item::of(&at.kind, object)).collect();
    Ok(json!({
        "kind": format!("{}List", at.kind.kind),
        "apiVersion": at.kind.api_version(),
        "metadata": metadata(at, query, &found),
        "items": items,
    }))
}

/// The same as text, without a tree between.
pub(crate) fn text(
    state: &State,
    at: &Address,
    query: &Query,
    as_of: Option<u64>,
) -> Result<String, Refusal> {
    let found = find(state, at, query, as_of)?;
    let list = List {
        kind: format!("{}List", at.kind.kind),
        api_version: at.kind.api_version(),
        metadata: metadata(at, query, &found),
        items: found.objects.iter().map(|(_, object)| Item::of(&at.kind, object)).collect(),
    };
    Ok(serde_json::to_string(&list).unwrap_or_default())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: Vec<Item<'a>>,
}

/// An item. Lists of built-in kinds say once what their items are.
struct Item<'a> {
    object: Cow<'a, Value>,
    says_what: bool,
}

impl<'a> Item<'a> {
    fn of(kind: &Kind, object: &'a Value) -> Self {
        Self { object: outward(kind, object), says_what: kind.traits.is_custom }
    }
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.object.as_object().into_iter().flatten();
        serializer.collect_map(
            fields.filter(|(name, _)| self.says_what || !matches!(name.as_str(), "apiVersion" | "kind")),
        )
    }
}

fn metadata(at: &Address, query: &Query, found: &Found) -> Value {
    let mut metadata = json!({ "resourceVersion": found.version.to_string() });
    if at.kind.traits.is_custom {
        metadata["continue"] = "".into();
    }
    if let Some((after, left)) = &found.next {
        metadata["continue"] = token(found.version.try_into().unwrap_or(-1), after).into();
        // Nobody counts what a selector would leave.
        if query.get("labelSelector").is_empty() && query.get("fieldSelector").is_empty() {
            metadata["remainingItemCount"] = (*left).into();
        }
    }
    metadata
}

/// What a call finds.
pub(crate) fn find(state: &State, at: &Address, query: &Query, as_of: Option<u64>) -> Result<Found, Refusal> {
    let selector = selector(at, query)?;
    let (version, after) = place(state, query)?;
    let version = version.or(as_of);
    let shelf = at.kind.shelf();
    let all: BTreeMap<String, Arc<Value>> = match version {
        Some(version) => state.store.shelf_at(&shelf, version),
        None => state.store.shelf(&shelf),
    };
    let prefix = format!("{}/", at.namespace);
    let is_here =
        |key: &str| !at.kind.traits.is_namespaced || at.namespace.is_empty() || key.starts_with(&prefix);
    let from = after.map(|after| format!("{}{after}", if at.namespace.is_empty() { "" } else { &prefix }));
    let mut objects: Vec<_> = all
        .into_iter()
        .filter(|(key, _)| is_here(key) && from.as_ref().is_none_or(|from| key.as_str() >= from.as_str()))
        .filter(|(_, object)| selector.matches(object))
        .collect();
    let limit = query.get("limit").parse::<usize>().unwrap_or(0);
    let mut next = None;
    if limit > 0 && objects.len() > limit {
        let left = objects.len() - limit;
        objects.truncate(limit);
        let last = objects.last().map(|(key, _)| key.clone()).unwrap_or_default();
        let last = if at.namespace.is_empty() { last } else { last.trim_start_matches(&prefix).to_owned() };
        // The first key that is greater.
        next = Some((format!("{last}\0"), left));
    }
    Ok(Found { objects, version: version.unwrap_or_else(|| state.store.version()), next })
}

/// The version that is asked for, if it is not the newest, and where to begin.
fn place(state: &State, query: &Query) -> Result<(Option<u64>, Option<String>), Refusal> {
    let (version, how, more) =
        (query.get("resourceVersion"), query.get("resourceVersionMatch"), query.get("continue"));
    let forbidden =
        |why: &str| Err(invalid_options("ListOptions", Cause::forbidden("resourceVersionMatch", why)));
    if !how.is_empty() {
        if !more.is_empty() {
            return forbidden("resourceVersionMatch is forbidden when continue is provided");
        }
        if version.is_empty() {
            return forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if how == "Exact" && version == "0" {
            return forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        if !matches!(how, "Exact" | "NotOlderThan") {
            let cause =
                Cause::unsupported("resourceVersionMatch", &how.into(), &["Exact", "NotOlderThan", ""]);
            return Err(invalid_options("ListOptions", cause));
        }
    }
    if !more.is_empty() {
        if !version.is_empty() && version != "0" {
            return Err(bad_request("specifying resource version is not allowed when using continue"));
        }
        let (version, after) = read_token(more).map_err(bad_request)?;
        let is_gone = u64::try_from(version).is_ok_and(|version| version < state.store.compacted());
        if is_gone {
            let mut gone = expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter, or use the continue token in this response to retrieve the \
                 remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
                 that were created, modified, or deleted between the time the first chunk was returned and now may show \
                 up in the list.",
            );
            // With it the rest can be had as it is now.
            gone.0["metadata"] = json!({ "continue": token(-1, &after) });
            return Err(gone);
        }
        return Ok((version.try_into().ok(), Some(after)));
    }
    if version.is_empty() {
        return Ok((None, None));
    }
    let asked: u64 = version.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
        bad_request(format!("invalid resource version: resourceVersion: Invalid value: {version:?}: {why}"))
    })?;
    let is_exact = how == "Exact" || how.is_empty() && asked > 0 && !query.get("limit").is_empty();
    if asked > state.store.version() {
        return Err(too_new(asked, state.store.version()));
    }
    if is_exact && asked < state.store.compacted() {
        return Err(expired("The resourceVersion for the provided list is too old."));
    }
    Ok((is_exact.then_some(asked), None))
}

fn too_new(asked: u64, now: u64) -> Refusal {
    let message = format!("Too large resource version: {asked}, current: {now}");
    let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
    crate::status::failure(
        504,
        "Timeout",
        message,
        Some(json!({ "causes": [cause], "retryAfterSeconds": 1 })),
    )
}

/// Where the next page begins.
fn token(version: i64, after: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({ "v": "meta.k8s.io/v1", "rv": version, "start": after }).to_string())
}

fn read_token(text: &str) -> Result<(i64, String), String> {
    let wrong = |why: &str| format!("invalid continue token: continue key is not valid: {why}");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        wrong(&format!("illegal base64 data at input byte {}", text.len().saturating_sub(1) / 4 * 4))
    })?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    let version = value["rv"].as_i64().ok_or_else(|| wrong("incorrect encoded resourceVersion"))?;
    // Namespaced lists begin with a slash after the first page.
    let after = value["start"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
    Ok((version, after))
}
