//! What a watch keeps of an object: who it is and whose, and nothing that grows with what its author writes.
//!
//! From an object, whole or its metadata alone, to names, UIDs, the generation, our own labels and the controlling owner. The
//! rest is skipped without being parsed: one object whose spec or managed fields cannot be read would otherwise fail the list of
//! all of them, and a store would grow with foreign texts. Deliberately absent: spec, status, annotations; a round reads those of
//! one bot ([`crate::observe`]).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use shard_contract::names::{BOT_LABEL, LAYOUT_LABEL};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The labels that are kept.
const LABELS: [&str; 2] = [BOT_LABEL, LAYOUT_LABEL];
/// The longest text that is kept, in bytes: the longest name of Kubernetes. An owner with a longer one is nobody's.
const LONGEST: usize = 253;

/// The identity of an object of kind `K`.
pub struct Listed<K> {
    metadata: ObjectMeta,
    of: PhantomData<fn() -> K>,
}

impl<K> Listed<K> {
    /// With this metadata, which is taken as it is.
    #[must_use]
    pub fn new(metadata: ObjectMeta) -> Self {
        Self { metadata, of: PhantomData }
    }

    /// The metadata that was kept.
    #[must_use]
    pub fn into_metadata(self) -> ObjectMeta {
        self.metadata
    }
}

impl<K> Clone for Listed<K> {
    fn clone(&self) -> Self {
        Self::new(self.metadata.clone())
    }
}

impl<K> fmt::Debug for Listed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listed").field(&self.metadata.namespace).field(&self.metadata.name).finish()
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Listed<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de, K> Deserialize<'de> for Listed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Object {
            metadata: Identity,
        }
        Ok(Self::new(Object::deserialize(deserializer)?.metadata.into()))
    }
}

/// What is read of metadata. A field that is not here is skipped, however deeply it nests.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    labels: Ours,
    #[serde(default)]
    owner_references: Controller,
}

impl From<Identity> for ObjectMeta {
    fn from(identity: Identity) -> Self {
        let Identity {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels: Ours(labels),
            owner_references: Controller(owner),
        } = identity;
        Self {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels: (!labels.is_empty()).then_some(labels),
            owner_references: owner.map(|owner| vec![owner]),
            ..Self::default()
        }
    }
}

/// Our own labels.
#[derive(Default)]
struct Ours(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Ours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl<'de> Visitor<'de> for Labels {
            type Value = Ours;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_unit<E>(self) -> Result<Ours, E> {
                Ok(Ours::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ours, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match LABELS.into_iter().find(|ours| *ours == key) {
                        Some(ours) => {
                            kept.insert(ours.to_owned(), map.next_value()?);
                        }
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Ours(kept))
            }
        }
        deserializer.deserialize_any(Labels)
    }
}

/// The owner that controls the object, if it is one that could be ours.
#[derive(Default)]
struct Controller(Option<OwnerReference>);

impl<'de> Deserialize<'de> for Controller {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Owners;
        impl<'de> Visitor<'de> for Owners {
            type Value = Controller;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("owner references")
            }

            fn visit_unit<E>(self) -> Result<Controller, E> {
                Ok(Controller::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Controller, A::Error> {
                let mut kept = None;
                while let Some(owner) = seq.next_element::<OwnerReference>()? {
                    let OwnerReference { api_version, kind, name, uid, .. } = &owner;
                    let fits = [api_version, kind, name, uid].iter().all(|text| text.len() <= LONGEST);
                    if owner.controller == Some(true) && fits {
                        kept = Some(owner);
                    }
                }
                Ok(Controller(kept))
            }
        }
        deserializer.deserialize_any(Owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt;
    use kube::core::ObjectList;
    use serde_json::json;

    /// An object as a list has it, with fields nested so deeply that no tree of them is made.
    fn object(metadata: &serde_json::Value) -> String {
        let deep = format!("{}1{}", "{\"f:a\":".repeat(200), "}".repeat(200));
        let metadata = metadata.to_string();
        let metadata = metadata.trim_end_matches('}').to_owned();
        format!("{{\"metadata\":{metadata},\"managedFields\":[{{\"fieldsV1\":{deep}}}]}},\"spec\":{deep}}}")
    }

    #[test]
    fn one_object_that_nests_too_deeply_does_not_fail_the_list_of_all() {
        let text = format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{{\"resourceVersion\":\"9\"}},\"items\":[{},{}]}}",
            object(&json!({ "name": "deep", "namespace": "bots", "generation": 4 })),
            object(&json!({ "name": "other", "namespace": "bots" })),
        );
        let list: ObjectList<Listed<Pod>> = serde_json::from_str(&text).unwrap();
        let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["deep", "other"]);
        assert_eq!(list.items[0].meta().generation, Some(4));
    }

    #[test]
    fn of_what_its_author_may_fill_only_our_labels_and_the_controller_stay() {
        let owner = |name: &str, controller| json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": "s", "controller": controller });
        let listed = |owners| -> Listed<Pod> {
            let metadata = json!({
                "name": "mybot-1-0", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "mine": "x", BOT_LABEL: "mybot", LAYOUT_LABEL: "1" },
                "annotations": { "long": "x".repeat(10_000) }, "ownerReferences": owners,
            });
            serde_json::from_value(json!({ "metadata": metadata, "spec": {} })).unwrap()
        };
        let pod = listed(json!([owner("other", false), owner("mybot-1", true)]));
        assert_eq!(pod.labels().keys().map(String::as_str).collect::<Vec<_>>(), [BOT_LABEL, LAYOUT_LABEL]);
        assert_eq!(
            pod.owner_references().iter().map(|owner| owner.name.as_str()).collect::<Vec<_>>(),
            ["mybot-1"]
        );
        assert!(pod.annotations().is_empty() && pod.creation_timestamp().is_some());
        let long = listed(json!([owner(&"x".repeat(LONGEST + 1), true)]));
        assert!(long.owner_references().is_empty());
        assert!(Listed::<Pod>::metadata_api(), "the API server sends metadata alone");
    }
}
