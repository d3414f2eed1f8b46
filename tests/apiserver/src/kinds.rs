//! The kinds that are served, and in what they differ.
//!
//! From one table, and from a CRD, to the kinds by their places in URLs. A kind that is not here is answered as one that nobody
//! serves. Deliberately absent: behaviour; it stands with the verb.

use crate::schema::{Schema, SchemaError, Types};
use serde_json::Value;
use std::sync::Arc;

/// One kind.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "as every object names it")]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) schema: Arc<Schema>,
    pub(crate) traits: Traits,
    /// Where a custom kind says how many of something it wants.
    pub(crate) scale: Option<Scale>,
}

/// In what kinds differ.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a table of yes and no")]
pub(crate) struct Traits {
    pub(crate) is_namespaced: bool,
    /// By a CRD.
    pub(crate) is_custom: bool,
    pub(crate) has_status: bool,
    /// Counts changes of what is wanted.
    pub(crate) counts: bool,
    /// A deletion answers the object, not a status.
    pub(crate) returns_deleted: bool,
    /// PUT makes what is not there.
    pub(crate) made_by_put: bool,
    /// PUT must name a version.
    pub(crate) needs_version: bool,
    /// Only created, never kept.
    pub(crate) is_review: bool,
}

/// Of a custom kind's scale subresource only the fields that are checked on every write.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) fields: Vec<String>,
}

impl Kind {
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Both groups' events are one thing.
    pub(crate) fn is_event(&self) -> bool {
        self.kind == "Event"
    }

    /// Where objects of this kind are kept: events of both groups together.
    pub(crate) fn shelf(&self) -> String {
        if self.is_event() {
            "events".to_owned()
        } else {
            crate::status::qualified(&self.plural, &self.group)
        }
    }

    /// Fields beside the metadata's by which a list may be narrowed.
    pub(crate) fn selectable(&self) -> &'static [&'static str] {
        match self.kind.as_str() {
            "Pod" => &["spec.nodeName", "status.phase", "spec.serviceAccountName", "spec.restartPolicy"],
            "Event" => &[
                "involvedObject.name",
                "involvedObject.namespace",
                "involvedObject.uid",
                "involvedObject.kind",
                "reason",
                "type",
            ],
            "Secret" => &["type"],
            _ => &[],
        }
    }

    /// The fields that a write to the object itself, or to its status, leaves as they are.
    pub(crate) fn left_alone(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        match (subresource, self.traits.has_status, self.traits.is_custom) {
            ("status", _, true) => &[&["spec"], &["metadata"]],
            ("status", _, false) if self.kind == "Pod" => {
                &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
            }
            ("status", ..) => &[&["spec"]],
            ("", true, _) => &[&["status"]],
            _ => &[],
        }
    }
}

struct Row(&'static str, &'static str, &'static str, &'static str, &'static str, Traits);

const PLAIN: Traits = Traits {
    is_namespaced: true,
    is_custom: false,
    has_status: false,
    counts: false,
    returns_deleted: false,
    made_by_put: false,
    needs_version: false,
    is_review: false,
};
const CLUSTER: Traits = Traits { is_namespaced: false, ..PLAIN };

const TABLE: [Row; 16] = [
    Row(
        "",
        "v1",
        "Pod",
        "pods",
        "core.v1.Pod",
        Traits { has_status: true, counts: true, returns_deleted: true, ..PLAIN },
    ),
    Row("", "v1", "Secret", "secrets", "core.v1.Secret", PLAIN),
    Row("", "v1", "ConfigMap", "configmaps", "core.v1.ConfigMap", PLAIN),
    Row(
        "",
        "v1",
        "Service",
        "services",
        "core.v1.Service",
        Traits { has_status: true, returns_deleted: true, made_by_put: true, ..PLAIN },
    ),
    Row(
        "",
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        "core.v1.ServiceAccount",
        Traits { returns_deleted: true, ..PLAIN },
    ),
    Row("", "v1", "Node", "nodes", "core.v1.Node", Traits { has_status: true, ..CLUSTER }),
    Row("", "v1", "Namespace", "namespaces", "core.v1.Namespace", Traits { has_status: true, ..CLUSTER }),
    Row("", "v1", "Event", "events", "core.v1.Event", Traits { made_by_put: true, ..PLAIN }),
    Row("events.k8s.io", "v1", "Event", "events", "events.v1.Event", Traits { made_by_put: true, ..PLAIN }),
    Row(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        "apps.v1.StatefulSet",
        Traits { has_status: true, counts: true, ..PLAIN },
    ),
    Row(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "policy.v1.PodDisruptionBudget",
        Traits { has_status: true, counts: true, needs_version: true, ..PLAIN },
    ),
    Row(
        "rbac.authorization.k8s.io",
        "v1",
        "Role",
        "roles",
        "rbac.v1.Role",
        Traits { made_by_put: true, ..PLAIN },
    ),
    Row(
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
        "rbac.v1.RoleBinding",
        Traits { made_by_put: true, ..PLAIN },
    ),
    Row(
        "coordination.k8s.io",
        "v1",
        "Lease",
        "leases",
        "coordination.v1.Lease",
        Traits { made_by_put: true, needs_version: true, ..PLAIN },
    ),
    Row(
        "authentication.k8s.io",
        "v1",
        "TokenReview",
        "tokenreviews",
        "authentication.v1.TokenReview",
        Traits { is_review: true, ..CLUSTER },
    ),
    // Only for its schema: it is served below the accounts.
    Row(
        "authentication.k8s.io",
        "v1",
        "TokenRequest",
        "tokenrequests",
        "authentication.v1.TokenRequest",
        Traits { is_review: true, ..PLAIN },
    ),
];

/// All kinds.
pub(crate) struct Kinds {
    all: Vec<Arc<Kind>>,
}

impl Kinds {
    /// The built-in ones and that of the CRD.
    pub(crate) fn new(definition: &str) -> Result<Self, SchemaError> {
        let mut types = Types::built_in()?;
        let mut all = Vec::new();
        for Row(group, version, kind, plural, schema, traits) in TABLE {
            let schema = types.get(schema)?;
            let names = [group, version, kind, plural].map(str::to_owned);
            let [group, version, kind, plural] = names;
            all.push(Arc::new(Kind { group, version, kind, plural, schema, traits, scale: None }));
        }
        all.push(Arc::new(custom(&mut types, definition)?));
        Ok(Self { all })
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let is_it =
            |kind: &&Arc<Kind>| kind.group == group && kind.version == version && kind.plural == plural;
        self.all.iter().find(is_it).cloned()
    }

    pub(crate) fn has_group(&self, group: &str, version: &str) -> bool {
        self.all.iter().any(|kind| kind.group == group && kind.version == version)
    }

    pub(crate) fn named(&self, group: &str, kind: &str) -> Option<Arc<Kind>> {
        self.all.iter().find(|one| one.is(group, kind)).cloned()
    }

    pub(crate) fn on_shelf(&self, place: &str) -> Option<Arc<Kind>> {
        self.all.iter().find(|kind| kind.shelf() == place).cloned()
    }
}

fn custom(types: &mut Types, definition: &str) -> Result<Kind, SchemaError> {
    let definition: Value =
        serde_saphyr::from_str(definition).map_err(|error| SchemaError::Read(Box::new(error)))?;
    let (spec, version) = (&definition["spec"], &definition["spec"]["versions"][0]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&spec["names"]["kind"]);
    let schema = types.custom(&kind, &version["schema"]["openAPIV3Schema"])?;
    let scale = &version["subresources"]["scale"];
    let fields =
        ["specReplicasPath", "statusReplicasPath"].into_iter().filter_map(|path| scale[path].as_str());
    let fields: Vec<_> = fields.map(|field| field.trim_start_matches('.').to_owned()).collect();
    let traits = Traits {
        is_namespaced: spec["scope"] == "Namespaced",
        is_custom: true,
        has_status: version["subresources"].get("status").is_some(),
        counts: true,
        needs_version: true,
        ..Traits::default()
    };
    Ok(Kind {
        group: text(&spec["group"]),
        version: text(&version["name"]),
        plural: text(&spec["names"]["plural"]),
        kind,
        schema,
        traits,
        scale: Some(Scale { fields }).filter(|scale| !scale.fields.is_empty()),
    })
}
