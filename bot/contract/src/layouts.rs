//! The document in the ConfigMap `<bot>-layouts`: what a pod must know and what may change while it runs.
//!
//! Written by the operator, watched by the pods (`fieldSelector metadata.name`). A pod ignores a document whose
//! generation is lower than one it has seen. Deliberately absent: anything secret, and anything that never changes.

use crate::pace::Pace;
use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Layouts {
    /// Rises with each change of the document; not by ones.
    pub generation: u64,
    /// The layouts that exist, by rising number; at most three.
    pub layouts: Vec<Layout>,
    /// Where pods ask for IDENTIFYs and send reports.
    pub gate: GateAddress,
    /// Where Discord is.
    pub discord: DiscordAddress,
    /// The cuts at which duty passed, or is to pass, from one session group to another, by rising number; at most one is prepared, the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
    /// Pods on lost nodes that are taken for gone in a moment: one that reads its own UID here lets its shards go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

impl Layouts {
    /// Whether the pod of this UID is taken for gone.
    #[must_use]
    pub fn takes_for_gone(&self, uid: &str) -> bool {
        self.gone.iter().any(|gone| gone == uid)
    }
}

impl Layouts {
    /// Whether a pod of one layout asks pods of another if it is cut off: not those of one that is only to take over, which may not be there yet.
    #[must_use]
    pub fn asks(&self, mine: u32, theirs: u32) -> bool {
        let standby = |layout: &Layout| layout.number == theirs && layout.role == Role::Standby;
        mine == theirs || !self.layouts.iter().any(standby)
    }
}

/// One arrangement of shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// Its number, from 1; no two layouts of a bot that had duty share one.
    pub number: u32,
    /// The number Discord routes by.
    pub total: u32,
    /// How many pods share the total.
    pub pods: u32,
    /// What it does now.
    pub role: Role,
    /// Whose records its shards have: layouts with the same total and intents hand sessions over within a session group.
    #[serde(default)]
    pub session_group: u32,
    /// Its slot in the fallback schedule of [`crate::fallback`], 0 to 3; no two layouts that have pods share one.
    #[serde(default)]
    pub fallback_slot: u32,
}

/// What a layout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Its pods may not handle events.
    Standby,
    /// Its pods handle events.
    Active,
    /// Its pods are on their way out; they handle events until they stop, since the next layout begins after them.
    Retiring,
}

/// An instant of Discord's time at which duty passes from the fleet of one session group to that of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// The number of the move, which only rises.
    pub number: u64,
    /// The session group that has duty until then.
    pub from: u32,
    /// The one that has it from then on.
    pub to: u32,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How far it is.
    pub state: CutState,
}

/// How far a cut is. What is decided stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CutState {
    /// It may come: events from then on are held back.
    Prepared,
    /// It does not come.
    Aborted,
    /// It comes, or came.
    Committed,
    /// It came, and the fleet that had duty before has gone.
    Closed,
}

/// Where the gate is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateAddress {
    /// Base URL without a trailing slash, for example `http://shard-operator.shard-operator.svc:8080`.
    pub url: String,
}

/// Where Discord is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DiscordAddress {
    /// Base URL of the REST API without `/api`, for example `http://discord.default.svc`; none: Discord itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// How many times faster than real time a simulated Discord's time passes; Discord itself: 1. See [`crate::pace`].
    #[serde(skip_serializing_if = "Pace::is_real")]
    pub time_factor: Pace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_reads_as_documented() {
        let document = Layouts {
            generation: 3,
            layouts: vec![Layout {
                number: 2,
                total: 16,
                pods: 2,
                role: Role::Active,
                session_group: 0,
                fallback_slot: 2,
            }],
            gate: GateAddress { url: "http://gate:8080".into() },
            discord: DiscordAddress::default(),
            cuts: vec![Cut {
                number: 4,
                from: 0,
                to: 4,
                at_ms: 1_796_084_606_000,
                state: CutState::Prepared,
            }],
            gone: vec!["a".into()],
        };
        let json = r#"{"generation":3,"layouts":[{"number":2,"total":16,"pods":2,"role":"active","sessionGroup":0,"fallbackSlot":2}],"gate":{"url":"http://gate:8080"},"discord":{},"cuts":[{"number":4,"from":0,"to":4,"atMs":1796084606000,"state":"prepared"}],"gone":["a"]}"#;
        assert_eq!(serde_json::to_string(&document).unwrap(), json);
        assert_eq!(serde_json::from_str::<Layouts>(json).unwrap(), document);
    }

    #[test]
    fn pods_that_may_not_be_there_yet_are_asked_by_their_own_layout_alone() {
        let layout =
            |number, role| Layout { number, total: 16, pods: 2, role, session_group: 0, fallback_slot: 0 };
        let layouts = vec![layout(1, Role::Retiring), layout(2, Role::Active), layout(3, Role::Standby)];
        let document = Layouts { layouts, ..Layouts::default() };
        let asked = |mine| [1, 2, 3, 4].map(|theirs| document.asks(mine, theirs));
        assert_eq!(asked(2), [true, true, false, true], "of one that is not named nobody knows");
        assert_eq!(asked(3), [true; 4]);
    }

    #[test]
    fn fields_of_a_later_revision_are_tolerated() {
        let read: Layouts = serde_json::from_str(r#"{"generation":1,"duty":{"move":7}}"#).unwrap();
        assert_eq!(read, Layouts { generation: 1, ..Layouts::default() });
    }
}
