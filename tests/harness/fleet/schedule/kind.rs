//! What may go wrong in a run, and which of it goes together.
//!
//! Names alone. Deliberately absent: how it is done (`fleet/storm.rs`, `thread/storm.rs`) and when (`schedule.rs`).

use serde::Serialize;
use std::fmt;

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A container is killed; its volumes stay.
    ContainerKill,
    /// A pod is deleted, with its grace.
    PodDelete,
    /// TCP ends without a word.
    Drop,
    /// Every connection ends so.
    DropAll,
    /// Op 7.
    Reconnect,
    /// Op 9 with true.
    InvalidResumable,
    /// Op 9 with false.
    Invalid,
    /// A connection that stays open and dead.
    Freeze,
    /// One replica of the operator is killed and comes back.
    OperatorKill,
    /// All of them.
    OperatorsKill,
    /// Pods do not reach the gate.
    GateAway,
    /// REST says 429, the bot's own.
    RestLimitedUser,
    /// REST says 429, everybody's.
    RestLimitedShared,
    /// REST says 429, the whole bot's.
    RestLimitedGlobal,
    /// REST fails.
    RestError,
    /// REST does not answer.
    RestTimeout,
    /// REST answers nonsense.
    RestGarbage,
    /// REST ends in mid-answer.
    RestCut,
    /// Discord is gone.
    Outage,
    /// The API server is gone for operators and pods.
    ApiAway,
    /// A pod is cut off from everything.
    Partition,
    /// One replica of the operator stops in good order, as in a roll-out, and comes back.
    OperatorStop,
    /// A few writes of pods reach the API server when their senders have long given up. Virtual runs alone: no proxy is between processes.
    WritesLate,
    /// Op 9 with false, for every session: all of them must IDENTIFY anew.
    InvalidAll,
    /// A node is lost with its pod, which runs on and reaches Discord, for so long that it is replaced. Virtual runs alone.
    NodeLost,
    /// The API server answers one replica of the operator nothing, or tells its watches nothing, while pods reach its gate. Virtual runs alone.
    OperatorDeaf,
    /// REST takes replies, and what it answers is lost.
    RestAnswersLost,
    /// The API server does what it is asked next, and its answers are lost. Virtual runs alone.
    ApiAnswersLost,
    /// Whatever hosts send each other, or the API server, comes late. Virtual runs alone.
    NetworkSlow,
    /// Operators do not reach Discord, and pods do. Virtual runs alone.
    OperatorsBlind,
    /// A kubelet is lost, whose pod runs on and reaches everybody; replaced it is in slow runs. Virtual runs alone.
    KubeletLost,
    /// A node is drained that a pod and a replica of the operator are on: the one is deleted with its grace, the other stops in good
    /// order in the same moment and comes back. Virtual runs alone.
    NodeDrained,
}

/// Every kind. The order is part of what a seed means.
pub const KINDS: [Kind; 32] = [
    Kind::ContainerKill,
    Kind::PodDelete,
    Kind::Drop,
    Kind::DropAll,
    Kind::Reconnect,
    Kind::InvalidResumable,
    Kind::Invalid,
    Kind::Freeze,
    Kind::OperatorKill,
    Kind::OperatorsKill,
    Kind::GateAway,
    Kind::RestLimitedUser,
    Kind::RestLimitedShared,
    Kind::RestLimitedGlobal,
    Kind::RestError,
    Kind::RestTimeout,
    Kind::RestGarbage,
    Kind::RestCut,
    Kind::Outage,
    Kind::ApiAway,
    Kind::Partition,
    Kind::OperatorStop,
    Kind::WritesLate,
    Kind::InvalidAll,
    Kind::NodeLost,
    Kind::OperatorDeaf,
    Kind::RestAnswersLost,
    Kind::ApiAnswersLost,
    Kind::NetworkSlow,
    Kind::OperatorsBlind,
    Kind::KubeletLost,
    Kind::NodeDrained,
];

/// What a run is about. Of faults drawn from all kinds two seldom meet in one protocol, and what two do together is what is hard to
/// get right; so two runs of three keep to one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// Everything.
    Everything,
    /// Who owns a session, and where it goes on.
    Sessions,
    /// Who may IDENTIFY, and when.
    Identifies,
}

/// Each of them. The order is part of what a seed means.
pub(super) const ABOUT: [About; 3] = [About::Everything, About::Sessions, About::Identifies];

impl About {
    /// The kinds of its faults.
    pub(super) const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Everything => &KINDS,
            Self::Sessions => &[
                Kind::ContainerKill,
                Kind::PodDelete,
                Kind::Drop,
                Kind::Freeze,
                Kind::ApiAway,
                Kind::Partition,
                Kind::WritesLate,
                Kind::NodeLost,
                Kind::KubeletLost,
                Kind::RestAnswersLost,
                Kind::ApiAnswersLost,
                Kind::NetworkSlow,
            ],
            Self::Identifies => &[
                Kind::Invalid,
                Kind::InvalidAll,
                Kind::ContainerKill,
                Kind::OperatorKill,
                Kind::OperatorsKill,
                Kind::OperatorStop,
                Kind::OperatorDeaf,
                Kind::GateAway,
                Kind::RestError,
                Kind::ApiAnswersLost,
                Kind::NetworkSlow,
                Kind::OperatorsBlind,
                Kind::NodeDrained,
            ],
        }
    }
}

impl Kind {
    /// Whether processes can be hit by it; where not, nothing stands between them that could do it.
    pub(super) const fn hits_processes(self) -> bool {
        !matches!(
            self,
            Self::WritesLate
                | Self::NodeLost
                | Self::OperatorDeaf
                | Self::ApiAnswersLost
                | Self::NetworkSlow
                | Self::OperatorsBlind
                | Self::KubeletLost
                | Self::NodeDrained
        )
    }

    /// Whether pods do not hear that Discord took what they sent.
    pub(super) const fn leaves_replies_open(self) -> bool {
        matches!(
            self,
            Self::Partition
                | Self::Outage
                | Self::RestLimitedUser
                | Self::RestLimitedShared
                | Self::RestLimitedGlobal
                | Self::RestAnswersLost
        )
    }

    /// How long it lasts at least, in milliseconds of real time.
    pub(super) const fn least_ms(self) -> u64 {
        match self {
            // A pod of a lost node is deleted by force when its reports have been silent for 90 s.
            Self::NodeLost | Self::KubeletLost => 9_000,
            // Its lease is over after 10 s, another leads after 15 s and grants after 24 s.
            Self::OperatorDeaf => 3_000,
            _ => 100,
        }
    }

    /// Whether it has to be ended.
    pub(crate) const fn lasts(self) -> bool {
        matches!(
            self,
            Self::OperatorKill
                | Self::OperatorStop
                | Self::OperatorsKill
                | Self::OperatorDeaf
                | Self::GateAway
                | Self::ApiAway
                | Self::Partition
                | Self::NodeLost
                | Self::WritesLate
                | Self::NetworkSlow
                | Self::OperatorsBlind
                | Self::KubeletLost
                | Self::NodeDrained
        )
    }

    /// Whose sessions it may end, so that they must IDENTIFY anew.
    pub(super) const fn ends_sessions(self) -> Whose {
        match self {
            Self::Invalid => Whose::Shard,
            Self::ContainerKill
            | Self::PodDelete
            | Self::Partition
            | Self::NodeLost
            | Self::KubeletLost
            | Self::NodeDrained => Whose::Pod,
            Self::InvalidAll => Whose::All,
            _ => Whose::Nobody,
        }
    }

    /// Whose IDENTIFYs it may cut off on their way, so that they are sent again.
    pub(super) const fn cuts_off(self) -> Whose {
        match self {
            Self::Drop | Self::Reconnect | Self::InvalidResumable | Self::Freeze => Whose::Shard,
            Self::DropAll | Self::Outage => Whose::All,
            _ => Whose::Nobody,
        }
    }
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Nobody,
    /// One shard.
    Shard,
    /// All shards of one pod.
    Pod,
    /// All shards.
    All,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        let (first, rest) = name.split_at(1);
        write!(f, "{}{rest}", first.to_lowercase())
    }
}
