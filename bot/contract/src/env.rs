//! Names of the environment variables and files that a pod finds, written once.
//!
//! Variables carry what never changes in a pod's life; what may change stands in the ConfigMap of [`crate::layouts`];
//! the two secrets are files, so that they can be replaced under a running pod.

use serde::{Deserialize, Serialize};

/// Name of the `ShardedBot`, for example `mybot`.
pub const BOT: &str = "SHARD_BOT";
/// Number of the layout that this pod belongs to, from 1.
pub const LAYOUT: &str = "SHARD_LAYOUT";
/// The total that Discord routes by. Set by hand, without [`BOT`], it is what a local run needs.
pub const TOTAL: &str = "SHARD_TOTAL";
/// Number of pods in the layout.
pub const PODS: &str = "SHARD_PODS";
/// Ordinal of this pod, from 0. Empty where Kubernetes sets no pod-index label: then the pod name's suffix says it.
pub const ORDINAL: &str = "SHARD_ORDINAL";
/// Name of the pod, `<bot>-<layout>-<ordinal>`.
pub const POD_NAME: &str = "SHARD_POD_NAME";
/// Namespace of the pod and of all objects of its bot.
pub const NAMESPACE: &str = "SHARD_NAMESPACE";

/// UID of the pod: what records name as the owner. Since revision 2.
pub const POD_UID: &str = "SHARD_POD_UID";
/// Name of the node that the pod runs on. Since revision 2.
pub const NODE_NAME: &str = "SHARD_NODE_NAME";

/// The token, for a local run only: in a pod it is read from [`TOKEN_FILE`].
pub const DISCORD_TOKEN: &str = "DISCORD_TOKEN";
/// Base of Discord's REST API for a local run, for example `http://127.0.0.1:8080`; left out: Discord itself.
pub const DISCORD_API: &str = "DISCORD_API";

/// Every variable that the operator sets on the bot's container. A template that sets one of them is refused.
pub const INJECTED: [&str; 9] = [BOT, LAYOUT, TOTAL, PODS, ORDINAL, POD_NAME, NAMESPACE, POD_UID, NODE_NAME];

/// Folder of the token's file.
pub const TOKEN_DIR: &str = "/var/run/shard-operator/token";
/// The bot's token. Read at every IDENTIFY and RESUME, so that a replaced Secret reaches a running pod.
pub const TOKEN_FILE: &str = "/var/run/shard-operator/token/token";
/// Folder of the file that proves to the gate which pod is asking.
pub const GATE_DIR: &str = "/var/run/shard-operator/gate";
/// A service-account token for the audience [`crate::names::GATE_AUDIENCE`]; the kubelet replaces it.
pub const GATE_TOKEN_FILE: &str = "/var/run/shard-operator/gate/token";

/// Folder that outlives the container and ends with the pod (an `emptyDir` in memory): how far each shard's events were
/// handled, and the last layouts document. Since revision 2.
pub const STATE_DIR: &str = "/var/run/shard-operator/state";

/// Names of the volumes that the operator adds to a pod. A template that has one of them is refused.
pub const INJECTED_VOLUMES: [&str; 3] =
    ["shard-operator-token", "shard-operator-gate", "shard-operator-state"];

/// Port of `/livez`, `/readyz`, `/metrics` and [`PEER_PATH`] in each pod. Reachable by whoever reaches the pod; it says no secrets.
pub const HEALTH_PORT: u16 = 8081;

/// Path at which a pod says which one it is, for the other pods of its bot: a [`Peer`]. A pod that reaches neither API
/// server nor gate asks its peers whether it is the one that is cut off.
pub const PEER_PATH: &str = "/peer";

/// What a pod says to its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its UID.
    pub pod_uid: String,
    /// Name of its node; peers on one's own node prove nothing.
    pub node: String,
    /// Pods that are taken for gone, by UID, as far as it knows: one that reads its own is not to go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}
