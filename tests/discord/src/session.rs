//! A session: one `[shard, total]` of one bot, its events in order, and the connection that reads them, if any.
//!
//! From: entry (IDENTIFY, RESUME), delivery (events), the connection (how far it has read). For: the gateway's writer and
//! the ledger. One store of events serves sending and RESUME alike: a connection is a place in it, so a client that does
//! not read falls out of it and is cut off, and memory stays bounded. Deliberately absent: sockets, locks, clocks.

pub mod id;
pub mod log;
pub mod registry;
pub mod transit;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use crate::snowflake::Snowflake;

use id::SessionId;
use log::{Event, EventLog};
use wire::Wire;

/// One session.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The bot it is of.
    pub application: Snowflake,
    /// Its shard ...
    pub shard: u32,
    /// ... of that many.
    pub total: u32,
    /// What it asked for.
    pub intents: u32,
    /// Guilds that its shard had at READY.
    pub guilds: u32,
    /// When READY was made.
    pub ready_at: Duration,
    /// The event that was the newest then.
    pub ready_after: u64,
    /// In what it differs from other sessions: order of keys, time of arrival. By seed.
    pub variation: u64,
    /// Its events.
    pub log: EventLog,
    /// Events written to a connection, replays included.
    pub sent: u64,
    /// The highest sequence that a heartbeat has named.
    pub acknowledged: u64,
    /// Its connection.
    pub link: Option<Link>,
    /// Since when it has none.
    pub left_at: Option<Duration>,
}

/// A session's connection and how far it has read.
#[derive(Debug)]
pub struct Link {
    /// The connection.
    pub wire: Arc<Wire>,
    /// The next sequence number that it gets.
    pub next: u64,
}

impl Session {
    /// Adds an event and wakes the connection; cuts it off when it has fallen out of the log.
    pub fn push(&mut self, event: Event) -> u64 {
        let sequence = self.log.push(event);
        if let Some(link) = &self.link {
            if link.next < self.log.first() {
                link.wire.cut_off_lagging();
            } else {
                link.wire.wake();
            }
        }
        sequence
    }

    /// Up to `count` events that the connection has not had, with their numbers; none for a connection it does not have.
    pub fn pull(&mut self, wire: &Wire, count: usize) -> Vec<(u64, Event)> {
        let Some(link) = self.link.as_mut().filter(|link| link.wire.id() == wire.id()) else {
            return Vec::new();
        };
        let events = self.log.after(link.next - 1, count);
        if let Some((last, _)) = events.last() {
            link.next = last + 1;
            self.sent += events.len() as u64;
        }
        events
    }

    /// Events that its connection has not had; 0 without one.
    pub fn backlog(&self) -> u64 {
        self.link.as_ref().map_or(0, |link| (self.log.last() + 1).saturating_sub(link.next))
    }

    /// Whether it cannot be resumed any more at `now`.
    pub fn is_over(&self, now: Duration, life: Duration) -> bool {
        self.left_at.is_some_and(|left| left + life <= now)
    }

    /// Whether this connection is the one it has.
    pub fn is_linked_to(&self, wire: &Wire) -> bool {
        self.link.as_ref().is_some_and(|link| link.wire.id() == wire.id())
    }
}
