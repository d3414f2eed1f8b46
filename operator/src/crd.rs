//! The custom resource: `ShardedBot`, its spec, its status, and what the API server checks by itself.
//!
//! Nouns only, no behaviour. `crds/shardedbots.yaml` and the chart's copy are printed from here by
//! `shard-operator crd`; a test fails when they are stale. The pod template's schema is written by hand in
//! [`schema`], and so are the corrections that the derive cannot express.

mod listed;
mod schema;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use listed::Listed;
pub use schema::{SCHEMA_ANNOTATION, SCHEMA_VERSION, definition};

/// A sharded Discord bot. The operator never writes it: GitOps owns it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "shard-operator.dev",
    version = "v1alpha1",
    kind = "ShardedBot",
    plural = "shardedbots",
    shortname = "sbot",
    category = "all",
    namespaced,
    doc = "A Discord bot whose guilds are split over shards; the operator keeps every shard connected, by Discord's rules.",
    derive = "PartialEq",
    status = "ShardedBotStatus",
    scale(spec_replicas_path = ".spec.shards", status_replicas_path = ".status.shards"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.shards"),
    printcolumn(name = "Online", type_ = "integer", json_path = ".status.readyShards"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.pods"),
    printcolumn(name = "Guilds", type_ = "integer", json_path = ".status.guilds"),
    printcolumn(name = "Recommended", type_ = "integer", json_path = ".status.recommendedShards"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Identifies", type_ = "integer", json_path = ".status.identifies.remaining", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name: at most 40 characters, so that the names of its pods stay valid; choose a shorter name"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: lower-case letters, digits and '-', beginning with a letter, without dots; choose such a name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.shards) || !has(self.shardMultiple) || self.shards % self.shardMultiple == 0")
    .message("spec.shards: not a multiple of spec.shardMultiple; Discord refuses such a total (close 4010); choose a multiple")
    .field_path(".shards"))]
#[x_kube(validation = Rule::new("self.template.spec.containers.exists_one(c, c.name == 'bot') || size(self.template.spec.containers) == 1")
    .message("spec.template.spec.containers: which one is the bot? name it \"bot\", or leave only one")
    .field_path(".template.spec.containers"))]
#[x_kube(validation = Rule::new("!has(self.follow) || (self.follow.maxShards / self.shardMultiple) * self.shardMultiple >= self.follow.minShards")
    .message("spec.follow: no multiple of spec.shardMultiple lies between minShards and maxShards; widen the range")
    .field_path(".follow"))]
pub struct ShardedBotSpec {
    /// The Secret that holds the bot's token. One ShardedBot per token. To rotate, replace the token inside the Secret.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("spec.tokenSecretRef: cannot change, running pods mount it; replace the token inside the Secret, or delete this ShardedBot and create it anew"))]
    pub token_secret_ref: TokenSecretRef,

    /// The total that Discord routes by, 0 to 16384. Leave it out to follow Discord's recommendation; 0: stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16384))]
    pub shards: Option<u32>,

    /// Large bots (150,000 guilds and more): the number that Discord assigned, for example 16. Every total is a multiple of it.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub shard_multiple: u32,

    /// How many shards a pod holds at most, 1 to 256; pods = ceil(shards / shardsPerPod).
    #[serde(default = "sixteen")]
    #[schemars(range(min = 1, max = 256))]
    pub shards_per_pod: u32,

    /// How to follow Discord's recommendation; read only when `shards` is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Follow>,

    /// How a change is carried out.
    #[serde(default)]
    pub update: Update,

    /// How the daily identify budget is spent.
    #[serde(default)]
    pub identify: Identify,

    /// true: no new layout, a change is held at the next safe point; the gate and restarts go on.
    #[serde(default)]
    pub paused: bool,

    /// Any new value makes a new layout of the same total (`kubectl rollout restart` does not know this kind). A time is customary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub restarted_at: Option<String>,

    /// The pods. The container named "bot", or the only one, is the bot.
    #[schemars(schema_with = "schema::template")]
    pub template: PodTemplate,
}

/// Where the token is.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct TokenSecretRef {
    /// Name of the Secret, in the ShardedBot's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in the Secret.
    #[serde(default = "token_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// How to follow Discord's recommendation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minShards <= self.maxShards")
    .message("spec.follow: minShards is above maxShards; lower the one or raise the other"))]
pub struct Follow {
    /// Never fewer shards than this, 1 to 16384.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16384))]
    pub min_shards: u32,
    /// Never more shards than this, 1 to 16384.
    #[serde(default = "max_shards")]
    #[schemars(range(min = 1, max = 16384))]
    pub max_shards: u32,
    /// Re-shard up when the fullest shard holds more guilds than this, 1 to 2499. Discord's hard limit is 2500.
    #[serde(default = "reshard_above")]
    #[schemars(range(min = 1, max = 2499))]
    pub reshard_above_guilds_per_shard: u32,
}

/// How a change is carried out.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// Handover: without interruption. Recreate: stop, then start.
    #[serde(default, rename = "type")]
    pub kind: UpdateKind,
    /// Settings of a hand-over. Not supported by this version: leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::handover")]
    pub handover: Option<Handover>,
}

/// The ways to carry out a change.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum UpdateKind {
    /// Without interruption.
    #[default]
    Handover,
    /// Stop, then start.
    Recreate,
}

/// Settings of a hand-over.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// Same total: how many pods of the next layout may exist beyond the wanted ones, a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<serde_json::Value>,
    /// How long the next layout must stay healthy before the old one goes, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_seconds: Option<u32>,
    /// Without progress for this long the move is reversed, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<u32>,
}

impl Eq for Handover {}

/// How the daily identify budget is spent.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identify {
    /// Share of the daily total that only live shards may use, 0 to 90 percent.
    #[serde(default = "twenty")]
    #[schemars(range(min = 0, max = 90))]
    pub reserve_percent: u32,
}

/// A pod template. Its spec is kept as it was typed, so that no field of a newer Kubernetes is lost.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// The pod spec.
    pub spec: serde_json::Map<String, serde_json::Value>,
}

/// What a template may say about its pods' metadata.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateMetadata {
    /// Labels of the pods.
    #[serde(default, deserialize_with = "null_as_none", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(default, deserialize_with = "null_as_none", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What the operator says about a bot. Bounded whatever the fleet's size; counters change at most once a minute.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShardedBotStatus {
    /// The generation of the spec that this status speaks of; -1: not seen yet.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Available, Ready, Reconciling, Stalled, BudgetAvailable, RecommendationFresh, BreakerClosed, TokenExclusive, GateReached, InstallationExclusive.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The active total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// Shards of it that are connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_shards: Option<u32>,
    /// Pods of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<u32>,
    /// Guilds over all shards, the unavailable ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guilds: Option<u64>,
    /// What Discord recommends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended_shards: Option<u32>,
    /// The layouts that exist, at most three.
    #[serde(default)]
    #[schemars(length(max = 3))]
    pub layouts: Vec<LayoutStatus>,
    /// The identify budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifies: Option<IdentifiesStatus>,
}

/// One layout.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LayoutStatus {
    /// Its number.
    pub number: u32,
    /// The number Discord routes by.
    pub shards: u32,
    /// How many pods share the total.
    pub pods: u32,
    /// standby, active or retiring.
    pub role: String,
    /// Shards of it that are connected.
    pub ready_shards: u32,
}

/// The identify budget, as Discord said and as the gate counted since.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentifiesStatus {
    /// IDENTIFYs that Discord allows in 24 hours.
    pub total: u32,
    /// What is left of them.
    pub remaining: u32,
    /// When the budget is full again, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
    /// How many shards may identify in the same 5 s.
    pub max_concurrency: u32,
    /// Shards that wait for their turn.
    pub waiting: u32,
    /// When the waiting shards will have had their turn, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_done: Option<String>,
}

impl ShardedBotSpec {
    /// A spec in which nothing is set: each field has its default, and what has none is empty.
    #[must_use]
    pub fn unset() -> Self {
        Self {
            token_secret_ref: TokenSecretRef { name: String::new(), key: token_key() },
            shards: None,
            shard_multiple: one(),
            shards_per_pod: sixteen(),
            follow: None,
            update: Update::default(),
            identify: Identify::default(),
            paused: false,
            restarted_at: None,
            template: PodTemplate::default(),
        }
    }
}

impl Default for Follow {
    fn default() -> Self {
        Self { min_shards: one(), max_shards: max_shards(), reshard_above_guilds_per_shard: reshard_above() }
    }
}

impl Default for Identify {
    fn default() -> Self {
        Self { reserve_percent: twenty() }
    }
}

/// What is null is not there.
fn null_as_none<'de, D: serde::Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

const fn one() -> u32 {
    1
}
const fn sixteen() -> u32 {
    16
}
const fn twenty() -> u32 {
    20
}
const fn max_shards() -> u32 {
    256
}
const fn reshard_above() -> u32 {
    2_000
}
const fn unseen() -> i64 {
    -1
}
fn token_key() -> String {
    "token".into()
}
