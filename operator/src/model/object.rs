//! The objects of a bot: their kinds, and one as it should be.
//!
//! Deliberately absent: objects as they stand, of which a plan looks at less.

use serde::Serialize;
use serde_json::Value;

/// The kinds of objects a bot has.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::IntoStaticStr, strum::EnumIter,
)]
pub enum Kind {
    /// Account of the pods.
    ServiceAccount,
    /// Their rights.
    Role,
    /// The rights bound to the account.
    RoleBinding,
    /// The headless Service that gives pods their names.
    Service,
    /// The document that pods watch.
    ConfigMap,
    /// Records of sessions. Never listed: read by name, apart from the others.
    Secret,
    /// A layout's pods.
    StatefulSet,
    /// Bounds evictions of a layout with duty.
    PodDisruptionBudget,
}

/// A whole object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it.
    pub body: Value,
}
