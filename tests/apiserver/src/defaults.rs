//! What an object becomes that says less: the values that the real server fills in.
//!
//! From an object as decoded to the object as kept, kind by kind. What is known to be left out stands in [`LEFT_OUT`], with its
//! reason; the conformance test takes exactly these from the real answers. Deliberately absent: whatever else only the kinds that
//! this project never makes would need.

use crate::kinds::Kind;
use crate::schema::Schema;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

mod pod;

pub(crate) use pod::{pod_spec, requests};

/// A field that the real server fills in and this one does not.
#[derive(Clone, Copy, Debug)]
pub struct LeftOut {
    /// The kind.
    pub kind: &'static str,
    /// Where it stands, as a JSON pointer.
    pub pointer: &'static str,
    /// Values that are not left out.
    pub but: &'static str,
    /// Why.
    pub why: &'static str,
}

/// Everything that is left out.
pub const LEFT_OUT: [LeftOut; 2] = [
    LeftOut {
        kind: "Service",
        pointer: "/spec/clusterIP",
        but: "None",
        why: "addresses are the allocator's; nobody here routes them, and all our Services are headless",
    },
    LeftOut { kind: "Service", pointer: "/spec/clusterIPs", but: "[\"None\"]", why: "the same" },
];

/// Sets a field that is not there.
pub(crate) fn or(object: &mut Value, field: &str, value: impl Into<Value>) {
    if object.get(field).is_none_or(Value::is_null) {
        object[field] = value.into();
    }
}

/// Fills in what the kind has by default.
pub(crate) fn default(kind: &Kind, object: &mut Value) {
    if kind.traits.is_custom {
        for (name, schema) in kind.schema.properties.iter().filter(|(name, _)| *name != "metadata") {
            by_schema(name, schema, object);
        }
        return;
    }
    match kind.kind.as_str() {
        "Pod" => {
            pod_spec(&mut object["spec"]);
            or(&mut object["spec"], "enableServiceLinks", true);
            requests(&mut object["spec"]);
            or(&mut object["status"], "phase", "Pending");
        }
        "StatefulSet" => stateful_set(&mut object["spec"]),
        "Service" => service(&mut object["spec"]),
        "Secret" => secret(object),
        "RoleBinding" => or(&mut object["roleRef"], "apiGroup", "rbac.authorization.k8s.io"),
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            if name.is_string() {
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            }
            or(&mut object["status"], "phase", "Active");
        }
        "TokenRequest" => or(&mut object["spec"], "expirationSeconds", 3_600),
        _ => {}
    }
}

/// A structural schema's defaults, from the outside in.
fn by_schema(name: &str, schema: &Schema, object: &mut Value) {
    if let Some(default) = schema.default.as_ref().filter(|_| object.get(name).is_none()) {
        object[name] = default.clone();
    }
    if let Some(value) = object.get_mut(name) {
        within(schema, value);
    }
}

fn within(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(_) => {
            for (name, field) in &schema.properties {
                by_schema(name, field, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| within(schema.item(), item)),
        _ => {}
    }
}

fn stateful_set(spec: &mut Value) {
    or(spec, "podManagementPolicy", "OrderedReady");
    or(&mut spec["updateStrategy"], "type", "RollingUpdate");
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        or(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
        or(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0);
        or(&mut spec["updateStrategy"]["rollingUpdate"], "maxUnavailable", 1);
    }
    or(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    or(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenDeleted", "Retain");
    or(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenScaled", "Retain");
    or(spec, "replicas", 1);
    or(spec, "revisionHistoryLimit", 10);
    pod_spec(&mut spec["template"]["spec"]);
}

fn service(spec: &mut Value) {
    or(spec, "sessionAffinity", "None");
    or(spec, "type", "ClusterIP");
    or(spec, "internalTrafficPolicy", "Cluster");
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        or(port, "protocol", "TCP");
        let number = port["port"].clone();
        or(port, "targetPort", number);
    }
}

/// What is allocated when a Service is made.
pub(crate) fn allocate(spec: &mut Value) {
    if spec["clusterIP"] == "None" {
        or(spec, "clusterIPs", json!(["None"]));
    }
    or(spec, "ipFamilies", json!(["IPv4"]));
    or(spec, "ipFamilyPolicy", "SingleStack");
}

fn secret(object: &mut Value) {
    or(object, "type", "Opaque");
    let Some(texts) = object.as_object_mut().and_then(|object| object.remove("stringData")) else { return };
    for (key, text) in texts.as_object().into_iter().flatten() {
        or(object, "data", json!({}));
        object["data"][key] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
    }
}
