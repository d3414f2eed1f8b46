//! Bans in the state: their limit, and what the ledger is told.
//!
//! From: REST's middleware. For: the ledger. Deliberately absent: the rule (`rest/invalid.rs`).

use std::net::IpAddr;

use super::Discord;
use crate::ledger::ViolationKind;

impl Discord {
    /// Invalid requests of an address that bring it a ban.
    pub(crate) fn invalid_request_limit(&self) -> u32 {
        self.read().settings.invalid_request_limit
    }

    /// Writes down that an address is banned.
    pub(crate) fn record_ban(&self, address: IpAddr, limit: u32) {
        let text = format!("{address} made {limit} invalid requests in 10 minutes; it is banned");
        self.change().violation(self.now(), ViolationKind::InvalidRequests, text);
    }
}
