//! An object as its members' texts: what an event's `d` is kept as until it is written to a connection.
//!
//! From: whoever makes an event. For: the sessions' logs and the writer. Discord promises no order of keys, so every session
//! gets them in an order of its own, without a second rendering: the members are joined as they are sent.
//! Deliberately absent: orders inside nested objects; those are the same for all sessions.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// What separates two members; JSON text never holds it raw.
const BETWEEN: u8 = b'\n';

/// A JSON object in the making: `"key":value` after `"key":value`.
#[derive(Clone, Debug, Default)]
pub struct Members(Vec<u8>);

impl Members {
    /// No members yet, room for a typical message.
    pub fn new() -> Self {
        Self(Vec::with_capacity(1024))
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.add(key, value);
        self
    }

    /// Adds a member.
    pub fn add(&mut self, key: &str, value: &(impl Serialize + ?Sized)) {
        if !self.0.is_empty() {
            self.0.push(BETWEEN);
        }
        self.write(key);
        self.0.push(b':');
        self.write(value);
    }

    fn write(&mut self, value: &(impl Serialize + ?Sized)) {
        let before = self.0.len();
        // Values of this crate have string keys, so they can be written; what cannot becomes null.
        if serde_json::to_writer(&mut self.0, value).is_err() {
            self.0.truncate(before);
            self.0.extend(b"null");
        }
    }

    /// The object's text, members in the order in which they were added.
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(self.0.len() + 2);
        write_members(&mut text, &String::from_utf8_lossy(&self.0), 0);
        text
    }

    /// The object as a value.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.to_json()).unwrap_or_default()
    }

    /// To be shared by all sessions that get it.
    pub fn shared(self) -> Arc<str> {
        // serde_json writes UTF-8 only.
        String::from_utf8(self.0).unwrap_or_default().into()
    }
}

/// The members of a JSON object; of anything else, none.
impl From<&Value> for Members {
    fn from(value: &Value) -> Self {
        let mut members = Self::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            members.add(key, value);
        }
        members
    }
}

impl From<Value> for Members {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

/// Writes an object of shared members in one of many orders; the same `order` gives the same one.
pub fn write_members(text: &mut String, members: &str, order: u32) {
    let between = char::from(BETWEEN);
    let count = 1 + members.bytes().filter(|byte| *byte == BETWEEN).count();
    let by = usize::try_from(order / 2).unwrap_or_default() % count;
    text.push('{');
    if order & 1 == 0 {
        join(text, members.split(between).skip(by).chain(members.split(between).take(by)));
    } else {
        join(text, members.rsplit(between).skip(by).chain(members.rsplit(between).take(by)));
    }
    text.push('}');
}

fn join<'a>(text: &mut String, parts: impl Iterator<Item = &'a str>) {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_order_is_the_same_object_in_another_text() {
        let value = json!({ "a": 1, "b": [1, "x,\n\"y"], "c": { "d": null }, "e": "\u{2028}" });
        let members = Members::from(&value).shared();
        let mut texts = std::collections::BTreeSet::new();
        for order in 0..20 {
            let mut text = String::new();
            write_members(&mut text, &members, order);
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            texts.insert(text);
        }
        assert_eq!(texts.len(), 8, "four rotations, each in both directions");
    }

    #[test]
    fn an_object_without_members_and_keys_that_need_escapes_are_right_too() {
        for value in [json!({}), json!({ "\"k\n": 1 }), json!({ "": 0 })] {
            assert_eq!(serde_json::from_str::<Value>(&Members::from(&value).to_json()).unwrap(), value);
        }
    }
}
