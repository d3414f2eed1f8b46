//! A grant: permission for one shard to send one IDENTIFY, and the words that are told about it.
//!
//! Made by [`super`] from the gate's answer or from the fallback schedule, held by the shard's connection until READY came or it ended.
//! Guarantees: exactly one of `sent` and `unused` is told, and after `sent` exactly one of `ready`, `invalid` and
//! `failed`, also when it is dropped. Deliberately absent: how it is told.

use shard_contract::identify::{Identified, Outcome};
use tokio::{sync::mpsc, time::Instant};

/// Permission to send one IDENTIFY. Dropped before [`Grant::sent`] it is given back; dropped after, the IDENTIFY failed.
#[derive(Debug)]
pub(crate) struct Grant {
    until: Instant,
    tell: Option<(u64, mpsc::UnboundedSender<Identified>)>,
    sent: bool,
}

impl Grant {
    /// A grant that ends then, with its number and who is told about it.
    pub(super) const fn new(until: Instant, number: u64, tell: mpsc::UnboundedSender<Identified>) -> Self {
        Self { until, tell: Some((number, tell)), sent: false }
    }

    /// Whether the IDENTIFY may still go out.
    pub(crate) fn is_valid(&self) -> bool {
        Instant::now() < self.until
    }

    /// The IDENTIFY went out.
    pub(crate) fn sent(&mut self) {
        if !self.sent {
            self.sent = true;
            self.say(Outcome::Sent);
        }
    }

    /// READY came.
    pub(crate) fn ready(self) {
        self.end(Outcome::Ready);
    }

    /// Discord answered the IDENTIFY with op 9.
    pub(crate) fn invalid(self) {
        self.end(Outcome::Invalid);
    }

    fn end(mut self, outcome: Outcome) {
        self.sent();
        self.say(outcome);
        self.tell = None;
    }

    fn say(&self, outcome: Outcome) {
        if let Some((grant, tell)) = &self.tell {
            // Only fails when the process is ending.
            _ = tell.send(Identified { grant: *grant, outcome });
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.say(if self.sent { Outcome::Failed } else { Outcome::Unused });
    }
}

#[cfg(test)]
impl Grant {
    /// A grant that ends then, and what is told about it.
    pub(crate) fn until(until: Instant) -> (Self, mpsc::UnboundedReceiver<Identified>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self::new(until, 1, tell), told)
    }

    /// When it ends.
    pub(crate) const fn end_of(&self) -> Instant {
        self.until
    }
}
