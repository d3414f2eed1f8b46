//! What the operator and the pods of a bot promise each other.
//!
//! Both sides use these functions and shapes, so they cannot disagree; a bot in another language follows the same
//! words, since everything here is plain: environment variables, one JSON document in a ConfigMap, and JSON over HTTP.
//! Deliberately absent: any client, clock, runtime or Kubernetes type. This crate depends on serde alone.

pub mod buckets;
pub mod env;
pub mod events;
pub mod fallback;
pub mod identify;
pub mod layout;
pub mod layouts;
pub mod names;
pub mod pace;
pub mod record;
pub mod report;
pub mod whose;

/// What the operator injects into a pod is a function of this number alone. It is part of a layout's identity, so
/// that a newer operator leaves running pods as they are: a higher number is used for the next layout its user causes.
///
/// 2: a volume for [`env::STATE_DIR`], the pod's UID and its node. 3: what is null in the template is left out, the user's
/// `app.kubernetes.io/` labels win, the account's token is asked for by name, and the volume for the state is as large as the shards need.
pub const REVISION: u32 = 3;
