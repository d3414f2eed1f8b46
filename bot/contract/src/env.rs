//! Names of the environment variables and files that a pod finds, written once.
//!
//! Variables carry what never changes in a pod's life; what may change stands in the ConfigMap of [`crate::layouts`];
//! the two secrets are files, so that they can be replaced under a running pod.

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

/// The token, for a local run only: in a pod it is read from [`TOKEN_FILE`].
pub const DISCORD_TOKEN: &str = "DISCORD_TOKEN";
/// Base of Discord's REST API for a local run, for example `http://127.0.0.1:8080`; left out: Discord itself.
pub const DISCORD_API: &str = "DISCORD_API";

/// Every variable that the operator sets on the bot's container. A template that sets one of them is refused.
pub const INJECTED: [&str; 7] = [BOT, LAYOUT, TOTAL, PODS, ORDINAL, POD_NAME, NAMESPACE];

/// Folder of the token's file.
pub const TOKEN_DIR: &str = "/var/run/shard-operator/token";
/// The bot's token. Read at every IDENTIFY and RESUME, so that a replaced Secret reaches a running pod.
pub const TOKEN_FILE: &str = "/var/run/shard-operator/token/token";
/// Folder of the file that proves to the gate which pod is asking.
pub const GATE_DIR: &str = "/var/run/shard-operator/gate";
/// A service-account token for the audience [`crate::names::GATE_AUDIENCE`]; the kubelet replaces it.
pub const GATE_TOKEN_FILE: &str = "/var/run/shard-operator/gate/token";

/// Names of the volumes that the operator adds to a pod. A template that has one of them is refused.
pub const INJECTED_VOLUMES: [&str; 2] = ["shard-operator-token", "shard-operator-gate"];

/// Port of `/livez`, `/readyz` and `/metrics` in each pod. Reachable by whoever reaches the pod; it says no secrets.
pub const HEALTH_PORT: u16 = 8081;
