//! Sets of fields, as managed fields carry them.
//!
//! From `fieldsV1` to a tree of path elements and back, with union, difference and intersection. An element that is in the set
//! itself is a member; its children may be in the set without it. Deliberately absent: objects.

use crate::schema::Schema;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// `f:name`.
    Field(String),
    /// `k:{"name":"bot"}`: the keys as JSON, sorted.
    Keys(String),
    /// `v:"x"`, as JSON.
    Item(String),
}

impl Element {
    /// The item of a list by these keys.
    pub(crate) fn keys<'a>(keys: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let keys: Map<String, Value> = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self::Keys(Value::Object(keys).to_string())
    }

    fn written(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Keys(keys) => format!("k:{keys}"),
            Self::Item(value) => format!("v:{value}"),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (sort, rest) = text.split_once(':')?;
        match sort {
            "f" => Some(Self::Field(rest.to_owned())),
            // Keys may come in any order and with blanks.
            "k" => Some(Self::Keys(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            "v" => Some(Self::Item(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            _ => None,
        }
    }
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(BTreeMap<Element, Node>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    is_member: bool,
    children: Set,
}

impl Set {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(|node| !node.is_member && node.children.is_empty())
    }

    pub(crate) fn insert(&mut self, path: &[Element]) {
        if let [first, rest @ ..] = path {
            let node = self.0.entry(first.clone()).or_default();
            if rest.is_empty() {
                node.is_member = true;
            } else {
                node.children.insert(rest);
            }
        }
    }

    pub(crate) fn has(&self, element: &Element) -> bool {
        self.0.get(element).is_some_and(|node| node.is_member)
    }

    /// What is below an element.
    pub(crate) fn below(&self, element: &Element) -> Option<&Set> {
        self.0.get(element).map(|node| &node.children)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (element, node) in &other.0 {
            let mine = all.0.entry(element.clone()).or_default();
            mine.is_member |= node.is_member;
            mine.children = mine.children.union(&node.children);
        }
        all
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.combined(other, |mine, theirs| mine && !theirs, Self::minus)
    }

    pub(crate) fn common(&self, other: &Self) -> Self {
        self.combined(other, |mine, theirs| mine && theirs, Self::common)
    }

    fn combined(&self, other: &Self, is_in: fn(bool, bool) -> bool, below: fn(&Self, &Self) -> Self) -> Self {
        let nothing = Node::default();
        let mut all = BTreeMap::new();
        for (element, mine) in &self.0 {
            let theirs = other.0.get(element).unwrap_or(&nothing);
            let node = Node {
                is_member: is_in(mine.is_member, theirs.is_member),
                children: below(&mine.children, &theirs.children),
            };
            if node.is_member || !node.children.is_empty() {
                all.insert(element.clone(), node);
            }
        }
        Self(all)
    }

    /// Without a field and everything below it.
    pub(crate) fn without(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let element = Element::Field((*first).to_owned());
        if rest.is_empty() {
            self.0.remove(&element);
        } else if let Some(node) = self.0.get_mut(&element) {
            node.children.without(rest);
            if !node.is_member && node.children.is_empty() {
                self.0.remove(&element);
            }
        }
    }

    /// Without a field itself, but with what is below it.
    pub(crate) fn without_member(&mut self, name: &str) {
        let element = Element::Field(name.to_owned());
        if let Some(node) = self.0.get_mut(&element) {
            node.is_member = false;
            if node.children.is_empty() {
                self.0.remove(&element);
            }
        }
    }

    /// Items of lists, and fields that the schema names, become members where there is anything below them.
    pub(crate) fn make_parents_members(&mut self, schema: &Schema) {
        for (element, node) in &mut self.0 {
            let (is_parent, below) = match element {
                Element::Field(name) => {
                    let is_named = schema.properties.contains_key(name) && !node.children.is_empty();
                    (is_named, schema.field(name))
                }
                _ => (true, Some(schema.item())),
            };
            node.is_member |= is_parent;
            node.children.make_parents_members(below.unwrap_or(&Schema::default()));
        }
    }

    /// All paths in it, as messages show them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, before: &str, paths: &mut Vec<String>) {
        for (element, node) in &self.0 {
            let path = format!("{before}{}", shown(element));
            if node.is_member {
                paths.push(path.clone());
            }
            node.children.collect(&path, paths);
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut fields = Map::new();
        for (element, node) in &self.0 {
            let mut below = node.children.to_value();
            if node.is_member && !node.children.is_empty() {
                below["."] = json!({});
            }
            fields.insert(element.written(), below);
        }
        Value::Object(fields)
    }

    pub(crate) fn from_value(value: &Value) -> Self {
        let mut set = BTreeMap::new();
        for (key, below) in value.as_object().into_iter().flatten() {
            let Some(element) = Element::read(key) else { continue };
            let is_member = below.get(".").is_some() || below.as_object().is_some_and(Map::is_empty);
            set.insert(element, Node { is_member, children: Self::from_value(below) });
        }
        Self(set)
    }
}

fn shown(element: &Element) -> String {
    match element {
        Element::Field(name) => format!(".{name}"),
        Element::Item(value) => format!("[={value}]"),
        Element::Keys(keys) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let mut text = String::new();
            for (key, value) in keys {
                let comma = if text.is_empty() { "" } else { "," };
                // Writing to a String cannot fail.
                let _ = write!(text, "{comma}{key}={value}");
            }
            format!("[{text}]")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Set {
        Set::from_value(value)
    }

    #[test]
    fn what_is_read_is_written_again() {
        let value = json!({ "f:a": { ".": {}, "f:b": {} }, "f:l": { "k:{\"name\":\"x\"}": { ".": {}, "f:v": {} } }, "f:c": {} });
        assert_eq!(read(&value).to_value(), value);
        assert_eq!(read(&value).paths(), [".a", ".a.b", ".c", ".l[name=\"x\"]", ".l[name=\"x\"].v"]);
    }

    #[test]
    fn sets_are_combined_member_by_member() {
        let (one, two) = (
            read(&json!({ "f:a": { ".": {}, "f:b": {} } })),
            read(&json!({ "f:a": { "f:b": {}, "f:c": {} } })),
        );
        assert_eq!(one.minus(&two).to_value(), json!({ "f:a": {} }));
        assert_eq!(one.common(&two).to_value(), json!({ "f:a": { "f:b": {} } }));
        assert_eq!(one.union(&two).to_value(), json!({ "f:a": { ".": {}, "f:b": {}, "f:c": {} } }));
        assert!(one.minus(&one).is_empty());
    }
}
