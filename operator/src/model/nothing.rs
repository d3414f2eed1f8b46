//! A world in which nothing was found, for tests that say what they are about and no more.
//!
//! Deliberately absent: anything that a test would have to look up.

use super::{Addresses, DiscordSeen, Observed, TokenSeen};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;

impl Observed {
    /// Nothing, at the beginning of time; the fleet has been heard.
    pub(crate) fn nothing() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            addresses: Addresses::default(),
            token: TokenSeen::SecretMissing,
            rival: None,
            waits_for_others: false,
            refusals: Vec::new(),
            discord: DiscordSeen::default(),
            children: Vec::new(),
            document: None,
            secrets: Vec::new(),
            pods: Vec::new(),
            nodes: BTreeMap::new(),
            heard: true,
            gate: None,
        }
    }
}
