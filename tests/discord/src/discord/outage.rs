//! Outages: REST that answers 503, a gateway that drops and refuses everybody, for a time.
//!
//! From: control. For: REST and the gateway's door. Sessions outlive an outage as long as they outlive any lost connection.
//! Deliberately absent: faults of single routes (`faults.rs`) and of single connections (`change.rs`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Discord;
use crate::settings::RestState;

/// What is gone until when, in real time since the start.
#[derive(Debug)]
pub(crate) struct Outages {
    rest_until: Duration,
    gateway_until: Duration,
    /// Cuts every connection that there is now.
    connections: CancellationToken,
}

impl Outages {
    /// None yet; `stop` also ends every connection.
    pub(crate) fn new(stop: &CancellationToken) -> Self {
        let connections = stop.child_token();
        Self { rest_until: Duration::ZERO, gateway_until: Duration::ZERO, connections }
    }

    /// What cuts a new connection.
    pub(crate) fn scissors(&self) -> CancellationToken {
        self.connections.child_token()
    }
}

impl Discord {
    /// Whether REST is to answer 503.
    pub fn rest_is_down(&self) -> bool {
        let state = self.read();
        state.settings.rest == RestState::Unavailable || self.now() < state.outages.rest_until
    }

    /// Whether the gateway is to refuse connections.
    pub fn gateway_is_down(&self) -> bool {
        self.now() < self.read().outages.gateway_until
    }

    /// Is gone for a while, in real time; how many sessions lost their connection.
    pub(crate) fn be_gone(&self, time: Duration, rest: bool, gateway: bool) -> usize {
        let until = self.now() + time;
        let mut state = self.change();
        if rest {
            state.outages.rest_until = until;
        }
        if !gateway {
            return 0;
        }
        state.outages.gateway_until = until;
        if time.is_zero() {
            return 0;
        }
        let fresh = self.stop.child_token();
        std::mem::replace(&mut state.outages.connections, fresh).cancel();
        state.sessions.all().filter(|session| session.link.is_some()).count()
    }
}
