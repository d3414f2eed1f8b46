//! Watches: what happens to the objects that match, from a version on, until a time.
//!
//! From the store's history to lines of JSON: first all that is there where that was asked for, with a bookmark that says so; ADDED, MODIFIED,
//! DELETED as the watcher's selector sees it, bookmarks each minute and two seconds before the end if anything of the kind has happened
//! since it began, and an ERROR of 410 where the history no longer has what was asked for, or loses what a slow reader has not read.
//! Deliberately absent: a wait for a version that is still to come.

use crate::address::{Address, Query};
use crate::hooks::Call;
use crate::list;
use crate::meta;
use crate::selectors::Selector;
use crate::server::Server;
use crate::status::{Cause, Refusal, expired, internal, invalid_options};
use crate::store::Change;
use crate::write::{Asked, outward};
use axum::body::Bytes;
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a watch lasts that does not say it: the shortest of the real server's.
const LASTS: u64 = 1_800;
/// Between bookmarks.
const PACE: Duration = Duration::from_mins(1);
/// Marks the bookmark behind all that was there.
const ALL_TOLD: &str = "k8s.io/initial-events-end";
/// The last bookmark comes so long before the end.
const LAST: Duration = Duration::from_secs(2);

/// A watch that goes on.
pub(crate) struct Watch {
    server: Server,
    call: Call,
    at: Address,
    selector: Selector,
    is_partial: bool,
    /// What was told up to here.
    seen: u64,
    waiting: VecDeque<Value>,
    changes: tokio::sync::watch::Receiver<u64>,
    ends: Instant,
    /// The last change of the kind when it began: no bookmark before there is a newer one.
    began: u64,
    /// The next bookmark.
    bookmark: Option<Instant>,
    /// How often all watches had been ended when it began.
    expired: u64,
    is_over: bool,
}

/// Begins a watch.
pub(crate) fn watch(server: &Server, asked: Asked, is_partial: bool) -> Result<Watch, Refusal> {
    let Asked { call, at, query, .. } = asked;
    check(&query)?;
    let selector = list::selector(&at, &query)?;
    let version = query.get("resourceVersion");
    let asked: u64 = if version.is_empty() {
        0
    } else {
        version.parse().map_err(|_| {
            let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
            internal(format!("resourceVersion: Invalid value: {version:?}: {why}"))
        })?
    };
    let mut state = server.state();
    let start = Instant::now();
    let seconds = query.get("timeoutSeconds").parse().ok().filter(|seconds| *seconds > 0).unwrap_or(LASTS);
    let ends = start + Duration::from_secs(seconds);
    let mut watch = Watch {
        server: server.clone(),
        call,
        selector,
        is_partial,
        seen: asked,
        waiting: VecDeque::new(),
        changes: state.store.changes(),
        ends,
        began: state.store.last(&at.kind.shelf()),
        bookmark: None,
        expired: state.store.expired(),
        is_over: false,
        at,
    };
    if query.is("allowWatchBookmarks") {
        watch.bookmark = watch.next_bookmark(start);
    }
    if query.is("sendInitialEvents") || asked == 0 {
        // What is streamed in a list's place may be as old as a list.
        let as_of = if query.is("sendInitialEvents") { state.as_of(&watch.call) } else { None };
        let found = list::find(&state, &watch.at, &without_pages(&query), as_of)?;
        watch.seen = found.version;
        for (_, object) in &found.objects {
            let event = watch.event("ADDED", object);
            watch.waiting.push_back(event);
        }
        if query.is("sendInitialEvents") && query.is("allowWatchBookmarks") {
            let mut mark = watch.mark_at(found.version);
            mark["object"]["metadata"]["annotations"] = json!({ ALL_TOLD: "true" });
            watch.waiting.push_back(mark);
        }
    }
    drop(state);
    Ok(watch)
}

/// A watch begins with all that is there.
fn without_pages(query: &Query) -> Query {
    let mut parts = form_urlencoded::Serializer::new(String::new());
    for name in ["labelSelector", "fieldSelector"] {
        parts.append_pair(name, query.get(name));
    }
    Query::parse(&parts.finish())
}

fn check(query: &Query) -> Result<(), Refusal> {
    let how = query.get("resourceVersionMatch");
    let forbidden =
        |why: &str| Err(invalid_options("ListOptions", Cause::forbidden("resourceVersionMatch", why)));
    if query.is("sendInitialEvents") {
        if how != "NotOlderThan" {
            return forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
    } else if !how.is_empty() {
        return forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    }
    Ok(())
}

impl Watch {
    /// Its lines.
    pub(crate) fn lines(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            let mut line = event.to_string();
            line.push('\n');
            Some((Ok(Bytes::from(line)), watch))
        })
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            self.look();
            if !self.waiting.is_empty() {
                continue;
            }
            let bookmark = self.bookmark.unwrap_or(self.ends);
            tokio::select! {
                biased;
                changed = self.changes.changed() => {
                    self.is_over = changed.is_err();
                }
                () = sleep_until(bookmark.min(self.ends)) => {
                    if bookmark < self.ends {
                        self.bookmark = self.next_bookmark(bookmark);
                        let mark = self.mark();
                        self.waiting.extend(mark);
                        continue;
                    }
                    self.is_over = true;
                }
            }
        }
    }

    fn next_bookmark(&self, now: Instant) -> Option<Instant> {
        let last = self.ends.checked_sub(LAST).filter(|last| *last > now)?;
        Some(last.min(now + PACE))
    }

    /// Takes what has happened since.
    fn look(&mut self) {
        let server = self.server.clone();
        let mut state = server.state();
        if self.seen < state.store.compacted() || self.expired != state.store.expired() {
            let message = format!("too old resource version: {} ({})", self.seen, state.store.compacted());
            self.fail(&expired(message));
            return;
        }
        self.changes.mark_unchanged();
        let place = self.at.kind.shelf();
        let changes = state.store.since(self.seen).filter(|change| change.key.0 == place);
        let events: Vec<_> =
            changes.filter_map(|change| Some((change.version, self.seen_as(change)?))).collect();
        for (version, event) in events {
            if state.tells(&self.call, version) {
                self.waiting.push_back(event);
            }
        }
        self.seen = self.seen.max(state.store.version());
    }

    /// What a change is to this watcher: an object that no longer matches is deleted for it, as it was before.
    fn seen_as(&self, change: &Change) -> Option<Value> {
        let prefix = format!("{}/", self.at.namespace);
        if self.at.kind.traits.is_namespaced
            && !self.at.namespace.is_empty()
            && !change.key.1.starts_with(&prefix)
        {
            return None;
        }
        let before = change.old.as_ref().is_some_and(|old| self.selector.matches(old));
        let after = !change.is_end && self.selector.matches(&change.new);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.new)),
            (true, true) => Some(self.event("MODIFIED", &change.new)),
            (true, false) => {
                let mut last = if change.is_end {
                    Value::clone(&change.new)
                } else {
                    change.old.as_ref().map(|old| Value::clone(old)).unwrap_or_default()
                };
                meta::set(&mut last, "resourceVersion", change.version.to_string());
                Some(self.event("DELETED", &Arc::new(last)))
            }
        }
    }

    fn event(&self, sort: &str, object: &Arc<Value>) -> Value {
        let object = outward(&self.at.kind, object);
        let object = if self.is_partial { meta::partial(&object) } else { object.into_owned() };
        json!({ "type": sort, "object": object })
    }

    fn mark(&self) -> Option<Value> {
        let version = self.server.state().store.last(&self.at.kind.shelf());
        (version > self.began).then(|| self.mark_at(version))
    }

    fn mark_at(&self, version: u64) -> Value {
        let (kind, api) = if self.is_partial {
            ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned())
        } else {
            (self.at.kind.kind.clone(), self.at.kind.api_version())
        };
        let object = json!({ "kind": kind, "apiVersion": api, "metadata": { "resourceVersion": version.to_string() } });
        json!({ "type": "BOOKMARK", "object": object })
    }

    /// Ends with an error.
    fn fail(&mut self, refusal: &Refusal) {
        self.waiting.push_back(json!({ "type": "ERROR", "object": refusal.0 }));
        self.is_over = true;
    }
}
