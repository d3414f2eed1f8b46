//! What a pod and the gate say to each other about IDENTIFYs.
//!
//! `POST /v1/identify` asks, `POST /v1/identified` tells what became of a grant: first that it went out or will not, then
//! whether READY came. Both carry `Authorization: Bearer` with the token of [`crate::env::GATE_TOKEN_FILE`]; only shards of
//! the calling pod's ordinal and layout are granted. Errors are an HTTP status and a [`Refusal`]: 400 a body that makes no
//! sense, 401 an unknown caller, 403 shards that are not the caller's (both may say [`Refusal::pod_is_there`]), 421 this replica
//! is not the leader and [`Refusal::leader`] says who is, 429 too many calls, 503 the gate is closed: ask again. 502
//! and 504 say that the leader could not ask the API server who calls, or Discord what it allows, and so can grant nothing: for
//! [`crate::fallback`] that is no leader's answer, as little as 421 is.
//!
//! **Which answer was heard.** Every successful answer of the three calls, but those of a leader that can grant nothing, carries the header [`ANSWER_HEADER`] with a word
//! that its leader chose; the pod's next calls repeat the newest one in [`HEARD_HEADER`]. So the gate knows, by its own
//! clock alone, how long ago a pod has surely heard from it, and whether the pod may be on the fallback schedule ([`crate::fallback`]),
//! for which an answer without a word is no leader's.

use serde::{Deserialize, Serialize};

/// Path of the call that asks for an IDENTIFY.
pub const IDENTIFY_PATH: &str = "/v1/identify";
/// Path of the call that tells that an IDENTIFY went out.
pub const IDENTIFIED_PATH: &str = "/v1/identified";

/// How long a grant may be used, in milliseconds, counted as `sending + held + this` on the pod's monotonic clock from
/// the moment the pod began to send its request. Past it no IDENTIFY goes out.
pub const GRANT_VALID_MS: u64 = 3_000;

/// Header of an answer: names it. At most 64 printable characters, chosen by the leader, never repeated by another one.
pub const ANSWER_HEADER: &str = "shard-answer";
/// Header of a call: the newest [`ANSWER_HEADER`] that the pod has received; absent before the first, and until its last
/// IDENTIFY by the fallback schedule is [`crate::fallback::APART_MS`] ago.
pub const HEARD_HEADER: &str = "shard-heard";

/// The longest that the gate holds a request before it answers "not yet", in milliseconds.
pub const HOLD_MS: u64 = 25_000;

/// Asks for an IDENTIFY for one of these shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentifyRequest {
    /// Number of the caller's layout.
    pub layout: u32,
    /// Shards that wait, most urgent first; 1 to 256 of the caller's own.
    pub shards: Vec<u32>,
    /// How urgent they are; the gate serves live before active before standby.
    pub priority: Priority,
}

/// How urgent an IDENTIFY is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// It was online and lost its session: users are waiting.
    Live,
    /// It comes online for the first time, in a layout that has duty.
    Active,
    /// It comes online in a layout that has no duty yet.
    Standby,
}

/// The gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "answer")]
pub enum IdentifyAnswer {
    /// This shard may send one IDENTIFY now.
    Granted {
        /// Which of the shards asked for.
        shard: u32,
        /// Number of the grant; [`Identified`] names it.
        grant: u64,
        /// How long the gate held the call, in milliseconds.
        held_ms: u64,
    },
    /// None of them may identify now.
    NotYet {
        /// What is waited for, for people.
        because: String,
        /// When to ask again, in milliseconds; 0: at once.
        ask_again_after_ms: u64,
    },
}

/// Tells what became of a grant. A pod tells `sent` or `unused` at once, and after `sent` one of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identified {
    /// Number of the grant.
    pub grant: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The IDENTIFY went out; its bucket's window begins.
    Sent,
    /// It will not go out: its bucket is free again and no budget was spent.
    Unused,
    /// READY came.
    Ready,
    /// Discord answered with op 9, as it does when the bucket's window was not over.
    Invalid,
    /// The connection ended otherwise before READY.
    Failed,
}

/// Why a call was refused, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What was wrong, what was found, and the remedy.
    pub error: String,
    /// With 421: base URL of the leader, without a trailing slash, to ask there; none while nobody leads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leader: Option<String>,
    /// With 401 and 403: whether the pod that the token says it is bound to is there and is not being deleted. Where it is, the token is
    /// at fault and not the pod, as when its service account was made anew. Absent: nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod_is_there: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_reads_as_documented() {
        let request = IdentifyRequest { layout: 1, shards: vec![3, 4], priority: Priority::Active };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"layout":1,"shards":[3,4],"priority":"active"}"#
        );
        let granted = IdentifyAnswer::Granted { shard: 3, grant: 9, held_ms: 12 };
        assert_eq!(
            serde_json::to_string(&granted).unwrap(),
            r#"{"answer":"granted","shard":3,"grant":9,"heldMs":12}"#
        );
        let not_yet = IdentifyAnswer::NotYet { because: "the bucket is busy".into(), ask_again_after_ms: 0 };
        assert_eq!(
            serde_json::to_string(&not_yet).unwrap(),
            r#"{"answer":"notYet","because":"the bucket is busy","askAgainAfterMs":0}"#
        );
    }

    #[test]
    fn a_refusal_says_what_is_known_and_nothing_else() {
        let refusal = |pod_is_there| Refusal { error: "no".into(), leader: None, pod_is_there };
        let text = |pod_is_there| serde_json::to_string(&refusal(pod_is_there)).unwrap();
        assert_eq!(text(Some(false)), r#"{"error":"no","podIsThere":false}"#);
        assert_eq!(text(None), r#"{"error":"no"}"#);
        assert_eq!(serde_json::from_str::<Refusal>(&text(None)).unwrap(), refusal(None));
    }

    #[test]
    fn an_outcome_is_one_word() {
        let told = Identified { grant: 9, outcome: Outcome::Invalid };
        assert_eq!(serde_json::to_string(&told).unwrap(), r#"{"grant":9,"outcome":"invalid"}"#);
    }

    #[test]
    fn live_comes_before_active_before_standby() {
        assert!(Priority::Live < Priority::Active && Priority::Active < Priority::Standby);
    }
}
