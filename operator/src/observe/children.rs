//! The objects at the names that a bot uses, and those with its label, as far as a plan looks at them.
//!
//! From the API server's text to [`Child`]ren. Anybody in the bot's namespace may put an object at one of these names or this label on
//! hundreds: of what is not this bot's only name and owner are kept. Of its own, managed fields are left out, and of a
//! StatefulSet the template: its hash stands for it. Deliberately absent: Secrets and pods, which have files of their own.

use super::hands::other_hand;
use crate::context::Key;
use crate::model::{Child, Kind};
use crate::names::{OURS, api_version};
use crate::reads::{Error, Reads};
use crate::world::{names_of, path};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shard_contract::layouts::Layouts;
use shard_contract::names::{BOT_LABEL, LAYOUTS_KEY, stateful_set};
use std::collections::BTreeMap;
use strum::IntoEnumIterator;

/// The longest of an object's own that is read whole, in bytes; what the operator writes is far below.
const OWN_BYTES: usize = 256 << 10;
/// The longest of our own labels and annotations, in bytes.
const MARK_BYTES: usize = 253;
/// Objects of a kind that are kept: far more than three layouts have. Anybody may give more of them the bot's label.
const MOST: usize = 64;
/// Owners that are looked at; an object of ours has one.
const OWNERS: usize = 16;

/// Everything with the bot's label, and whatever stands at the names that it needs.
pub(super) async fn children(
    reads: &Reads,
    (namespace, bot): &Key,
    uid: &str,
) -> Result<Vec<Child>, (&'static str, Error)> {
    let mut children = Vec::new();
    for kind in Kind::iter().filter(|kind| *kind != Kind::Secret) {
        let path = path(namespace, kind);
        let failed = |error| (<&str>::from(kind), error);
        if let Some(name) = names_of(kind, bot) {
            let found = reads.get(&format!("{path}/{name}"), |text| child(kind, text, uid)).await;
            children.extend(found.map_err(failed)?.flatten());
        } else {
            let labelled = format!("{path}?labelSelector={BOT_LABEL}%3D{bot}");
            let mut left = [MOST, MOST];
            let mut keep = |text: &str| {
                let child = child(kind, text, uid)?;
                let left = &mut left[usize::from(child.ours)];
                *left = left.checked_sub(1)?;
                Some(child)
            };
            children.extend(reads.list(&labelled, &mut keep).await.map_err(failed)?);
            for name in unlabelled(kind, bot, &children) {
                let found = reads.get(&format!("{path}/{name}"), |text| child(kind, text, uid)).await;
                children.extend(found.map_err(failed)?.flatten().filter(|child| child.ours));
            }
        }
    }
    Ok(children)
}

/// The names of what the document tells of and the list does not: somebody may have taken the bot's label from it.
fn unlabelled(kind: Kind, bot: &str, children: &[Child]) -> Vec<String> {
    let document = document(children);
    let layouts = document.iter().flat_map(|document| &document.layouts).filter(|layout| layout.total > 0);
    let named = layouts.map(|layout| stateful_set(bot, layout.number));
    let is_listed = |name: &String| children.iter().any(|child| child.kind == kind && child.name == *name);
    named.filter(|name| !is_listed(name)).collect()
}

/// The document in the ConfigMap, if there is a readable one of ours.
pub(super) fn document(children: &[Child]) -> Option<Layouts> {
    let map = children.iter().find(|child| child.kind == Kind::ConfigMap && child.ours)?;
    serde_json::from_str(map.live["data"][LAYOUTS_KEY].as_str()?).ok()
}

/// What is read of any object.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    generation: i64,
    #[serde(borrow, default)]
    deletion_timestamp: Option<&'a RawValue>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    controller: bool,
}

/// What cannot be read as an object is not one.
fn child(kind: Kind, text: &str, uid: &str) -> Option<Child> {
    let Head { metadata } = serde_json::from_str(text).ok()?;
    let owners = &metadata.owner_references;
    let ours = owners.iter().any(|owner| owner.controller && owner.uid == uid);
    let of_a_bot = owners.iter().take(OWNERS).any(|owner| owner.kind == "ShardedBot");
    let live = ours.then(|| own(kind, text)).flatten().unwrap_or_else(|| json!({ "metadata": {} }));
    let hand = (ours && kind == Kind::StatefulSet).then(|| other_hand(text)).flatten();
    let Metadata { name, uid, resource_version: version, generation, deletion_timestamp, .. } = metadata;
    let deleting = deletion_timestamp.is_some();
    Some(Child { kind, name, uid, version, generation, ours, of_a_bot, deleting, hand, live })
}

/// An object of the bot's own, without what would make it large.
fn own(kind: Kind, text: &str) -> Option<Value> {
    let mut live = if kind == Kind::StatefulSet { set(text)? } else { whole(text)? };
    // The API server leaves these two out of the items of a list.
    live["apiVersion"] = api_version(kind).into();
    live["kind"] = <&str>::from(kind).into();
    Some(live)
}

fn whole(text: &str) -> Option<Value> {
    if text.len() > OWN_BYTES {
        return None;
    }
    let mut live: BTreeMap<&str, &RawValue> = serde_json::from_str(text).ok()?;
    let metadata = live.remove("metadata")?;
    let mut metadata: BTreeMap<&str, &RawValue> = serde_json::from_str(metadata.get()).ok()?;
    metadata.remove("managedFields");
    let tree = |fields: BTreeMap<&str, &RawValue>| -> Option<serde_json::Map<String, Value>> {
        let fields = fields.into_iter();
        fields.map(|(name, raw)| Some((name.to_owned(), serde_json::from_str(raw.get()).ok()?))).collect()
    };
    let mut tree_of_all = tree(live)?;
    tree_of_all.insert("metadata".into(), tree(metadata)?.into());
    Some(tree_of_all.into())
}

/// A StatefulSet without its template: labels and annotations, replicas wanted and there, and the account of its pods.
fn set(text: &str) -> Option<Value> {
    #[derive(Deserialize)]
    struct Set {
        metadata: Marks,
        spec: Spec,
        #[serde(default)]
        status: Status,
    }
    #[derive(Deserialize)]
    struct Marks {
        #[serde(default)]
        labels: BTreeMap<String, String>,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        replicas: Option<u32>,
        update_strategy: Option<Strategy>,
        ordinals: Option<Ordinals>,
        template: Template,
    }
    #[derive(Deserialize)]
    struct Ordinals {
        #[serde(default)]
        start: i64,
    }
    #[derive(Deserialize)]
    struct Strategy {
        #[serde(rename = "type")]
        type_: Option<String>,
    }
    #[derive(Deserialize)]
    struct Template {
        spec: PodSpec,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct PodSpec {
        service_account_name: Option<String>,
    }
    #[derive(Default, Deserialize)]
    struct Status {
        #[serde(default)]
        replicas: u32,
    }
    let Set { mut metadata, spec, status } = serde_json::from_str(text).ok()?;
    for marks in [&mut metadata.labels, &mut metadata.annotations] {
        marks.retain(|key, value| key.starts_with(OURS) && value.len() <= MARK_BYTES);
    }
    Some(json!({
        "metadata": { "labels": metadata.labels, "annotations": metadata.annotations },
        "spec": {
            "replicas": spec.replicas,
            "ordinals": { "start": spec.ordinals.map_or(0, |ordinals| ordinals.start) },
            "updateStrategy": { "type": spec.update_strategy.and_then(|strategy| strategy.type_) },
            "template": { "spec": { "serviceAccountName": spec.template.spec.service_account_name } },
        },
        "status": { "replicas": status.replicas },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(owner: &str, rest: &Value) -> String {
        let mut object = json!({ "metadata": {
            "name": "mybot-1", "uid": "s", "labels": { "shard-operator.dev/a": "b", "many": "others" }, "managedFields": [{ "fieldsV1": { "f:spec": {} } }],
            "ownerReferences": [{ "kind": "ShardedBot", "uid": owner, "controller": true }],
        } });
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object.to_string()
    }

    #[test]
    fn of_a_set_the_template_is_not_kept_and_what_a_plan_looks_at_is() {
        let spec = json!({ "replicas": 2, "template": { "spec": { "serviceAccountName": "x", "containers": [{}] } } });
        let set = child(Kind::StatefulSet, &object("bot", &json!({ "spec": spec })), "bot").unwrap();
        assert!(
            set.ours && !set.deleting && set.uid == "s" && set.label("shard-operator.dev/a") == Some("b")
        );
        assert_eq!(set.live["spec"]["replicas"], 2);
        assert_eq!(set.live["spec"]["template"]["spec"], json!({ "serviceAccountName": "x" }));
        assert!(set.live["metadata"].get("managedFields").is_none() && set.label("many").is_none());
        assert_eq!((&set.live["kind"], &set.live["apiVersion"]), (&json!("StatefulSet"), &json!("apps/v1")));
    }

    #[test]
    fn of_what_is_not_ours_only_whose_it_is_is_kept() {
        let text = object("another", &json!({ "data": { "layouts.json": "x".repeat(1_000) } }));
        let map = child(Kind::ConfigMap, &text, "bot").unwrap();
        assert!(!map.ours && map.of_a_bot);
        assert_eq!(map.live, json!({ "metadata": {} }));
    }

    #[test]
    fn an_object_of_ours_that_somebody_blew_up_is_not_read_whole() {
        let text = |length: usize| object("bot", &json!({ "data": { "x": "y".repeat(length) } }));
        assert_eq!(child(Kind::ConfigMap, &text(100), "bot").unwrap().live["data"]["x"], "y".repeat(100));
        let blown_up = child(Kind::ConfigMap, &text(OWN_BYTES), "bot").unwrap();
        assert!(blown_up.ours && blown_up.live.get("data").is_none());
    }

    #[test]
    fn managed_fields_that_nest_deeply_hold_up_nothing() {
        let deep = format!("{}1{}", "{\"f:a\":".repeat(200), "}".repeat(200));
        let text = object("bot", &json!({ "spec": { "template": { "spec": {} } } }))
            .replace("{\"f:spec\":{}}", &deep);
        assert!(child(Kind::StatefulSet, &text, "bot").unwrap().ours);
        assert!(child(Kind::Role, &text, "bot").unwrap().live.get("spec").is_some());
    }
}
