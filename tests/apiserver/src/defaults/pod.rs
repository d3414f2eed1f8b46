//! Defaults of a pod's spec, which stands in pods and in templates.
//!
//! From containers, probes, ports, variables and volumes as written to the values that the real server fills in. Deliberately
//! absent: what stands beside a pod's spec only in a pod, such as its tolerations.

use super::or;
use serde_json::{Value, json};

/// Reading and writing for the owner, reading for the others: 0644.
const MODE: i64 = 0o644;

/// Fills in a pod's spec.
pub(crate) fn pod_spec(spec: &mut Value) {
    or(spec, "restartPolicy", "Always");
    or(spec, "terminationGracePeriodSeconds", 30);
    or(spec, "dnsPolicy", "ClusterFirst");
    or(spec, "securityContext", json!({}));
    or(spec, "schedulerName", "default-scheduler");
    // Two names of one thing.
    for (name, same) in [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")] {
        if let Some(account) = spec.get(name).cloned() {
            or(spec, same, account);
        }
    }
    for list in ["initContainers", "containers"] {
        spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(container);
    }
    spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten().for_each(volume);
}

fn container(container: &mut Value) {
    or(container, "terminationMessagePath", "/dev/termination-log");
    or(container, "terminationMessagePolicy", "File");
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let is_newest = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
    or(container, "imagePullPolicy", if is_newest { "Always" } else { "IfNotPresent" });
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            or(field, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            or(probe, "timeoutSeconds", 1);
            or(probe, "periodSeconds", 10);
            or(probe, "successThreshold", 1);
            or(probe, "failureThreshold", 3);
            http_get(probe);
        }
    }
    for hook in ["preStop", "postStart"] {
        if let Some(handler) = container.get_mut("lifecycle").and_then(|hooks| hooks.get_mut(hook)) {
            http_get(handler);
        }
    }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet") {
        or(get, "path", "/");
        or(get, "scheme", "HTTP");
    }
}

fn volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|fields| fields.keys().all(|field| field == "name")) {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(source) {
            or(source, "defaultMode", MODE);
        }
    }
    for source in volume.pointer_mut("/projected/sources").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(token) = source.get_mut("serviceAccountToken") {
            or(token, "expirationSeconds", 3_600);
        }
        if let Some(field) = source.pointer_mut("/downwardAPI/items").and_then(Value::as_array_mut) {
            for item in field.iter_mut().filter_map(|item| item.get_mut("fieldRef")) {
                or(item, "apiVersion", "v1");
            }
        }
    }
}

/// In a pod, but not in a template, what is limited is requested.
pub(crate) fn requests(spec: &mut Value) {
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        let limits = container.pointer("/resources/limits").cloned();
        for (name, limit) in limits.as_ref().and_then(Value::as_object).into_iter().flatten() {
            or(&mut container["resources"], "requests", json!({}));
            or(&mut container["resources"]["requests"], name, limit.clone());
        }
    }
}
