//! Who owns which field.
//!
//! From an object before and after a write, and the writer, to the object with its managed fields; for an apply also to what the
//! fields become, or to the conflicts. Deliberately absent: several versions of a kind, and the limit on managers that only
//! update.

use crate::decode::zero;
use crate::fields::Set;
use crate::kinds::Kind;
use crate::meta;
use crate::schema::Schema;
use crate::status::{Refusal, apply_conflict};
use crate::typed;
use serde_json::{Value, json};

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) name: String,
    pub(crate) applies: bool,
    pub(crate) subresource: String,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    writer: Writer,
    version: String,
    time: String,
    set: Set,
}

/// Who owns what was there before the first apply of an object that nobody was kept for.
const BEFORE: &str = "before-first-apply";

/// An object written by one who does not apply: it owns what it changes, and the others lose that.
pub(crate) fn updated(
    kind: &Kind,
    live: Option<&Value>,
    mut new: Value,
    writer: &Writer,
    now: &str,
) -> Value {
    let mut entries = entries(live);
    let is_untracked = live.is_some() && entries.is_empty();
    if !is_untracked {
        let empty = zero(kind);
        record_update(kind, live.unwrap_or(&empty), &new, writer, now, &mut entries);
    }
    write(&mut new, entries);
    new
}

fn record_update(
    kind: &Kind,
    old: &Value,
    new: &Value,
    writer: &Writer,
    now: &str,
    entries: &mut Vec<Entry>,
) {
    let difference = typed::compare(&kind.schema, &bare(old), &bare(new));
    let changed = owned(kind, &writer.subresource, difference.modified.union(&difference.added));
    let mine = place(kind, writer, entries);
    for (at, entry) in entries.iter_mut().enumerate() {
        entry.set = entry.set.minus(&difference.removed);
        if Some(at) != mine {
            entry.set = entry.set.minus(&changed);
        }
    }
    match mine {
        Some(at) => {
            let set = entries[at].set.union(&changed);
            if writer.subresource != "scale" && set != entries[at].set
                || !difference.removed.is_empty() && !changed.is_empty()
            {
                now.clone_into(&mut entries[at].time);
            }
            entries[at].set = set;
        }
        None => entries.push(Entry {
            writer: writer.clone(),
            version: kind.api_version(),
            // What is owned by scaling has no time there.
            time: if writer.subresource == "scale" { "" } else { now }.to_owned(),
            set: changed,
        }),
    }
    entries.retain(|entry| !entry.set.is_empty());
}

/// What an apply makes of an object.
pub(crate) fn applied(
    kind: &Kind,
    live: Option<&Value>,
    config: &Value,
    writer: &Writer,
    force: bool,
    now: &str,
) -> Result<Value, Refusal> {
    let mut entries = entries(live);
    let empty = zero(kind);
    if let Some(live) = live.filter(|_| entries.is_empty()) {
        let before = Writer { name: BEFORE.to_owned(), applies: false, subresource: String::new() };
        record_update(kind, &empty, live, &before, now, &mut entries);
    }
    let old = live.map_or_else(|| json!({}), bare);
    let merged = typed::merge(&kind.schema, Some(&old), &bare(config));
    let set = owned(kind, &writer.subresource, typed::fields_of(&kind.schema, &bare(config)));
    let mine = place(kind, writer, &entries);
    let last = mine.map(|at| entries[at].set.clone()).unwrap_or_default();
    let others = entries.iter().enumerate().filter(|(at, _)| Some(*at) != mine);
    let with_parents = |set: &Set| with_parents(&kind.schema, set);
    let kept = others.fold(with_parents(&set), |all, (_, entry)| all.union(&with_parents(&entry.set)));
    let pruned = typed::without(&kind.schema, &merged, &with_parents(&last).minus(&kept));
    let mut new = if pruned.is_null() { json!({}) } else { pruned };
    let difference = typed::compare(&kind.schema, &old, &new);
    let changed = owned(kind, &writer.subresource, difference.modified.union(&difference.added));
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for (at, entry) in entries.iter_mut().enumerate() {
        if Some(at) == mine {
            continue;
        }
        let conflict = entry.set.common(&changed);
        if !conflict.is_empty() {
            conflicts.push((shown(entry), conflict.paths()));
            entry.set = entry.set.minus(&conflict);
        }
        entry.set = entry.set.minus(&difference.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(apply_conflict(&conflicts));
    }
    // An apply that changes nothing has no time of its own.
    let is_change =
        [&difference.added, &difference.modified, &difference.removed].iter().any(|set| !set.is_empty());
    match mine {
        Some(at) => {
            if is_change {
                now.clone_into(&mut entries[at].time);
            }
            entries[at].set = set;
        }
        None => entries.push(Entry {
            writer: writer.clone(),
            version: kind.api_version(),
            time: if is_change { now } else { "" }.to_owned(),
            set,
        }),
    }
    entries.retain(|entry| !entry.set.is_empty());
    for field in ["apiVersion", "kind"] {
        new[field].clone_from(&config[field]);
    }
    write(&mut new, entries);
    Ok(new)
}

/// An item of a list, or a field that the schema names, belongs to whoever owns anything below it.
fn with_parents(schema: &Schema, set: &Set) -> Set {
    let mut all = set.clone();
    all.make_parents_members(schema);
    all
}

fn shown(entry: &Entry) -> String {
    let mut text = format!("{:?}", entry.writer.name);
    if !entry.writer.subresource.is_empty() {
        text = format!("{text} with subresource {:?}", entry.writer.subresource);
    }
    if !entry.writer.applies {
        text = format!("{text} using {}", entry.version);
    }
    text
}

fn place(kind: &Kind, writer: &Writer, entries: &[Entry]) -> Option<usize> {
    let version = kind.api_version();
    entries.iter().position(|entry| entry.writer == *writer && entry.version == version)
}

/// Without what nobody can own, and what a write to this subresource leaves as it is.
fn owned(kind: &Kind, subresource: &str, mut set: Set) -> Set {
    for field in ["apiVersion", "kind"] {
        set.without(&[field]);
    }
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.without(&["metadata", field]);
    }
    set.without_member("metadata");
    for path in kind.left_alone(subresource) {
        set.without(path);
    }
    set
}

/// Without managed fields.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    meta::remove(&mut object, "managedFields");
    object
}

fn entries(object: Option<&Value>) -> Vec<Entry> {
    let all = object.and_then(|object| object["metadata"]["managedFields"].as_array());
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let read = |entry: &Value| Entry {
        writer: Writer {
            name: text(entry, "manager"),
            applies: entry["operation"] == "Apply",
            subresource: text(entry, "subresource"),
        },
        version: text(entry, "apiVersion"),
        time: text(entry, "time"),
        set: Set::from_value(&entry["fieldsV1"]),
    };
    all.into_iter().flatten().map(read).collect()
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| {
            let Entry { writer, version, time, set: _ } = entry;
            (!writer.applies, time.clone(), writer.name.clone(), version.clone(), writer.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    let written: Vec<_> = entries
        .into_iter()
        .map(|Entry { writer, version, time, set }| {
            let mut entry = json!({
                "manager": writer.name,
                "operation": if writer.applies { "Apply" } else { "Update" },
                "apiVersion": version,
                "time": time,
                "fieldsType": "FieldsV1",
                "fieldsV1": set.to_value(),
            });
            if entry["time"] == "" {
                meta::remove_at(&mut entry, "time");
            }
            if !writer.subresource.is_empty() {
                entry["subresource"] = writer.subresource.into();
            }
            entry
        })
        .collect();
    if written.is_empty() {
        meta::remove(object, "managedFields");
    } else {
        meta::set(object, "managedFields", written);
    }
}
