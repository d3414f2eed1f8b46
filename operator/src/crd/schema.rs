//! The parts of the schema that are written by hand, and the finished definition.
//!
//! From the derive to what is stored: a derived pod template would be 650 kB, which client-side `kubectl apply` cannot
//! store, and would prune fields of newer Kubernetes versions; so only what the rules read is declared and the rest is
//! preserved. Deliberately absent: a check of the pod's own fields, which a dry run against the API server makes.

use super::ShardedBot;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Annotation with [`SCHEMA_VERSION`], by which a later operator can tell an older definition.
pub const SCHEMA_ANNOTATION: &str = "shard-operator.dev/schema";
/// Rises whenever the schema gains a field.
pub const SCHEMA_VERSION: u32 = 2;

/// What a chart renders as null where its value is empty, as in `labels:`. A field that has a default needs no word, and neither does one
/// that is not declared. Without it, what is applied on the server is refused. `shards` cannot have it: the API server reads the scale there,
/// and null is no number to it.
const EMPTY_AT_TIMES: [&str; 10] = [
    "/properties/spec/properties/follow",
    "/properties/spec/properties/restartedAt",
    "/properties/spec/properties/template/properties/metadata",
    "/properties/spec/properties/template/properties/metadata/properties/labels",
    "/properties/spec/properties/template/properties/metadata/properties/annotations",
    "/properties/spec/properties/template/properties/spec/properties/initContainers",
    "/properties/spec/properties/template/properties/spec/properties/volumes",
    "/properties/spec/properties/template/properties/spec/properties/serviceAccountName",
    "/properties/spec/properties/template/properties/spec/properties/terminationGracePeriodSeconds",
    "/properties/spec/properties/template/properties/spec/properties/restartPolicy",
];

/// The definition as it is to be applied.
///
/// # Errors
/// Never in practice: only if the derived definition were not JSON.
pub fn definition() -> serde_json::Result<Value> {
    let derived: CustomResourceDefinition = ShardedBot::crd();
    let mut definition = serde_json::to_value(derived)?;
    definition["metadata"]["annotations"] = json!({ SCHEMA_ANNOTATION: SCHEMA_VERSION.to_string() });
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    for field in EMPTY_AT_TIMES {
        if let Some(field) = schema.pointer_mut(field) {
            field["nullable"] = true.into();
        }
    }
    // Without this, kstatus and `helm --wait` take an object that nobody has looked at yet for finished.
    schema["properties"]["status"]["default"] = json!({ "observedGeneration": -1 });
    Ok(definition)
}

/// Optional means absent, not null, but for [`EMPTY_AT_TIMES`]: null would come back as a difference in every GitOps tool. And the API server warns
/// at each apply about formats that it does not know; the ranges say that a number is not negative.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            match fields.get("format").and_then(Value::as_str) {
                Some("uint32") => fields.insert("format".into(), "int32".into()),
                Some("uint64") => fields.insert("format".into(), "int64".into()),
                _ => None,
            };
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A pod template, with only those fields declared that rules and merges need.
pub(super) fn template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "The pods. The container named \"bot\", or the only one, is the bot. See `kubectl explain pod.spec`.",
        "required": ["spec"],
        "properties": {
            "metadata": {
                "type": "object",
                "properties": {
                    "labels": { "type": "object", "additionalProperties": { "type": "string" }, "description": "Labels of the pods." },
                    "annotations": { "type": "object", "additionalProperties": { "type": "string" }, "description": "Annotations of the pods." }
                }
            },
            "spec": {
                "type": "object",
                "description": "A pod spec; every field of it is kept. See `kubectl explain pod.spec`.",
                "x-kubernetes-preserve-unknown-fields": true,
                "required": ["containers"],
                "properties": {
                    "containers": containers("The containers; at least one.", 1),
                    "initContainers": containers("Containers that run before the others.", 0),
                    "volumes": {
                        "type": "array",
                        "maxItems": 64,
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": named("Name of the volume.")
                    },
                    "serviceAccountName": { "type": "string", "maxLength": 253, "description": "Account of the pods; the bot's rights are bound to it. Left out: one is made." },
                    "terminationGracePeriodSeconds": { "type": "integer", "format": "int64", "minimum": 1, "description": "Time to finish running jobs, in seconds." },
                    // No enum: of Kubernetes 1.37 it refuses null, even where null is one of its values.
                    "restartPolicy": { "type": "string", "pattern": "^Always$", "description": "Always: a shard is never done." }
                }
            }
        }
    })
}

/// The settings of a hand-over, without defaults: a value that somebody typed must be seen as such.
pub(super) fn handover(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "Settings of a hand-over. Not supported by this version: leave it out.",
        "properties": {
            "maxSurge": { "x-kubernetes-int-or-string": true, "description": "Same total: how many pods of the next layout may exist beyond the wanted ones; a number or a percentage." },
            "settleSeconds": { "type": "integer", "format": "int32", "minimum": 0, "maximum": 86400, "description": "How long the next layout must stay healthy before the old one goes, in seconds." },
            "progressDeadlineSeconds": { "type": "integer", "format": "int32", "minimum": 30, "maximum": 86400, "description": "Without progress for this long the move is reversed, in seconds." }
        }
    })
}

fn containers(description: &str, min_items: u32) -> Value {
    json!({
        "type": "array",
        "description": description,
        "minItems": min_items,
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": named("Name of the container.")
    })
}

fn named(description: &str) -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": { "name": { "type": "string", "maxLength": 63, "description": description } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_small_enough_for_client_side_apply() {
        // kubectl stores it in an annotation of at most 262,144 bytes; less than a quarter of it leaves room to grow.
        let size = serde_json::to_string(&definition().unwrap()).unwrap().len();
        assert!(size < 60_000, "{size} bytes");
    }

    #[test]
    fn only_what_charts_leave_empty_is_nullable_and_an_unseen_object_says_so() {
        let definition = definition().unwrap();
        assert_eq!(definition.to_string().matches("nullable").count(), EMPTY_AT_TIMES.len());
        assert!(!definition.to_string().contains("uint"));
        let status = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"], json!({ "observedGeneration": -1 }));
    }

    #[test]
    fn scale_has_no_selector() {
        let scale = &definition().unwrap()["spec"]["versions"][0]["subresources"]["scale"];
        assert_eq!(
            scale,
            &json!({ "specReplicasPath": ".spec.shards", "statusReplicasPath": ".status.shards" })
        );
    }
}
