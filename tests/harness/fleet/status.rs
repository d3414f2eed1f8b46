//! A pod's status as a kubelet writes it, of a pod whose one container has begun.
//!
//! From what a kubelet knows of it to a patch. Deliberately absent: pods that wait for a node or an image.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The patch. `since`: when the node took the pod on.
pub(crate) fn status(
    address: &str,
    since: Timestamp,
    now: Timestamp,
    is_ready: bool,
    restarts: u32,
) -> Value {
    let condition = |name: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        json!({ "type": name, "status": status, "lastTransitionTime": now })
    };
    json!({ "status": {
        "phase": "Running",
        "startTime": since,
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "conditions": [
            condition("PodScheduled", true),
            condition("Initialized", true),
            condition("ContainersReady", is_ready),
            condition("Ready", is_ready),
        ],
        "containerStatuses": [{
            "name": "bot", "ready": is_ready, "started": true, "restartCount": restarts,
            "image": "shard-bot", "imageID": "shard-bot", "state": { "running": { "startedAt": now } },
        }],
    } })
}
