//! Whether an object of a built-in kind may be as it is, and may become what it is to become.
//!
//! From an object and the one before it to causes in the real server's words, as far as this project's objects and its users'
//! templates get anything wrong. Deliberately absent: every rule about fields that nobody here sets.

use crate::kinds::Kind;
use crate::meta;
use crate::names;
use crate::status::Cause;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

mod pod;

use pod::pod_spec;

/// What is wrong with an object that is to be made.
pub(crate) fn created(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = named(kind, object);
    metadata(object, &mut causes);
    content(kind, object, &mut causes);
    causes
}

/// What is wrong with a change.
pub(crate) fn updated(kind: &Kind, object: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if meta::uid(object) != meta::uid(old) {
        causes.push(Cause::invalid("metadata.uid", &meta::uid(object).into(), "field is immutable"));
    }
    metadata(object, &mut causes);
    finalizers(object, old, &mut causes);
    content(kind, object, &mut causes);
    changed(kind, object, old, &mut causes);
    causes
}

fn named(kind: &Kind, object: &Value) -> Vec<Cause> {
    let name = meta::name(object);
    if name.is_empty() {
        return vec![Cause::required("metadata.name", "name or generateName is required")];
    }
    let (is_good, why) = match kind.kind.as_str() {
        "Service" | "Namespace" => (names::is_label(name), names::LABEL),
        // Anything that fits into a path.
        "Role" | "RoleBinding" => (!name.contains(['/', '%']), "may not contain '/'"),
        _ => (names::is_subdomain(name), names::SUBDOMAIN),
    };
    if is_good { Vec::new() } else { vec![Cause::invalid("metadata.name", &name.into(), why)] }
}

fn metadata(object: &Value, causes: &mut Vec<Cause>) {
    for (key, value) in meta::labels(object) {
        if !names::is_key(key) {
            causes.push(Cause::invalid("metadata.labels", &key.as_str().into(), names::KEY));
        }
        if !value.as_str().is_some_and(names::is_label_value) {
            causes.push(Cause::invalid("metadata.labels", value, names::VALUE));
        }
    }
    for key in object["metadata"]["annotations"].as_object().into_iter().flat_map(Map::keys) {
        // Their case does not matter.
        if !names::is_key(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &key.as_str().into(), names::KEY));
        }
    }
    let controllers: Vec<_> = meta::owners(object).filter(|owner| owner["controller"] == true).collect();
    if let [first, second, ..] = &controllers[..] {
        let told = |owner: &Value| {
            format!(
                "{}/{}",
                owner["kind"].as_str().unwrap_or_default(),
                owner["name"].as_str().unwrap_or_default()
            )
        };
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            told(first),
            told(second)
        );
        let owners: Vec<_> = meta::owners(object).map(owner).collect();
        let message = format!("Invalid value: [{}]: {why}", owners.join(","));
        causes.push(Cause::new("FieldValueInvalid", "metadata.ownerReferences", message));
    }
}

/// An owner with its fields in the order of the real type.
fn owner(owner: &Value) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let told = fields.into_iter().filter_map(|field| Some(format!("\"{field}\":{}", owner.get(field)?)));
    format!("{{{}}}", told.collect::<Vec<_>>().join(","))
}

fn finalizers(object: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if !meta::is_ending(old) {
        return;
    }
    let before = meta::finalizers(old);
    let new: Vec<_> = meta::finalizers(object).into_iter().filter(|one| !before.contains(one)).collect();
    if !new.is_empty() {
        let told: Vec<_> = new.iter().map(|one| format!("{one:?}")).collect();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            told.join(", ")
        );
        causes.push(Cause::forbidden("metadata.finalizers", &why));
    }
}

fn content(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    match kind.kind.as_str() {
        "ConfigMap" | "Secret" => {
            for key in object["data"].as_object().into_iter().flat_map(Map::keys) {
                if !names::is_data_key(key) {
                    causes.push(Cause::invalid(
                        format!("data[{key}]"),
                        &key.as_str().into(),
                        names::DATA_KEY,
                    ));
                }
            }
        }
        "Pod" => pod_spec(spec, "spec", causes),
        "StatefulSet" => stateful_set(spec, causes),
        "Service" => service(spec, causes),
        "Lease" => lease(spec, causes),
        "Event" => event(kind, object, causes),
        _ => {}
    }
}

fn stateful_set(spec: &Value, causes: &mut Vec<Cause>) {
    let selector = spec["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
    if spec["selector"].as_object().is_none_or(Map::is_empty) {
        causes.push(Cause::required("spec.selector", ""));
    }
    if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
        causes.push(Cause::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let is_selected =
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    if !is_selected {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
    }
    let template = &spec["template"]["spec"];
    let policy = &template["restartPolicy"];
    if policy == "Always" {
        pod_spec(template, "spec.template.spec", causes);
    } else {
        pod_spec(template, "spec.template.spec", causes);
        causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
}

fn service(spec: &Value, causes: &mut Vec<Cause>) {
    for (place, port) in spec["ports"].as_array().into_iter().flatten().enumerate() {
        for field in ["port", "targetPort"] {
            if port[field].as_i64().is_some_and(|number| !(1..=65_535).contains(&number)) {
                let field_path = format!("spec.ports[{place}].{field}");
                causes.push(Cause::invalid(
                    field_path,
                    &port[field],
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
    }
}

fn lease(spec: &Value, causes: &mut Vec<Cause>) {
    let seconds = &spec["leaseDurationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
        causes.push(Cause::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    let transitions = &spec["leaseTransitions"];
    if transitions.as_i64().is_some_and(|count| count < 0) {
        causes.push(Cause::invalid(
            "spec.leaseTransitions",
            transitions,
            "must be greater than or equal to 0",
        ));
    }
}

/// Events are kept as the core group has them.
fn event(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let about = object["involvedObject"]["namespace"].as_str().unwrap_or_default();
    let is_at_home =
        about == meta::namespace(object) || about.is_empty() && meta::namespace(object) == "default";
    if !is_at_home {
        causes.push(Cause::invalid(
            "involvedObject.namespace",
            &about.into(),
            "does not match event.namespace",
        ));
    }
    if kind.group.is_empty() {
        return;
    }
    if object["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
        return;
    }
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    for (field, name) in [
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
        ("action", "action"),
        ("reason", "reason"),
    ] {
        if text(field).is_empty() {
            causes.push(Cause::required(name, ""));
        } else if text(field).len() > 128 {
            causes.push(Cause::invalid(name, &"".into(), "can have at most 128 characters"));
        }
    }
    if text("message").len() > 1_024 {
        causes.push(Cause::invalid("message", &"".into(), "can have at most 1024 characters"));
    }
    if !matches!(text("type"), "Normal" | "Warning") {
        causes.push(Cause::invalid("type", &"".into(), &format!("has invalid value: {}", text("type"))));
    }
}

fn changed(kind: &Kind, object: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let mut fixed = |field: &str, (new, old): (&Value, &Value)| {
        if new != old {
            causes.push(Cause::invalid(field, new, "field is immutable"));
        }
    };
    match kind.kind.as_str() {
        "StatefulSet" => {
            for field in ["serviceName", "podManagementPolicy", "selector", "volumeClaimTemplates"] {
                fixed(&format!("spec.{field}"), (&object["spec"][field], &old["spec"][field]));
            }
        }
        "Secret" => {
            fixed("type", (&object["type"], &old["type"]));
            immutable(object, old, causes);
        }
        "ConfigMap" => immutable(object, old, causes),
        "RoleBinding" => {
            let go = |object: &Value| {
                let role = &object["roleRef"];
                json!({ "APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"] })
            };
            fixed("roleRef", (&go(object), &go(old)));
        }
        "Service" => {
            let (new, old) = (&object["spec"]["clusterIP"], &old["spec"]["clusterIP"]);
            if new != old {
                causes.push(Cause::invalid("spec.clusterIPs[0]", &json!([new]), "may not change once set"));
            }
        }
        "Event" if !kind.group.is_empty() => {
            for field in
                ["involvedObject", "reason", "message", "type", "eventTime", "action", "reportingComponent"]
            {
                fixed(field, (&object[field], &old[field]));
            }
        }
        "Pod" => pod::changed(&object["spec"], &old["spec"], causes),
        _ => {}
    }
}

fn immutable(object: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if old["immutable"] != true {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if object["immutable"] != true {
        causes.push(Cause::forbidden("immutable", why));
    }
    let fields: BTreeSet<_> =
        ["data", "binaryData"].into_iter().filter(|field| object[field] != old[field]).collect();
    causes.extend(fields.into_iter().map(|field| Cause::forbidden(field, why)));
}
