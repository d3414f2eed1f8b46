//! One StatefulSet per layout, and the layout's identity.
//!
//! From the user's template to whole pods: what is injected is a function of the contract's revision alone, so that
//! another version of the operator leaves pods as they are (golden tests hold it still). Environment for what never
//! changes, two mounted secrets, since revision 2 a place for the pod's state, probes where the template has none. Deliberately absent: the user's security context,
//! which stays as typed, and addresses, which travel in the ConfigMap.

use super::{hash, with_hash};
use crate::crd::PodTemplate;
use crate::model::{Child, Kind, Object};
use crate::names::{
    FALLBACK_SLOT_LABEL, IDENTITY_ANNOTATION, Owner, PODS_LABEL, RESTARTED_AT_ANNOTATION,
    REVISION_ANNOTATION, SESSION_GROUP_LABEL, TOTAL_LABEL,
};
use crate::plan::spec::Spec;
use serde_json::{Map, Value, json};
use shard_contract::env;
use shard_contract::names::{GATE_AUDIENCE, LAYOUT_LABEL, stateful_set as set_name};
use std::borrow::Cow;

/// The first revision whose pods keep records, in a folder of their own.
pub const KEEPS_RECORDS: u32 = 2;
/// The first revision that takes a field of the template that is null for one that is not there, lets the user's
/// `app.kubernetes.io/` labels win, asks for the token of the account by name, and bounds the pod's state by its shards.
pub const LEAVES_NULL_OUT: u32 = 3;
/// Labels that everybody sees, and that a user may want to say something else than ours do.
const RECOMMENDED: &str = "app.kubernetes.io/";
/// Annotation by which an autoscaler may evict a pod although it has a local volume.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// One arrangement: what a layout is, and the revision that its pods are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// Its number.
    pub number: u32,
    /// The total that Discord routes by.
    pub total: u32,
    /// How many pods share it.
    pub pods: u32,
    /// The contract's revision.
    pub revision: u32,
    /// Whose records its shards have.
    pub session_group: u32,
    /// Its slot in the fallback schedule, 0 to 3.
    pub fallback_slot: u32,
}

impl Arrangement {
    /// Whether its pods keep records of their sessions.
    #[must_use]
    pub const fn keeps_records(self) -> bool {
        self.revision >= KEEPS_RECORDS
    }
}

/// What makes two layouts the same: the user's template, the total, the pods, the restart mark and the revision.
#[must_use]
pub fn identity(spec: &Spec, total: u32, pods: u32, revision: u32) -> String {
    hash(&json!({
        "template": template(spec, revision),
        "total": total,
        "pods": pods,
        "restartedAt": spec.restarted_at,
        "revision": revision,
    }))
}

/// The user's template, as pods of this revision are made of it.
fn template(spec: &Spec, revision: u32) -> Cow<'_, PodTemplate> {
    let spec_of_pods = &spec.template.spec;
    if revision < LEAVES_NULL_OUT || !spec_of_pods.values().any(has_null) {
        return Cow::Borrowed(&spec.template);
    }
    let mut template = spec.template.clone();
    leave_null_out(&mut template.spec);
    Cow::Owned(template)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// What is rendered from an empty value of a chart, as in `affinity:`, is null. The API server takes it for nothing, and so must who
/// looks whether a field is there.
fn leave_null_out(fields: &mut Map<String, Value>) {
    fn within(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(within),
            Value::Object(fields) => leave_null_out(fields),
            _ => {}
        }
    }
    fields.retain(|_, value| !value.is_null());
    fields.values_mut().for_each(within);
}

/// A name for what is only tried: the one that the next layout's set will have.
#[must_use]
pub fn under_the_name_of(mut set: Object, owner: &Owner, number: u32) -> Object {
    set.name = set_name(&owner.name, number);
    set.body["metadata"]["name"] = set.name.clone().into();
    set
}

/// What is put back of a set: not its template, which stands for the same pods, and of which a part that an older API server took may
/// be refused by an apply.
#[must_use]
pub fn marks(set: Object) -> Object {
    let Object { kind, name, body } = set;
    let of = |field: &str| body["metadata"][field].clone();
    let mut spec = bounds_of(0);
    spec["replicas"] = body["spec"]["replicas"].clone();
    let body = json!({
        "metadata": { "labels": of("labels"), "annotations": of("annotations") },
        "spec": spec,
    });
    Object { kind, name, body }
}

/// What keeps the pods of a set from being replaced, being others, or being too few.
fn bounds_of(pods: u32) -> Value {
    json!({
        "replicas": pods,
        "ordinals": null,
        "updateStrategy": { "type": "OnDelete", "rollingUpdate": null },
    })
}

/// Whether a set that stands keeps them so.
#[must_use]
pub fn is_bounded(live: &Value, pods: &Value) -> bool {
    let spec = &live["spec"];
    let start = spec["ordinals"]["start"].as_u64().unwrap_or(0);
    spec["replicas"] == *pods && spec["updateStrategy"]["type"] == "OnDelete" && start == 0
}

/// What is put back of a set whose template is not known any more: no pod of it is to be replaced, and none is to be missing.
#[must_use]
pub fn bounds(set: &Child, pods: u32) -> Option<Object> {
    let body = json!({ "spec": bounds_of(pods) });
    let stands = is_bounded(&set.live, &pods.into());
    (!stands).then(|| Object { kind: set.kind, name: set.name.clone(), body })
}

/// What may be edited of a set's spec, but for what is looked at in each round. What we leave out has the API server's defaults.
#[must_use]
pub fn edits(set: Object) -> Object {
    let Object { kind, name, body } = set;
    let mut spec = json!({ "template": body["spec"]["template"] });
    for field in ["minReadySeconds", "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit"] {
        spec[field] = Value::Null;
    }
    Object { kind, name, body: json!({ "spec": spec }) }
}

/// The first pod of a set, as its controller would make it, but that it belongs to the set that stands: this one is still to be made. So is
/// its account, if it has none yet.
#[must_use]
pub fn first_pod(set: &Object, stands: &Child, has_account: bool) -> Value {
    let name = format!("{}-0", set.name);
    let mut metadata = set.body["spec"]["template"]["metadata"].clone();
    metadata["name"] = name.clone().into();
    metadata["namespace"] = set.body["metadata"]["namespace"].clone();
    metadata["labels"]["statefulset.kubernetes.io/pod-name"] = name.clone().into();
    metadata["labels"]["apps.kubernetes.io/pod-index"] = "0".into();
    let mut spec = set.body["spec"]["template"]["spec"].clone();
    spec["hostname"] = name.into();
    spec["subdomain"] = set.body["spec"]["serviceName"].clone();
    if let Some(spec) = spec.as_object_mut().filter(|_| !has_account) {
        spec.remove("serviceAccountName");
    }
    metadata["ownerReferences"] = json!([
        { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": stands.name, "uid": stands.uid, "controller": true },
    ]);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
}

/// `<bot>-<number>`.
#[must_use]
pub fn stateful_set(spec: &Spec, layout: Arrangement) -> Object {
    let owner = &spec.owner;
    let name = set_name(&owner.name, layout.number);
    let mut labels = owner.layout_labels(layout.number);
    labels.insert(TOTAL_LABEL.into(), layout.total.to_string().into());
    labels.insert(PODS_LABEL.into(), layout.pods.to_string().into());
    if layout.keeps_records() {
        labels.insert(SESSION_GROUP_LABEL.into(), layout.session_group.to_string().into());
        labels.insert(FALLBACK_SLOT_LABEL.into(), layout.fallback_slot.to_string().into());
    }
    let mut body = owner.head(Kind::StatefulSet, &name, &labels);
    body["metadata"]["annotations"] = json!({
        IDENTITY_ANNOTATION: identity(spec, layout.total, layout.pods, layout.revision),
        REVISION_ANNOTATION: layout.revision.to_string(),
        RESTARTED_AT_ANNOTATION: spec.restarted_at.as_deref().unwrap_or_default(),
    });
    body["spec"] = json!({
        "replicas": layout.pods,
        "serviceName": owner.shards(),
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "OnDelete" },
        "selector": { "matchLabels": owner.selector(layout.number) },
        "template": { "metadata": metadata(spec, layout), "spec": pod(spec, layout) },
    });
    with_hash(Kind::StatefulSet, name, body)
}

fn metadata(spec: &Spec, layout: Arrangement) -> Value {
    let user = spec.template.metadata.clone().unwrap_or_default();
    let mut labels: Map<String, Value> =
        user.labels.into_iter().map(|(key, value)| (key, value.into())).collect();
    for (key, value) in spec.owner.layout_labels(layout.number) {
        let is_users = layout.revision >= LEAVES_NULL_OUT && key.starts_with(RECOMMENDED);
        if !is_users || !labels.contains_key(&key) {
            labels.insert(key, value);
        }
    }
    let mut annotations: Map<String, Value> =
        user.annotations.into_iter().map(|(key, value)| (key, value.into())).collect();
    annotations
        .entry("kubectl.kubernetes.io/default-container")
        .or_insert_with(|| container_name(spec).unwrap_or_default().into());
    if layout.keeps_records() {
        let state = env::INJECTED_VOLUMES[2];
        let safe = match annotations.get(SAFE_TO_EVICT).and_then(Value::as_str) {
            Some(users) if !users.is_empty() => format!("{users},{state}"),
            _ => state.to_owned(),
        };
        annotations.insert(SAFE_TO_EVICT.into(), safe.into());
    }
    json!({ "labels": labels, "annotations": annotations })
}

fn container_name(spec: &Spec) -> Option<&str> {
    spec.template.spec.get("containers")?.get(spec.container)?.get("name")?.as_str()
}

fn pod(spec: &Spec, layout: Arrangement) -> Value {
    let mut pod = Value::Object(template(spec, layout.revision).spec.clone());
    if spec.account.is_none() {
        pod["serviceAccountName"] = spec.owner.shards().into();
    }
    inject(&mut pod["containers"][spec.container], layout);
    let (token, gate) = (env::INJECTED_VOLUMES[0], env::INJECTED_VOLUMES[1]);
    extend(
        &mut pod["volumes"],
        json!([
            { "name": token, "secret": { "secretName": spec.token.0, "items": [{ "key": spec.token.1, "path": "token" }] } },
            { "name": gate, "projected": { "sources": [
                { "serviceAccountToken": { "audience": GATE_AUDIENCE, "expirationSeconds": 3_600, "path": "token" } },
            ] } },
        ]),
    );
    if layout.keeps_records() {
        // In memory: it is written with each event, and is to end with the node.
        let volume = json!({ "medium": "Memory", "sizeLimit": state_limit(layout) });
        extend(&mut pod["volumes"], json!([{ "name": env::INJECTED_VOLUMES[2], "emptyDir": volume }]));
    }
    if layout.revision >= LEAVES_NULL_OUT && pod.get("automountServiceAccountToken").is_none() {
        // An account may say no for all its pods.
        pod["automountServiceAccountToken"] = true.into();
    }
    tolerate_lost_nodes(&mut pod["tolerations"]);
    if pod.get("topologySpreadConstraints").is_none() {
        pod["topologySpreadConstraints"] = json!([{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": spec.owner.selector(layout.number) },
        }]);
    }
    pod
}

/// A progress file has 72 KiB and is made anew beside the old one; the rest is small. A folder in memory that is full counts towards the
/// pod's limit, and then no container of it starts again.
fn state_limit(layout: Arrangement) -> String {
    if layout.revision < LEAVES_NULL_OUT {
        return "64Mi".to_owned();
    }
    let shards = layout.total.div_ceil(layout.pods.max(1));
    format!("{}Mi", 2 + shards.div_ceil(8))
}

fn inject(container: &mut Value, layout: Arrangement) {
    let field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let value = |name: &str, value: u32| json!({ "name": name, "value": value.to_string() });
    let (token, gate) = (env::INJECTED_VOLUMES[0], env::INJECTED_VOLUMES[1]);
    extend(
        &mut container["env"],
        json!([
            field(env::BOT, &format!("metadata.labels['{}']", shard_contract::names::BOT_LABEL)),
            field(env::LAYOUT, &format!("metadata.labels['{LAYOUT_LABEL}']")),
            value(env::TOTAL, layout.total),
            value(env::PODS, layout.pods),
            field(env::ORDINAL, "metadata.labels['apps.kubernetes.io/pod-index']"),
            field(env::POD_NAME, "metadata.name"),
            field(env::NAMESPACE, "metadata.namespace"),
        ]),
    );
    extend(
        &mut container["volumeMounts"],
        json!([
            { "name": token, "mountPath": env::TOKEN_DIR, "readOnly": true },
            { "name": gate, "mountPath": env::GATE_DIR, "readOnly": true },
        ]),
    );
    if layout.keeps_records() {
        extend(
            &mut container["env"],
            json!([field(env::POD_UID, "metadata.uid"), field(env::NODE_NAME, "spec.nodeName")]),
        );
        extend(
            &mut container["volumeMounts"],
            json!([{ "name": env::INJECTED_VOLUMES[2], "mountPath": env::STATE_DIR }]),
        );
    }
    let probe =
        |path: &str| json!({ "httpGet": { "path": path, "port": env::HEALTH_PORT }, "periodSeconds": 5 });
    if container.get("readinessProbe").is_none() {
        let mut ready = probe("/readyz");
        ready["periodSeconds"] = 2.into();
        container["readinessProbe"] = ready;
    }
    if container.get("livenessProbe").is_none() {
        let mut live = probe("/livez");
        live["failureThreshold"] = 6.into();
        live["timeoutSeconds"] = 5.into();
        container["livenessProbe"] = live;
    }
}

/// A pod on a lost node is replaced after 30 s instead of 5 minutes, unless the template says otherwise.
fn tolerate_lost_nodes(tolerations: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let said = tolerations.as_array().is_some_and(|all| {
            all.iter().any(|one| {
                let key_matches = one.get("key").is_none_or(|found| found.as_str() == Some(key));
                let effect_matches =
                    one.get("effect").is_none_or(|found| matches!(found.as_str(), Some("NoExecute" | "")));
                key_matches && effect_matches
            })
        });
        if !said {
            let ours =
                json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30 });
            extend(tolerations, json!([ours]));
        }
    }
}

fn extend(list: &mut Value, more: Value) {
    if let Value::Array(more) = more {
        match list {
            Value::Array(items) => items.extend(more),
            other => *other = Value::Array(more),
        }
    }
}
