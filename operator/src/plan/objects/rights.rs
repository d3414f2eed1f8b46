//! What pods may do: read one ConfigMap, read and patch the Secrets with their records, and nothing else.
//!
//! With `template.spec.serviceAccountName` the Role is bound to that account, and none is made. Deliberately absent: any
//! right to list Secrets, to make one or to remove one.

use super::with_hash;
use crate::model::{Kind, Object};
use crate::names::Owner;
use serde_json::json;
use shard_contract::names::layouts_config_map;

/// The account, unless the template names one; the Role over these Secrets; the RoleBinding, also for the accounts of what
/// still runs.
#[must_use]
pub fn rights(owner: &Owner, account: Option<&str>, running: &[String], secrets: &[String]) -> Vec<Object> {
    let name = owner.shards();
    let made = account.is_none().then(|| {
        let body = owner.head(Kind::ServiceAccount, &name, &owner.labels());
        with_hash(Kind::ServiceAccount, name.clone(), body)
    });
    let mut role = owner.head(Kind::Role, &name, &owner.labels());
    role["rules"] = json!([{
        "apiGroups": [""],
        "resources": ["configmaps"],
        // Watching one name needs fieldSelector=metadata.name=<this>.
        "resourceNames": [layouts_config_map(&owner.name)],
        "verbs": ["get", "list", "watch"],
    }]);
    // A rule without names would be one for all Secrets.
    if let (false, Some(rules)) = (secrets.is_empty(), role["rules"].as_array_mut()) {
        rules.push(json!({
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": secrets,
            "verbs": ["get", "patch"],
        }));
    }
    let mut binding = owner.head(Kind::RoleBinding, &name, &owner.labels());
    binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name });
    let mut accounts: Vec<&str> =
        running.iter().map(String::as_str).chain([account.unwrap_or(&name)]).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let subject =
        |account| json!({ "kind": "ServiceAccount", "name": account, "namespace": owner.namespace });
    binding["subjects"] = accounts.into_iter().map(subject).collect();
    made.into_iter()
        .chain([
            with_hash(Kind::Role, name.clone(), role),
            with_hash(Kind::RoleBinding, name.clone(), binding),
        ])
        .collect()
}
