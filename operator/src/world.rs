//! Where the objects of each kind are: API handles by kind, and the one name of a kind that has only one.
//!
//! For the two edges that touch the API server, `observe` and `apply`. Deliberately absent: what to read or write.

use crate::model::Kind;
use crate::names::api_version;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Resource};

/// Makes API handles.
pub struct Apis;

impl Apis {
    /// The handle for a kind in a namespace.
    #[must_use]
    pub fn of(client: &Client, namespace: &str, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &resource(kind))
    }
}

/// The path of a kind's objects in a namespace.
#[must_use]
pub fn path(namespace: &str, kind: Kind) -> String {
    DynamicObject::url_path(&resource(kind), Some(namespace))
}

fn resource(kind: Kind) -> ApiResource {
    let (group, version) = api_version(kind).split_once('/').unwrap_or(("", api_version(kind)));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.into()))
}

/// The name of a bot's only object of a kind; none for kinds with several.
#[must_use]
pub fn names_of(kind: Kind, bot: &str) -> Option<String> {
    match kind {
        Kind::ServiceAccount | Kind::Role | Kind::RoleBinding | Kind::Service => {
            Some(shard_contract::names::shards(bot))
        }
        Kind::ConfigMap => Some(shard_contract::names::layouts_config_map(bot)),
        Kind::Secret | Kind::StatefulSet | Kind::PodDisruptionBudget => None,
    }
}
