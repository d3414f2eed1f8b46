//! What is seen of the node of a pod that is silent.
//!
//! Deliberately absent: nodes of pods that speak or are ready, which nobody asks for.

use k8s_openapi::jiff::Timestamp;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// How it is.
    pub state: NodeState,
    /// Since when, where that is said.
    pub since: Option<Timestamp>,
}

/// How a node is, by its Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It answers; its Ready condition is True or False.
    Answers,
    /// It does not answer: its Ready condition is Unknown.
    Unknown,
    /// There is no such object any more.
    Gone,
}

impl NodeSeen {
    /// Whether nothing is known of what runs there.
    #[must_use]
    pub const fn is_lost(self) -> bool {
        matches!(self.state, NodeState::Unknown | NodeState::Gone)
    }
}
