//! Names, labels and the owner of every object of a bot: one source for all of them.
//!
//! No object is named exactly like the bot, since an account or Service of that name nearly always exists already.
//! Deliberately absent: the names that pods must know too, which stand in the contract.

use crate::model::Kind;
use serde_json::{Map, Value, json};
use shard_contract::names::{BOT_LABEL, LAYOUT_LABEL};

/// Field manager of everything that the operator applies.
pub const MANAGER: &str = "shard-operator";
/// What the operator's own labels and annotations begin with.
pub const OURS: &str = "shard-operator.dev/";
/// Annotation with the hash of the object as it was applied.
pub const HASH_ANNOTATION: &str = "shard-operator.dev/hash";
/// Annotation of a pod: of which replacement of the token its kubelet was told.
pub const TOKEN_REPLACED: &str = "shard-operator.dev/token-replaced-at";
/// Annotation of a StatefulSet: the identity of its layout.
pub const IDENTITY_ANNOTATION: &str = "shard-operator.dev/identity";
/// Annotation of a StatefulSet: the contract's revision that its pods were made by.
pub const REVISION_ANNOTATION: &str = "shard-operator.dev/revision";
/// Annotation of a StatefulSet: `spec.restartedAt` as it was when it was made or last brought up to date; empty: there was none.
pub const RESTARTED_AT_ANNOTATION: &str = "shard-operator.dev/restarted-at";
/// Label of a StatefulSet: its layout's total.
pub const TOTAL_LABEL: &str = "shard-operator.dev/total";
/// Label of a StatefulSet: its layout's pods.
pub const PODS_LABEL: &str = "shard-operator.dev/pods";
/// Label of a StatefulSet: whose records its layout's shards have. Since revision 2.
pub const SESSION_GROUP_LABEL: &str = "shard-operator.dev/session-group";
/// Label of a StatefulSet: its layout's slot in the fallback schedule. Since revision 2.
pub const FALLBACK_SLOT_LABEL: &str = "shard-operator.dev/fallback-slot";

/// The bot whose objects are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
}

impl Owner {
    /// Name of the Service, the account, the Role and the RoleBinding.
    #[must_use]
    pub fn shards(&self) -> String {
        shard_contract::names::shards(&self.name)
    }

    /// Labels of every object of the bot.
    #[must_use]
    pub fn labels(&self) -> Map<String, Value> {
        let Value::Object(labels) = json!({
            "app.kubernetes.io/name": "shard-bot",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/managed-by": MANAGER,
            BOT_LABEL: self.name,
        }) else {
            return Map::new();
        };
        labels
    }

    /// Labels of one layout's objects.
    #[must_use]
    pub fn layout_labels(&self, layout: u32) -> Map<String, Value> {
        let mut labels = self.labels();
        labels.insert(LAYOUT_LABEL.into(), layout.to_string().into());
        labels
    }

    /// What selects one layout's pods.
    #[must_use]
    pub fn selector(&self, layout: u32) -> Value {
        json!({ BOT_LABEL: self.name, LAYOUT_LABEL: layout.to_string() })
    }

    /// The head of an object: kind, name, labels and owner.
    #[must_use]
    pub fn head(&self, kind: Kind, name: &str, labels: &Map<String, Value>) -> Value {
        json!({
            "apiVersion": api_version(kind),
            "kind": <&str>::from(kind),
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": labels,
                "ownerReferences": [{
                    "apiVersion": "shard-operator.dev/v1alpha1",
                    "kind": "ShardedBot",
                    "name": self.name,
                    "uid": self.uid,
                    "controller": true,
                }],
            },
        })
    }
}

/// The API version of a kind.
#[must_use]
pub fn api_version(kind: Kind) -> &'static str {
    match kind {
        Kind::ServiceAccount | Kind::Service | Kind::ConfigMap | Kind::Secret => "v1",
        Kind::Role | Kind::RoleBinding => "rbac.authorization.k8s.io/v1",
        Kind::StatefulSet => "apps/v1",
        Kind::PodDisruptionBudget => "policy/v1",
    }
}
