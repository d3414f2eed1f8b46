//! Events of which nobody knows yet whose they are: a cut that concerns them is prepared and not decided.
//!
//! From [`shard_contract::whose`] back to it, when the layouts document says more or the wait for that is over. Bounded: what finds no room is
//! thrown away, as where the pod cannot keep up ([`super::inbox`]), which keeps their places. Deliberately absent: the decision.

use std::{collections::VecDeque, future::pending, time::Duration};

use shard_contract::{
    record::MOST_SKIPPED,
    whose::{Duty, Received},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use twilight_gateway::Event;

use crate::session::progress::Ticket;

/// One event that is held back.
#[derive(Debug)]
pub(super) struct Undecided {
    pub(super) event: Event,
    pub(super) received: Received,
    pub(super) ticket: Ticket,
}

/// Those of one shard, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    events: VecDeque<Undecided>,
    /// When the first of them is to be decided whatever the document says.
    until: Option<Instant>,
}

impl HeldBack {
    /// Holds an event back, for so long at most, if that is known.
    pub(super) fn hold(&mut self, event: Undecided, most: Option<Duration>) {
        self.events.push_back(event);
        let until = most.map(|most| Instant::now() + most);
        self.until = self.until.into_iter().chain(until).min();
    }

    /// Whether they are to be decided now, before anything that comes after them.
    pub(super) fn are_due(&self, duty: &watch::Receiver<Duty>) -> bool {
        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
        !self.is_empty() && (is_over || duty.has_changed().unwrap_or(false))
    }

    /// Whether an event of this number is so far above the first of them that a record could not say what was begun between.
    pub(super) fn are_far_below(&self, sequence: u64) -> bool {
        let far = |first: &Undecided| sequence.saturating_sub(first.ticket.sequence()) >= MOST_SKIPPED as u64;
        self.events.front().is_some_and(far)
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Ends when they are to be decided again. May be dropped at any point without loss.
    pub(super) async fn wait(&self, duty: &mut watch::Receiver<Duty>) {
        let over = async {
            match self.until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = duty.changed() => {}
            () = over => {}
        }
    }

    /// All of them, to be decided again.
    pub(super) fn take(&mut self) -> VecDeque<Undecided> {
        self.until = None;
        std::mem::take(&mut self.events)
    }
}
