//! Objects field by field: which fields a value has, how two differ, one merged into another, fields taken out.
//!
//! From a schema and values to sets of fields and values, as structured-merge-diff does it: maps and structures are merged,
//! lists by their keys or as sets, everything else as one value. Deliberately absent: who owns what.

use crate::fields::{Element, Set};
use crate::schema::{Merged, Schema, Type};
use serde_json::{Map, Value};

/// How two objects differ.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) added: Set,
    pub(crate) modified: Set,
    pub(crate) removed: Set,
}

/// The element of a list's item.
fn element(schema: &Schema, item: &Value) -> Element {
    let Merged::ByKeys(keys) = &schema.merged else { return Element::Item(item.to_string()) };
    Element::keys(keys.iter().filter_map(|key| {
        let found = item.get(key).cloned();
        let default = || schema.item().field(key).and_then(|field| field.default.clone());
        Some((key.as_str(), found.or_else(default)?))
    }))
}

/// The fields that an applied value speaks of: leaves, items of lists, and what is empty.
pub(crate) fn fields_of(schema: &Schema, value: &Value) -> Set {
    let mut set = Set::default();
    collect(schema, value, &mut Vec::new(), &mut set);
    set
}

fn collect(schema: &Schema, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    if schema.is_leaf(value) {
        set.insert(path);
        return;
    }
    match value {
        Value::Object(fields) => {
            // A map of which nothing is known is a field itself.
            if fields.is_empty() || schema.kind == Type::Any {
                set.insert(path);
            }
            for (name, value) in fields {
                path.push(Element::Field(name.clone()));
                match schema.field(name) {
                    Some(field) => collect(field, value, path, set),
                    None => set.insert(path),
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            if items.is_empty() {
                set.insert(path);
            }
            for item in items {
                path.push(element(schema, item));
                set.insert(path);
                if !matches!(schema.merged, Merged::Set) && !schema.item().is_leaf(item) {
                    collect(schema.item(), item, path, set);
                }
                path.pop();
            }
        }
        _ => {}
    }
}

/// What an applied value has that the schema does not, the first of it.
pub(crate) fn undeclared(schema: &Schema, value: &Value, path: &str) -> Option<String> {
    match (schema.kind, value) {
        (Type::Text, Value::Bool(_) | Value::Number(_)) => {
            return Some(format!("{path}: expected string, got &value.valueUnstructured{{Value:{value}}}"));
        }
        (Type::Object, Value::Array(_)) => {
            return Some(format!("{path}: expected map, got &{{{}}}", value.to_string().replace(',', " ")));
        }
        _ => {}
    }
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match schema.field(name) {
                None => Some(format!("{path}: field not declared in schema")),
                Some(field) => undeclared(field, value, &path),
            }
        }),
        Value::Array(items) => items.iter().find_map(|item| {
            let path = format!("{path}{}", shown(schema, item));
            undeclared(schema.item(), item, &path)
        }),
        _ => None,
    }
}

fn shown(schema: &Schema, item: &Value) -> String {
    let mut set = Set::default();
    set.insert(&[element(schema, item)]);
    set.paths().pop().unwrap_or_default()
}

/// How `new` differs from `old`.
pub(crate) fn compare(schema: &Schema, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    walk(schema, Some(old), Some(new), &mut Vec::new(), &mut difference);
    difference
}

fn walk(
    schema: &Schema,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Element>,
    to: &mut Difference,
) {
    match (old, new) {
        (None, None) => return,
        (None, Some(_)) => to.added.insert(path),
        (Some(_), None) => to.removed.insert(path),
        (Some(_), Some(_)) => {}
    }
    let shape = new.filter(|value| !value.is_null()).or(old);
    let Some(shape) = shape else { return };
    if schema.is_leaf(shape) {
        if old.is_some() && new.is_some() && old != new {
            to.modified.insert(path);
        }
        return;
    }
    if shape.is_object() {
        let both = [old, new].map(|value| value.and_then(Value::as_object));
        let mut names: Vec<&String> = both.iter().flatten().flat_map(|fields| fields.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let [old, new] = both.map(|fields| fields.and_then(|fields| fields.get(name)));
            path.push(Element::Field(name.clone()));
            walk(schema.field(name).unwrap_or(&Schema::default()), old, new, path, to);
            path.pop();
        }
    } else {
        let both = [old, new].map(|value| items(schema, value));
        let mut elements: Vec<&Element> = both.iter().flatten().map(|(element, _)| element).collect();
        elements.sort_unstable();
        elements.dedup();
        for at in elements {
            let [old, new] = [&both[0], &both[1]]
                .map(|items| items.iter().find(|(element, _)| element == at).map(|(_, item)| *item));
            path.push(at.clone());
            walk(schema.item(), old, new, path, to);
            path.pop();
        }
    }
}

fn items<'a>(schema: &Schema, list: Option<&'a Value>) -> Vec<(Element, &'a Value)> {
    list.and_then(Value::as_array).into_iter().flatten().map(|item| (element(schema, item), item)).collect()
}

/// `live` with what `config` says.
pub(crate) fn merge(schema: &Schema, live: Option<&Value>, config: &Value) -> Value {
    if schema.is_leaf(config) {
        return config.clone();
    }
    match config {
        Value::Object(fields) => {
            let mut merged = live.and_then(Value::as_object).cloned().unwrap_or_default();
            for (name, value) in fields {
                let unknown = Schema::default();
                let field = schema.field(name).unwrap_or(&unknown);
                let value = merge(field, merged.get(name), value);
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        _ => Value::Array(merge_lists(schema, &items(schema, live), &items(schema, Some(config)))),
    }
}

/// Items in the order that was applied; those that only the live list has keep their places among them.
fn merge_lists(schema: &Schema, live: &[(Element, &Value)], config: &[(Element, &Value)]) -> Vec<Value> {
    let find = |list: &[(Element, &Value)], at: &Element| list.iter().position(|(element, _)| element == at);
    let mut shared = config.iter().filter(|(at, _)| find(live, at).is_some()).map(|(at, _)| at).peekable();
    let (mut left, mut right, mut merged) = (0, 0, Vec::new());
    while left < live.len() || right < config.len() {
        if let (Some((at, _)), Some((wanted, _))) = (live.get(left), config.get(right)) {
            if at == wanted {
                left += 1;
            } else if find(config, at).is_none() {
                merged.push(live[left].1.clone());
                left += 1;
                continue;
            } else if shared.peek().is_some_and(|next| *next != at) {
                left += 1;
                continue;
            }
        } else if let Some((at, item)) = live.get(left) {
            if find(config, at).is_none() {
                merged.push((*item).clone());
            }
            left += 1;
            continue;
        }
        let Some((at, item)) = config.get(right) else { break };
        let before = find(live, at).map(|place| live[place].1);
        merged.push(merge(schema.item(), before, item));
        shared.next_if(|next| *next == at);
        right += 1;
    }
    merged
}

/// The value without these fields. What loses everything becomes null.
pub(crate) fn without(schema: &Schema, value: &Value, fields: &Set) -> Value {
    if schema.is_leaf(value) {
        return value.clone();
    }
    if let Some(old) = value.as_object() {
        let mut kept = Map::new();
        for (name, value) in old {
            let at = Element::Field(name.clone());
            if fields.has(&at) {
                continue;
            }
            let unknown = Schema::default();
            let below = fields.below(&at).filter(|below| !below.is_empty());
            let value = below.map_or_else(
                || value.clone(),
                |below| without(schema.field(name).unwrap_or(&unknown), value, below),
            );
            kept.insert(name.clone(), value);
        }
        if kept.is_empty() { Value::Null } else { Value::Object(kept) }
    } else {
        let kept: Vec<_> = items(schema, Some(value))
            .into_iter()
            .filter(|(at, _)| !fields.has(at))
            .map(|(at, item)| {
                let below = fields.below(&at).filter(|below| !below.is_empty());
                below.map_or_else(|| item.clone(), |below| without(schema.item(), item, below))
            })
            .collect();
        if kept.is_empty() { Value::Null } else { Value::Array(kept) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Types;
    use serde_json::json;

    #[test]
    fn lists_are_merged_by_their_keys_in_the_order_applied() {
        let schema = Types::built_in().unwrap().get("core.v1.PodSpec").unwrap();
        let spec = |names: &[&str]| {
            let containers: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "containers": containers })
        };
        let names = |value: &Value| -> Vec<String> {
            let all = value["containers"].as_array().unwrap();
            all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        let merged = |live: &[&str], config: &[&str]| {
            names(&merge(&schema, Some(&spec(live)), &spec(config))).join("")
        };
        for (live, config, wanted) in [
            (&["a", "b"][..], &["c"][..], "abc"),
            (&["a", "b"], &["b", "c"], "abc"),
            (&["a", "b"], &["b", "a"], "ba"),
            (&[], &["x", "y"], "xy"),
            (&["a", "b", "c"], &["c", "a"], "bca"),
        ] {
            assert_eq!(merged(live, config), wanted, "{live:?} {config:?}");
        }
    }

    #[test]
    fn a_difference_names_what_is_added_with_all_that_contains_it() {
        let schema = Types::built_in().unwrap().get("core.v1.ConfigMap").unwrap();
        let difference = compare(
            &schema,
            &json!({ "metadata": { "labels": { "a": "1" } }, "data": { "k": "v" } }),
            &json!({ "metadata": { "annotations": { "b": "2" } }, "data": { "k": "w" } }),
        );
        assert_eq!(difference.added.paths(), [".metadata.annotations", ".metadata.annotations.b"]);
        assert_eq!(difference.removed.paths(), [".metadata.labels", ".metadata.labels.a"]);
        assert_eq!(difference.modified.paths(), [".data.k"]);
    }
}
