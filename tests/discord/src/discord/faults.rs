//! Faults and bans in the state: which fault hits a call, and what the ledger is told.
//!
//! From: REST's middleware and control. For: damaged answers and their counts. Deliberately absent: the rules
//! (`faults.rs`, `rest/invalid.rs`).

use std::net::IpAddr;

use super::Discord;
use crate::faults::Fault;
use crate::ledger::ViolationKind;

impl Discord {
    /// The fault that hits this call, if one does.
    pub(crate) fn fault(&self, method: &str, route: &str) -> Option<Fault> {
        let now = self.now();
        if self.read().faults.list(now).is_empty() {
            return None;
        }
        let mut state = self.change();
        let fault = state.faults.hit(method, route, now)?;
        *state.record.faults.entry(fault.damage.name().to_owned()).or_default() += 1;
        Some(fault)
    }

    /// Adds a fault; none where there are too many.
    pub(crate) fn add_fault_in_force(&self, fault: Fault) -> Option<Fault> {
        let now = self.now();
        self.change().faults.add(fault, now).cloned()
    }

    /// The faults in force.
    pub(crate) fn faults_in_force(&self) -> Vec<Fault> {
        let now = self.now();
        self.read().faults.list(now).to_vec()
    }

    /// Takes one away, or all; how many there were.
    pub(crate) fn remove_faults_in_force(&self, id: Option<u64>) -> usize {
        self.change().faults.remove(id)
    }

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
