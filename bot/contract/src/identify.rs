//! What a pod and the gate say to each other about IDENTIFYs.
//!
//! `POST /v1/identify` asks, `POST /v1/identified` tells that it went out. Both carry `Authorization: Bearer` with the
//! token of [`crate::env::GATE_TOKEN_FILE`]; only shards of the calling pod's ordinal and layout are granted.
//! Errors are an HTTP status and a [`Refusal`]: 400 a body that makes no sense, 401 an unknown caller, 403 shards that
//! are not the caller's, 429 too many calls, 503 the gate is closed or cannot ask the API server: ask again.

use serde::{Deserialize, Serialize};

/// Path of the call that asks for an IDENTIFY.
pub const IDENTIFY_PATH: &str = "/v1/identify";
/// Path of the call that tells that an IDENTIFY went out.
pub const IDENTIFIED_PATH: &str = "/v1/identified";

/// How long a grant may be used, in milliseconds, counted as `sending + held + this` on the pod's monotonic clock from
/// the moment the pod began to send its request. Past it no IDENTIFY goes out.
pub const GRANT_VALID_MS: u64 = 3_000;

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
    /// Why they wait; the gate serves live before active before standby.
    pub why: Why,
}

/// Why shards wait for an IDENTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
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

/// Tells that the IDENTIFY of a grant went out, or that it will not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identified {
    /// Number of the grant.
    pub grant: u64,
    /// Whether the IDENTIFY was sent. A grant that will not be used frees its bucket at once and costs no budget.
    pub sent: bool,
}

/// Why a call was refused, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What was wrong, what was found, and the remedy.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_reads_as_documented() {
        let request = IdentifyRequest { layout: 1, shards: vec![3, 4], why: Why::Active };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"layout":1,"shards":[3,4],"why":"active"}"#);
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
    fn live_comes_before_active_before_standby() {
        assert!(Why::Live < Why::Active && Why::Active < Why::Standby);
    }
}
