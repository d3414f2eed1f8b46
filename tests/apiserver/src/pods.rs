//! What admission does to a pod that is made.
//!
//! From a pod to the pod with its account's token mounted, tolerations for lost nodes and a priority, or to a refusal where its
//! account is missing. Deliberately absent: quotas, limits, security standards.

use crate::defaults::or;
use crate::meta;
use crate::status::{Refusal, forbidden};
use serde_json::{Value, json};

/// Where a container finds its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Admits a pod. `has` tells whether an account of the namespace is there, `suffix` is the volume's.
pub(crate) fn admit(pod: &mut Value, has: impl Fn(&str) -> bool, suffix: &str) -> Result<(), Refusal> {
    let (namespace, name) = (meta::namespace(pod).to_owned(), meta::name(pod).to_owned());
    let spec = &mut pod["spec"];
    for field in ["serviceAccountName", "serviceAccount"] {
        or(spec, field, "default");
    }
    let account = spec["serviceAccountName"].as_str().unwrap_or_default().to_owned();
    if !has(&account) {
        let why = format!(
            "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
        );
        return Err(forbidden(&name, "", "pods", &why));
    }
    if spec["automountServiceAccountToken"] != false {
        mount_token(spec, &format!("kube-api-access-{suffix}"));
    }
    or(spec, "priority", 0);
    or(spec, "preemptionPolicy", "PreemptLowerPriority");
    tolerate(spec);
    let class = quality(spec);
    pod["status"]["qosClass"] = class.into();
    Ok(())
}

fn mount_token(spec: &mut Value, name: &str) {
    let is_mounted = |container: &Value| {
        container["volumeMounts"].as_array().into_iter().flatten().any(|mount| mount["mountPath"] == ACCOUNT)
    };
    let mut is_used = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if !is_mounted(container) {
                push(
                    container,
                    "volumeMounts",
                    json!({ "name": name, "readOnly": true, "mountPath": ACCOUNT }),
                );
                is_used = true;
            }
        }
    }
    if is_used {
        let sources = json!([
            { "serviceAccountToken": { "expirationSeconds": 3_607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [
                { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } },
            ] } },
        ]);
        push(
            spec,
            "volumes",
            json!({ "name": name, "projected": { "sources": sources, "defaultMode": 0o644 } }),
        );
    }
}

fn push(object: &mut Value, list: &str, item: Value) {
    or(object, list, json!([]));
    if let Some(items) = object[list].as_array_mut() {
        items.push(item);
    }
}

fn tolerate(spec: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let said = spec["tolerations"].as_array().into_iter().flatten().any(|one| {
            let key_matches = one.get("key").is_none_or(|found| found == key);
            key_matches && one.get("effect").is_none_or(|effect| effect == "NoExecute")
        });
        if !said {
            let ours =
                json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
            push(spec, "tolerations", ours);
        }
    }
}

fn quality(spec: &Value) -> &'static str {
    let of = |container: &Value, what: &str, name: &str| container["resources"][what].get(name).cloned();
    let containers: Vec<&Value> = spec["containers"].as_array().into_iter().flatten().collect();
    let asks = |container: &&&Value| {
        ["limits", "requests"]
            .iter()
            .any(|what| ["cpu", "memory"].iter().any(|name| of(container, what, name).is_some()))
    };
    if containers.iter().filter(asks).count() == 0 {
        return "BestEffort";
    }
    let is_sure = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = of(container, "limits", name);
            limit.is_some() && limit == of(container, "requests", name)
        })
    });
    if is_sure { "Guaranteed" } else { "Burstable" }
}
