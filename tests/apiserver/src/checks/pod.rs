//! Whether a pod's spec may be as it is, in a pod or in a template.
//!
//! From containers, mounts and volumes to causes. What of a pod may change later is few: images, deadlines, tolerations. Deliberately
//! absent: resources, security contexts, probes, affinities: their mistakes are found on the real server.

use crate::meta;
use crate::names;
use crate::status::Cause;
use serde_json::Value;

/// What is wrong with a pod's spec that stands at this path.
pub(super) fn pod_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let list = |field: &str| spec[field].as_array().map_or(&[][..], Vec::as_slice);
    let mut volumes = Vec::new();
    for (place, volume) in list("volumes").iter().enumerate() {
        let name = volume["name"].as_str().unwrap_or_default();
        self::name(&volume["name"], &volumes, &format!("{path}.volumes[{place}].name"), causes);
        volumes.push(name);
    }
    if list("containers").is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut containers = Vec::new();
    for (field, place, container) in ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| list(field).iter().enumerate().map(move |(place, one)| (field, place, one)))
    {
        let path = format!("{path}.{field}[{place}]");
        name(&container["name"], &containers, &format!("{path}.name"), causes);
        containers.push(container["name"].as_str().unwrap_or_default());
        if container["image"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{path}.image"), ""));
        }
        mounts(container, &volumes, &path, causes);
        for (place, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
            if variable["name"].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("{path}.env[{place}].name"), ""));
            }
        }
    }
}

fn mounts(container: &Value, volumes: &[&str], path: &str, causes: &mut Vec<Cause>) {
    let mut places: Vec<&Value> = Vec::new();
    for (place, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{place}]");
        let volume = mount["name"].as_str().unwrap_or_default();
        if volume.is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        } else if !volumes.contains(&volume) {
            let message = format!("Not found: {}", mount["name"]);
            causes.push(Cause::new("FieldValueNotFound", format!("{path}.name"), message));
        }
        if mount["mountPath"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{path}.mountPath"), ""));
        } else if places.contains(&&mount["mountPath"]) {
            causes.push(Cause::invalid(format!("{path}.mountPath"), &mount["mountPath"], "must be unique"));
        }
        places.push(&mount["mountPath"]);
    }
}

fn name(value: &Value, taken: &[&str], path: &str, causes: &mut Vec<Cause>) {
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required(path, ""));
    } else if !names::is_label(name) {
        causes.push(Cause::invalid(path, value, names::LABEL));
    } else if taken.contains(&name) {
        causes.push(Cause::duplicate(path, value));
    }
}

/// What of a pod's spec may not change. The real server adds a difference of its own structures.
pub(super) fn changed(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let rest = |spec: &Value| {
        let mut spec = spec.clone();
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            meta::remove_at(&mut spec, field);
        }
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                meta::remove_at(container, "image");
            }
        }
        spec
    };
    if rest(new) != rest(old) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                   existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                   previously negative)";
        causes.push(Cause::forbidden("spec", why));
    }
}
