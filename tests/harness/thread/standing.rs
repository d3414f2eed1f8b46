//! What stands in the namespace, without what two stories of the same outcome may differ in.
//!
//! From all objects of the API server to one line for each: names, specs, labels, what the records and the status say; not UIDs, times,
//! versions, or words for people. Deliberately absent: leases and events, which tell what happened.

use super::NAMESPACE;
use apiserver_sim::Server;
use serde_json::{Map, Value, json};
use shard_contract::names::{LAYOUT_LABEL, LAYOUTS_KEY, parse_record_key};
use shard_contract::record::Record;
use shard_operator::names::{FALLBACK_SLOT_LABEL, HASH_ANNOTATION, SESSION_GROUP_LABEL};
use std::collections::BTreeMap;

/// The shelf of bots.
const BOTS: &str = "shardedbots.shard-operator.dev";
/// What is compared.
const KINDS: [&str; 10] = [
    "configmaps",
    "pods",
    "poddisruptionbudgets.policy",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "secrets",
    "serviceaccounts",
    "services",
    BOTS,
    "statefulsets.apps",
];
/// Of an object's metadata, what is no two times the same.
const OF_THIS_TIME: [&str; 6] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "managedFields",
    "resourceVersion",
    "uid",
];

/// All objects, each as a line, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing(BTreeMap<String, Value>);

impl Standing {
    /// What changes when anything of it may have changed.
    #[must_use]
    pub fn versions(api: &Server) -> [u64; KINDS.len()] {
        KINDS.map(|kind| api.version_of(kind))
    }

    /// As it is now.
    #[must_use]
    pub fn of(api: &Server) -> Self {
        let objects = api.objects().into_iter().filter(|(kind, object)| {
            KINDS.contains(&kind.as_str()) && object["metadata"]["namespace"] == NAMESPACE
        });
        let line = |(kind, mut object): (String, Value)| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            tidy(&kind, &mut object);
            (format!("{kind}/{name}"), object)
        };
        Self(objects.map(line).collect())
    }

    /// The same without the numbers of layouts and whatever counts: as it is for somebody who has not seen what was before.
    #[must_use]
    pub fn without_numbers(&self) -> Self {
        let free = |(name, object): (&String, &Value)| (without_number(name), free(object.clone()));
        Self(self.0.iter().map(free).collect())
    }

    /// The same as wanted by the other's ShardedBots.
    #[must_use]
    pub fn with_spec_of(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (name, bot) in all.0.iter_mut().filter(|(name, _)| name.starts_with(BOTS)) {
            bot["spec"] = other.0.get(name).map(|bot| bot["spec"].clone()).unwrap_or_default();
        }
        all
    }

    /// What is in one of two and not in the other, or not the same.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let mut differs = Vec::new();
        for name in names {
            let none = Value::Null;
            compare(
                name,
                self.0.get(name).unwrap_or(&none),
                other.0.get(name).unwrap_or(&none),
                &mut differs,
            );
        }
        differs
    }
}

/// Where two values differ.
fn compare(place: &str, one: &Value, other: &Value, differs: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for name in names {
                let none = Value::Null;
                let [one, other] = [one, other].map(|object| object.get(name).unwrap_or(&none));
                compare(&format!("{place}.{name}"), one, other, differs);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{place}[{at}]"), one, other, differs);
            }
        }
        _ if one == other => {}
        _ => differs.push(format!("{place}: {one} instead of {other}")),
    }
}

fn tidy(kind: &str, object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| !OF_THIS_TIME.contains(&name.as_str()));
        // It is also of the owner's UID, and of Discord's address, which is the system's choice.
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(HASH_ANNOTATION);
        }
        if let Some(Value::Array(owners)) = metadata.get_mut("ownerReferences") {
            owners.iter_mut().filter_map(Value::as_object_mut).for_each(|owner| drop(owner.remove("uid")));
        }
    }
    match kind {
        "configmaps" => {
            if let Some(text) = object["data"][LAYOUTS_KEY].as_str() {
                let mut document: Value = serde_json::from_str(text).unwrap_or_default();
                remove(&mut document, &["discord", "generation"]);
                object["data"][LAYOUTS_KEY] = document;
            }
        }
        "secrets" => records(object),
        "pods" | "statefulsets.apps" => {
            anonymous(object);
            let ready = json!([object["status"]["phase"], object["status"]["readyReplicas"]]);
            object["status"] = ready;
        }
        BOTS => status(&mut object["status"]),
        _ => {}
    }
}

/// The API server's own volume has another name each time.
fn anonymous(value: &mut Value) {
    const OWN: &str = "kube-api-access";
    match value {
        Value::Object(object) => object.values_mut().for_each(anonymous),
        Value::Array(all) => all.iter_mut().for_each(anonymous),
        Value::String(text) if text.starts_with(OWN) => OWN.clone_into(text),
        _ => {}
    }
}

/// Whose a shard is and whether there is a session, instead of the record.
fn records(secret: &mut Value) {
    let Some(data) = secret["data"].as_object_mut() else { return };
    for (key, value) in data.iter_mut().filter(|(key, _)| parse_record_key(key).is_some()) {
        let read: Option<Record> = serde_json::from_value::<k8s_openapi::ByteString>(value.take())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes.0).ok());
        *value = match read {
            Some(record) => json!({
                "state": record.state,
                "layout": record.owner.map(|owner| owner.layout),
                "session": record.session.is_some(),
            }),
            None => json!(format!("{key} cannot be read")),
        };
    }
}

fn status(status: &mut Value) {
    if let Some(identifies) = status["identifies"].as_object_mut() {
        identifies.retain(|name, _| matches!(name.as_str(), "total" | "maxConcurrency" | "waiting"));
    }
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let each = conditions.iter().map(|one| {
        let said = |field: &str| one[field].as_str().unwrap_or_default();
        (said("type").to_owned(), format!("{} {}", said("status"), said("reason")).into())
    });
    // Whether a token is another's too is known by and by.
    let each: Map<String, Value> = each.filter(|(name, _)| name != "TokenExclusive").collect();
    if !status.is_null() {
        status["conditions"] = each.into();
    }
}

fn remove(object: &mut Value, fields: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.retain(|name, _| !fields.contains(&name.as_str()));
    }
}

/// `mybot-12` and `mybot-12-0` lose the layout's number, `3.1` the session group's.
fn without_number(name: &str) -> String {
    if let Some((_, shard)) = parse_record_key(name) {
        return format!("group.{shard}");
    }
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts: Vec<_> = name.split('-').collect();
    if parts.iter().any(|part| part.ends_with("sessions")) {
        return name.to_owned();
    }
    if let Some(first) = parts.iter_mut().find(|part| number(part)) {
        *first = "number";
    }
    parts.join("-")
}

fn free(value: Value) -> Value {
    const COUNTED: [&str; 7] = [
        "generation",
        "observedGeneration",
        "number",
        "sessionGroup",
        "fallbackSlot",
        "layout",
        SESSION_GROUP_LABEL,
    ];
    match value {
        Value::Object(object) => object
            .into_iter()
            .filter(|(name, _)| {
                let name = name.as_str();
                !COUNTED.contains(&name) && name != LAYOUT_LABEL && name != FALLBACK_SLOT_LABEL
            })
            .map(|(name, value)| (without_number(&name), free(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(all) => all.into_iter().map(free).collect(),
        Value::String(text) if text.starts_with(super::BOT) => without_number(&text).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_layouts_are_taken_out_and_ordinals_stay() {
        for (with, without) in [
            ("pods/mybot-12-0", "pods/mybot-number-0"),
            ("mybot-12", "mybot-number"),
            ("3.1", "group.1"),
            ("secrets/mybot-sessions-0", "secrets/mybot-sessions-0"),
            ("mybot-layouts", "mybot-layouts"),
        ] {
            assert_eq!(without_number(with), without);
        }
    }

    #[test]
    fn a_difference_is_said_by_its_place() {
        let one = Standing([("a".to_owned(), json!({ "b": { "c": 1, "d": 2 } }))].into());
        let other = Standing([("a".to_owned(), json!({ "b": { "c": 3, "d": 2 } }))].into());
        assert_eq!(one.difference(&other), ["a.b.c: 1 instead of 3"]);
        assert!(one.difference(&one.clone()).is_empty());
    }
}
