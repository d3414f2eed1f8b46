//! What a pod says about its shards: `POST /v1/report`, on change and every 15 s.
//!
//! Authorised like the gate's calls. Answered with 204; errors as in [`crate::identify`]. The operator keeps reports in
//! memory only, and forgets them when their pod is gone. Deliberately absent: guild ids, names, anything of users.

use serde::{Deserialize, Serialize};

/// Path of the call.
pub const REPORT_PATH: &str = "/v1/report";
/// The longest time between two reports of a pod, in milliseconds.
pub const REPORT_EVERY_MS: u64 = 15_000;

/// One pod's report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Number of the pod's layout.
    pub layout: u32,
    /// One entry per shard of the pod, by rising id; at most 256.
    pub shards: Vec<ShardReport>,
    /// The pod's CPU jobs.
    pub jobs: JobsReport,
    /// The intents that its shards identify with.
    pub intents: u64,
    /// Whether the pod has not reached the gate for so long that it identifies by [`crate::fallback`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_fallback_schedule: bool,
    /// Whether the pod found itself cut off and has let its shards go, until it reads its records again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub isolated: bool,
}

/// One shard of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardReport {
    /// Its id.
    pub id: u32,
    /// What its connection does.
    pub state: ShardState,
    /// Guilds in READY's list or joined since, the unavailable ones included.
    pub guilds: u32,
    /// Those of them that Discord has not sent yet, or that are down.
    pub unavailable_guilds: u32,
    /// Mean time between heartbeat and its ACK, in milliseconds; none before the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<u64>,
    /// IDENTIFYs sent since the pod started.
    pub identifies: u64,
    /// RESUMEs that succeeded since the pod started.
    pub resumes: u64,
    /// Events received since the pod started.
    pub events: u64,
    /// Events handled again after a crash since the pod started, marked so.
    #[serde(default)]
    pub redelivered: u64,
    /// How long ago the last event came, in milliseconds; none before the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idle_ms: Option<u64>,
    /// The close code that ended it for good (4004, 4010 to 4014), if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fatal_close: Option<u16>,
    /// What of its record it waits for, if it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits_for: Option<WaitsFor>,
}

/// What a shard waits for that must own its record first, in a layout with duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitsFor {
    /// There is no record yet; the operator makes it.
    Record,
    /// The record names another pod of this one's name. It is claimed once it is sure that there is none.
    AnotherPod,
    /// The record names a pod of another layout, which gives it away.
    AnotherLayout,
    /// Its layout has no duty.
    Duty,
    /// Something that this build does not know.
    #[serde(other)]
    Unknown,
}

impl WaitsFor {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Record => "has no record of its session yet",
            Self::AnotherPod => {
                "has a record that names another pod of the same name, as after a Secret was restored from a backup; it is claimed within a minute"
            }
            Self::AnotherLayout => {
                "has a record that names a pod of another layout, which is to give it away"
            }
            Self::Duty => {
                "is of a layout without duty: it is to take over from another whose pods are still there, or is on its way out"
            }
            Self::Unknown => "waits for its record",
        }
    }
}

/// What a shard's connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShardState {
    /// Connecting, or waiting for its record or for its turn to IDENTIFY.
    Waiting,
    /// Sent its IDENTIFY and waits for READY.
    Identifying,
    /// Has a session and receives events.
    Online,
    /// Lost its connection and still has a session, until RESUMED.
    Resuming,
    /// Closed for good: Discord refused it with a code that forbids a new try.
    Refused,
}

/// The pod's CPU jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobsReport {
    /// Running now.
    pub running: u32,
    /// Waiting for a thread.
    pub queued: u32,
    /// Refused since the pod started because the queue was full.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_reads_as_documented() {
        let report = Report {
            layout: 1,
            shards: vec![ShardReport {
                id: 0,
                state: ShardState::Online,
                guilds: 12,
                unavailable_guilds: 0,
                latency_ms: Some(41),
                identifies: 1,
                resumes: 0,
                events: 99,
                redelivered: 0,
                idle_ms: Some(350),
                fatal_close: None,
                waits_for: None,
            }],
            jobs: JobsReport { running: 1, queued: 2, refused: 0 },
            intents: 513,
            on_fallback_schedule: false,
            isolated: false,
        };
        let json = r#"{"layout":1,"shards":[{"id":0,"state":"online","guilds":12,"unavailableGuilds":0,"latencyMs":41,"identifies":1,"resumes":0,"events":99,"redelivered":0,"idleMs":350}],"jobs":{"running":1,"queued":2,"refused":0},"intents":513}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
        assert_eq!(serde_json::from_str::<Report>(json).unwrap(), report);
        for (word, expected) in [("anotherPod", WaitsFor::AnotherPod), ("theMoon", WaitsFor::Unknown)] {
            let newer = json.replace(r#""idleMs":350"#, &format!(r#""waitsFor":"{word}""#));
            let read: Report = serde_json::from_str(&newer).unwrap();
            assert_eq!(read.shards[0].waits_for, Some(expected));
        }
    }
}
