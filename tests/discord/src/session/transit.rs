//! Events on their way: made, and not yet in the log of a session that gets them later than others.
//!
//! From: delivery, where a skew is set. For: the task that moves what has arrived on. What is due at the same time keeps
//! its order. Deliberately absent: how long an event takes (`discord/delivery.rs`), clocks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::id::SessionId;
use super::log::Event;

/// Events that may be on their way at once; more arrive at once, so that memory stays bounded.
const MOST: usize = 500_000;

/// Everything that is on its way.
#[derive(Debug, Default)]
pub struct Transit {
    travelling: BinaryHeap<Reverse<Travelling>>,
    count: u64,
    /// Rings when something will arrive before everything else.
    pub bell: Arc<Notify>,
}

#[derive(Debug)]
struct Travelling {
    due: Duration,
    number: u64,
    session: SessionId,
    event: Event,
}

impl Transit {
    /// Sends an event on its way; false where there is no room and it has to arrive at once.
    pub fn send(&mut self, due: Duration, session: SessionId, event: Event) -> Result<(), Event> {
        if self.travelling.len() >= MOST {
            return Err(event);
        }
        if self.next_due().is_none_or(|next| due < next) {
            self.bell.notify_one();
        }
        self.count += 1;
        self.travelling.push(Reverse(Travelling { due, number: self.count, session, event }));
        Ok(())
    }

    /// When the next one arrives.
    pub fn next_due(&self) -> Option<Duration> {
        self.travelling.peek().map(|Reverse(first)| first.due)
    }

    /// The next one that has arrived at `now`.
    pub fn arrived(&mut self, now: Duration) -> Option<(SessionId, Event)> {
        if self.next_due()? > now {
            return None;
        }
        self.travelling.pop().map(|Reverse(first)| (first.session, first.event))
    }
}

impl PartialEq for Travelling {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Travelling {}

impl PartialOrd for Travelling {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Travelling {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Data;
    use super::*;
    use crate::snowflake::Snowflake;

    #[test]
    fn events_arrive_when_they_are_due_and_in_their_order() {
        let mut transit = Transit::default();
        let session = SessionId::of(1);
        for (due, guild) in [(5, 1), (3, 2), (5, 3), (9, 4)] {
            let event = Event { name: "X", data: Data::Guild(Snowflake(guild)), number: None };
            transit.send(Duration::from_millis(due), session, event).unwrap();
        }
        let mut arrived = Vec::new();
        while let Some((_, event)) = transit.arrived(Duration::from_millis(5)) {
            let Data::Guild(guild) = event.data else { unreachable!() };
            arrived.push(guild.0);
        }
        assert_eq!(arrived, [2, 1, 3]);
        assert_eq!(transit.next_due(), Some(Duration::from_millis(9)));
    }
}
