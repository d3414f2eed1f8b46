//! What of two answers may differ, and everything else that must not.
//!
//! From a server's answers to answers in which numbers that only this server has stand as their order of appearance: UIDs,
//! versions, times, tokens, generated names, places in lists. Orders that the real server takes from its hash maps are sorted.
//! Deliberately absent: exceptions for single cases.

use super::play::Answer;
use apiserver_sim::{LEFT_OUT, LeftOut};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Makes the answers of one server comparable.
#[derive(Debug, Default)]
pub struct Normal {
    uids: Vec<String>,
    versions: Vec<u64>,
    /// Places in [`LEFT_OUT`] that occurred.
    pub left_out: BTreeSet<usize>,
}

/// Fields that are times of the server's.
const TIMES: [&str; 4] = ["creationTimestamp", "deletionTimestamp", "expirationTimestamp", "time"];

impl Normal {
    /// Makes an answer comparable.
    pub fn answer(&mut self, answer: &Answer) -> Answer {
        let mut answer = answer.clone();
        match &mut answer.body {
            Value::Array(events) => {
                for event in events.iter_mut() {
                    if event["type"] == "BOOKMARK" {
                        event["object"]["metadata"]["resourceVersion"] = "newest".into();
                    }
                    self.value(event);
                }
                // The real one may send the last one twice.
                events.dedup_by(|a, b| a["type"] == "BOOKMARK" && a == b);
            }
            body => {
                self.list(body);
                self.value(body);
            }
        }
        answer
    }

    /// A list's version is the newest, or that of the list that it continues.
    fn list(&mut self, body: &mut Value) {
        if !body["items"].is_array() {
            return;
        }
        for item in body["items"].as_array_mut().into_iter().flatten() {
            self.value(item);
        }
        let version = body["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
        let newest = self.versions.iter().max().copied().unwrap_or(0);
        let is_newest = version.is_some_and(|version| version >= newest);
        body["metadata"]["resourceVersion"] = if is_newest { "newest" } else { "older" }.into();
        if body["metadata"].get("continue").is_some() {
            body["metadata"]["continue"] = "continue".into();
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>) {
        for (place, left) in LEFT_OUT.iter().enumerate() {
            self.leave_out(place, left, fields);
        }
        if fields.get("kind").is_some_and(|kind| kind == "Status") {
            status(fields);
        }
        let generated = fields.get("generateName").and_then(Value::as_str).map(str::to_owned);
        if let (Some(generated), Some(name)) = (generated, fields.get_mut("name")) {
            let is_generated = name
                .as_str()
                .is_some_and(|name| name.len() == generated.len() + 5 && name.starts_with(&generated));
            if is_generated {
                *name = format!("{generated}*").into();
            }
        }
        // Keys of managed fields carry UIDs too.
        let names: Vec<_> = fields.keys().filter(|name| name.starts_with("k:")).cloned().collect();
        for name in names {
            if let Some(value) = fields.remove(&name) {
                let name = self.text(&name);
                fields.insert(name, value);
            }
        }
        for (name, value) in fields.iter_mut() {
            match (name.as_str(), &value) {
                ("resourceVersion", Value::String(text)) => {
                    if let Ok(version) = text.parse() {
                        *value = self.version(version).into();
                    }
                }
                (name, Value::String(text)) if TIMES.contains(&name) && text.ends_with('Z') => {
                    *value = "time".into();
                }
                ("token", Value::String(text)) if text.matches('.').count() == 2 && text.len() > 100 => {
                    *value = "token".into();
                }
                ("continue", Value::String(text)) if !text.is_empty() => *value = "continue".into(),
                ("managedFields", Value::Array(_)) => {
                    self.value(value);
                    if let Value::Array(entries) = value {
                        entries.sort_by_key(Value::to_string);
                    }
                }
                _ => self.value(value),
            }
        }
    }

    fn leave_out(&mut self, place: usize, left: &LeftOut, fields: &mut Map<String, Value>) {
        if fields.get("kind").is_none_or(|kind| kind != left.kind) {
            return;
        }
        let Some((parent, name)) = left.pointer.trim_start_matches('/').rsplit_once('/') else { return };
        let Some(parent) = fields.get_mut(parent).and_then(Value::as_object_mut) else { return };
        let is_kept = parent
            .get(name)
            .is_none_or(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == left.but);
        if !is_kept {
            parent.remove(name);
            self.left_out.insert(place);
        }
    }

    fn version(&mut self, version: u64) -> String {
        let place = self.versions.iter().position(|known| *known == version).unwrap_or_else(|| {
            self.versions.push(version);
            self.versions.len() - 1
        });
        format!("version-{place}")
    }

    /// UIDs and the ends of volumes' names, wherever they stand.
    fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        let mut from = 0;
        while let Some(at) = (from..text.len()).find(|at| is_uid(text.get(*at..at + 36).unwrap_or_default()))
        {
            let uid = text[at..at + 36].to_owned();
            from = at + 1;
            if uid.starts_with("00000000-") {
                continue;
            }
            let place = self.uids.iter().position(|known| *known == uid).unwrap_or_else(|| {
                self.uids.push(uid.clone());
                self.uids.len() - 1
            });
            text = text.replace(&uid, &format!("uid-{place}"));
        }
        let volume = "kube-api-access-";
        if text.starts_with(volume) && text.len() == volume.len() + 5 {
            return format!("{volume}*");
        }
        text
    }
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The real one tells causes in any order; its message must say what the causes say.
fn status(fields: &mut Map<String, Value>) {
    let message = fields.get("message").and_then(Value::as_str).unwrap_or_default();
    let mut message = plain(message);
    if let Some(causes) =
        fields.get_mut("details").and_then(|details| details.get_mut("causes")).and_then(Value::as_array_mut)
    {
        for cause in causes.iter_mut() {
            let told = plain(cause["message"].as_str().unwrap_or_default());
            cause["message"] = told.into();
        }
        let told: Vec<_> = causes
            .iter()
            .map(|cause| {
                format!(
                    "{}: {}",
                    cause["field"].as_str().unwrap_or_default(),
                    cause["message"].as_str().unwrap_or_default()
                )
            })
            .collect();
        let told = if told.len() == 1 { told.concat() } else { format!("[{}]", told.join(", ")) };
        if let Some(head) = message.strip_suffix(&told) {
            message = format!("{head}(its causes)");
        }
        causes.sort_by_key(Value::to_string);
    }
    fields.insert("message".to_owned(), message.into());
}

/// Without whole objects, differences of Go structures, and versions.
fn plain(message: &str) -> String {
    let message = message.split("\n@@").next().unwrap_or_default();
    let mut message = message.to_owned();
    for start in ["Invalid value: \"{"] {
        if let (Some(at), Some(end)) = (message.find(start), message.rfind("}\": ")) {
            message.replace_range(at + start.len()..end, "...");
        }
    }
    for start in ["ResourceVersion in record (", "too old resource version: ", "Too large resource version: "]
    {
        if let Some(at) = message.find(start) {
            let numbers: String =
                message[at..].chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
            let mut short = numbers.clone();
            while short.contains("##") {
                short = short.replace("##", "#");
            }
            message.replace_range(at.., &short);
        }
    }
    message
}

/// Where two answers differ, one line a place.
pub fn differences(real: &Answer, ours: &Answer) -> Vec<String> {
    let mut lines = Vec::new();
    if real.status != ours.status {
        lines.push(format!("status: real {}, ours {}", real.status, ours.status));
    }
    if real.warnings != ours.warnings {
        lines.push(format!("warnings: real {:?}, ours {:?}", real.warnings, ours.warnings));
    }
    differ("", Some(&real.body), Some(&ours.body), &mut lines);
    lines
}

fn differ(path: &str, real: Option<&Value>, ours: Option<&Value>, lines: &mut Vec<String>) {
    match (real, ours) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                differ(&format!("{path}/{name}"), a.get(name), b.get(name), lines);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for place in 0..a.len().max(b.len()) {
                differ(&format!("{path}/{place}"), a.get(place), b.get(place), lines);
            }
        }
        (real, ours) if real == ours => {}
        (real, ours) => {
            let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            lines.push(format!("{path}: real {}, ours {}", shown(real), shown(ours)));
        }
    }
}
