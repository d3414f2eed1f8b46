//! A session's events in order, the last ones kept for RESUME.
//!
//! From: delivery. For: the connection and RESUME. An event's text is shared between all sessions that get it; a guild is
//! kept as its id and written out when it is sent, so thousands of first GUILD_CREATEs cost nothing.
//! Deliberately absent: time; Discord's buffer is bounded by minutes, ours by the session's life, a count and bytes.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::snowflake::Snowflake;

/// Bytes of text that a session's log may hold.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A dispatch without its sequence number.
#[derive(Clone, Debug)]
pub struct Event {
    /// `t`.
    pub name: &'static str,
    /// `d`.
    pub data: Data,
    /// Its number in the ledger, where it is one of the events that the ledger follows.
    pub number: Option<NonZeroU64>,
}

/// What a dispatch carries.
#[derive(Clone, Debug)]
pub enum Data {
    /// An object, as its members (`members.rs`).
    Members(Arc<str>),
    /// The GUILD_CREATE of this guild.
    Guild(Snowflake),
}

/// Numbered events, of which the last `capacity` are kept.
#[derive(Debug)]
pub struct EventLog {
    kept: VecDeque<Event>,
    capacity: usize,
    bytes: usize,
    last: u64,
}

impl EventLog {
    /// An empty log; the first event gets number 1.
    pub fn new(capacity: usize) -> Self {
        Self { kept: VecDeque::new(), capacity: capacity.max(1), bytes: 0, last: 0 }
    }

    /// Adds an event and gives its number.
    pub fn push(&mut self, event: Event) -> u64 {
        self.bytes += event.data.bytes();
        self.kept.push_back(event);
        while self.kept.len() > self.capacity || (self.bytes > MOST_BYTES && self.kept.len() > 1) {
            self.bytes -= self.kept.pop_front().map_or(0, |oldest| oldest.data.bytes());
        }
        self.last += 1;
        self.last
    }

    /// Number of the last event; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Number of the oldest event that is kept.
    pub fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }

    /// Whether everything after `sequence` is still there.
    pub fn has_all_after(&self, sequence: u64) -> bool {
        sequence + 1 >= self.first() && sequence <= self.last
    }

    /// Up to `count` events after `sequence`, oldest first.
    pub fn after(&self, sequence: u64, count: usize) -> Vec<(u64, Event)> {
        let first = self.first();
        let skipped = usize::try_from((sequence + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        // Not `skip`, which would walk over all that is kept for RESUME.
        let wanted = self.kept.range(skipped.min(self.kept.len())..).take(count);
        (first + skipped as u64..).zip(wanted).map(|(number, event)| (number, event.clone())).collect()
    }
}

impl Data {
    fn bytes(&self) -> usize {
        match self {
            Self::Members(text) => text.len(),
            Self::Guild(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events: u64, capacity: usize) -> EventLog {
        let mut log = EventLog::new(capacity);
        for number in 1..=events {
            log.push(Event { name: "TEST", data: Data::Guild(Snowflake(number)), number: None });
        }
        log
    }

    #[test]
    fn the_last_events_are_kept_under_their_numbers() {
        let log = log(10, 4);
        assert_eq!((log.first(), log.last()), (7, 10));
        let numbers: Vec<_> = log.after(8, 10).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [9, 10]);
    }

    #[test]
    fn big_events_push_out_old_ones_before_memory_grows() {
        let mut log = EventLog::new(1000);
        let text: Arc<str> = "x".repeat(MOST_BYTES / 4).into();
        for _ in 0..10 {
            log.push(Event { name: "TEST", data: Data::Members(Arc::clone(&text)), number: None });
        }
        assert_eq!((log.first(), log.last(), log.bytes), (7, 10, MOST_BYTES));
    }

    #[test]
    fn a_resume_is_possible_only_where_nothing_is_missing() {
        let log = log(10, 4);
        for (sequence, expected) in [(5, false), (6, true), (10, true), (11, false)] {
            assert_eq!(log.has_all_after(sequence), expected, "{sequence}");
        }
    }
}
