//! Connections as they are: what can be done to them without ending them.
//!
//! From: control and the gateway. For: the connections' own halves, which obey. A frozen connection is what a client
//! sees of a gateway that hangs: TCP is open and nothing comes. Deliberately absent: ends (`discord/change.rs`,
//! `discord/departure.rs`), and connections without a session, which nobody can name.

use std::sync::Arc;
use std::time::Duration;

use super::change::Chosen;
use super::{Discord, State};
use crate::ledger::ViolationKind;
use crate::session::id::SessionId;
use crate::session::wire::Wire;
use crate::settings::CloseAnswerIs;

impl Discord {
    /// How much later than it came a heartbeat is acknowledged.
    pub(crate) fn ack_delay(&self) -> Duration {
        Duration::from_millis(self.read().settings.ack_ms.into())
    }

    /// With which code a client's close is answered.
    pub(crate) fn answers_closes_as(&self) -> CloseAnswerIs {
        self.read().settings.close_answer
    }

    /// Freezes connections for so long in real time; how many there are.
    pub(crate) fn freeze(&self, chosen: Chosen, span: Duration) -> usize {
        let wires = self.read().wires_of(chosen);
        for wire in &wires {
            wire.freeze(span);
        }
        wires.len()
    }

    /// Sends op 1 over connections; how many there are.
    pub(crate) fn ask_for_heartbeats(&self, chosen: Chosen) -> usize {
        let wires = self.read().wires_of(chosen);
        for wire in &wires {
            wire.ask_heartbeat();
        }
        wires.len()
    }

    /// A heartbeat says that the client has had everything up to this sequence.
    pub(crate) fn acknowledge(&self, session: SessionId, sequence: u64) {
        // Nobody waits for this, so nobody is woken.
        if let Some(session) = self.read().sessions.get_mut(session) {
            session.acknowledged = session.acknowledged.max(sequence.min(session.log.last()));
        }
    }

    /// Writes down a broken rule that has no answer of its own.
    pub(crate) fn record_violation(&self, kind: ViolationKind, text: String) {
        self.change().violation(self.now(), kind, text);
    }
}

impl State {
    fn wires_of(&self, chosen: Chosen) -> Vec<Arc<Wire>> {
        let wanted = self.sessions.all().filter(|session| chosen.has(session));
        wanted.filter_map(|session| Some(Arc::clone(&session.link.as_ref()?.wire))).collect()
    }
}
