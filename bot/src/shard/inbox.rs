//! Between one shard's socket and the pod's dispatch: bounded, and never in the way of heartbeats.
//!
//! twilight answers heartbeats only while it is polled, and each poll may bring an event. So when dispatch is full,
//! events are held here, up to [`HELD`]; then the socket is not read for [`PAUSE`], so that Discord feels the
//! pressure through TCP while a heartbeat is late by at most that; then it is read on, and events that still find no
//! room are thrown away, newest first, counted in `shard_bot_events_dropped_total` and logged with their number.
//! Order within a shard is kept. Deliberately absent: closing and resuming to have events sent again, which an
//! overload that lasts would turn into lost sessions.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use twilight_gateway::Event;

use crate::session::progress::Ticket;

/// Events held for one shard while dispatch is full.
pub(crate) const HELD: usize = 1_024;
/// How long the socket is left alone when they are held. Discord's heartbeat interval is about 41 s.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

/// One event on its way to dispatch.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The shard that received it.
    pub(crate) shard: u32,
    /// The event.
    pub(crate) event: Event,
    /// Whether it may have been handled before.
    pub(crate) redelivered: bool,
    /// Notes how far it is.
    pub(crate) ticket: Ticket,
}

/// One shard's way to dispatch.
#[derive(Debug)]
pub(crate) struct Inbox {
    to: mpsc::Sender<Envelope>,
    held: VecDeque<Envelope>,
    /// How many events are held back elsewhere that may have to go on all at once.
    places_kept: usize,
    most: usize,
    full: Full,
    not_begun: u64,
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// There is room.
    No,
    /// There is none; the socket is left alone until then.
    Pausing(Instant),
    /// There is none after the pause either; so many were thrown away since.
    Dropping(u64),
}

impl Inbox {
    /// An inbox in front of dispatch's channel, which holds at most `most` more events.
    pub(crate) fn new(to: mpsc::Sender<Envelope>, most: usize) -> Self {
        Self { to, held: VecDeque::new(), places_kept: 0, most, full: Full::No, not_begun: 0 }
    }

    /// Takes an event; `false`: it was thrown away.
    pub(crate) fn offer(&mut self, envelope: Envelope) -> bool {
        if self.is_full() {
            self.throw_away(envelope.shard, envelope.ticket);
            return false;
        }
        if self.held.is_empty() {
            match self.to.try_send(envelope) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Full(envelope)) => self.held.push_back(envelope),
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.not_begun += 1;
                    return true;
                }
            }
        } else {
            self.held.push_back(envelope);
        }
        self.fill();
        true
    }

    /// Keeps a place for an event that may have to go to dispatch later; given back: this one may, else it was thrown away.
    pub(crate) fn keep_place(&mut self, shard: u32, ticket: Ticket) -> Option<Ticket> {
        if self.is_full() {
            self.throw_away(shard, ticket);
            return None;
        }
        self.places_kept += 1;
        self.fill();
        Some(ticket)
    }

    /// Gives all places that were kept back.
    pub(crate) fn give_places_back(&mut self) {
        self.places_kept = 0;
        self.ease();
    }

    fn is_full(&self) -> bool {
        self.held.len() + self.places_kept >= self.most
    }

    /// The socket is left alone for a while once there is no room.
    fn fill(&mut self) {
        if self.is_full() && self.full == Full::No {
            self.full = Full::Pausing(Instant::now() + PAUSE);
        }
    }

    /// Half empty counts as room again, so that it does not change with every event.
    fn ease(&mut self) {
        if self.held.len() + self.places_kept <= self.most / 2 {
            if let Full::Dropping(dropped @ 1..) = self.full {
                tracing::warn!(dropped, "events were thrown away; the pod keeps up again");
            }
            self.full = Full::No;
        }
    }

    fn throw_away(&mut self, shard: u32, ticket: Ticket) {
        ticket.pass();
        let Full::Dropping(dropped) = &mut self.full else { return };
        if *dropped == 0 {
            tracing::error!(
                shard,
                held = self.most,
                "more events than the pod can handle, throwing new ones away"
            );
        }
        *dropped += 1;
    }

    /// So many events came that are not begun: the pod stops, or the shard is another's.
    pub(crate) const fn not_begun(&mut self, count: u64) {
        self.not_begun += count;
    }

    /// Whether something waits for room in dispatch.
    pub(crate) fn holds_some(&self) -> bool {
        !self.held.is_empty()
    }

    /// Passes held events on as soon as there is room; at least one. May be dropped at any point without loss.
    pub(crate) async fn pass(&mut self) {
        let Ok(room) = self.to.reserve().await else {
            // Dispatch takes nothing more: the pod is stopping.
            self.not_begun += self.held.drain(..).count() as u64;
            self.full = Full::No;
            return;
        };
        match self.held.pop_front() {
            Some(envelope) => room.send(envelope),
            None => drop(room),
        }
        while !self.held.is_empty()
            && let Ok(room) = self.to.try_reserve()
        {
            if let Some(envelope) = self.held.pop_front() {
                room.send(envelope);
            }
        }
        self.ease();
    }

    /// Whether the socket may be read now.
    pub(crate) const fn may_read(&self) -> bool {
        !matches!(self.full, Full::Pausing(_))
    }

    /// When it may be read again, if not now.
    pub(crate) fn read_again_at(&self) -> Instant {
        match self.full {
            Full::Pausing(until) => until,
            _ => Instant::now(),
        }
    }

    /// The pause is over.
    pub(crate) const fn read_on(&mut self) {
        self.full = Full::Dropping(0);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let not_begun = self.not_begun + self.held.len() as u64;
        if not_begun > 0 {
            tracing::info!(
                not_begun,
                "events that one shard received were not begun; who resumes its session gets them again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::progress::Progress;

    fn envelope(sequence: u64) -> Envelope {
        let ticket = Progress::unkept(0).receive(sequence).unwrap();
        Envelope { shard: 0, event: Event::GatewayHeartbeatAck, redelivered: false, ticket }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_dispatch_holds_then_pauses_then_drops_and_order_is_kept() {
        let (to, mut dispatch) = mpsc::channel(1);
        let mut inbox = Inbox::new(to, 2);
        assert!(inbox.offer(envelope(1)) && !inbox.holds_some(), "passed straight on");
        assert!(inbox.offer(envelope(2)) && inbox.holds_some() && inbox.may_read(), "held");
        assert!(inbox.offer(envelope(3)) && !inbox.may_read(), "full: the socket is left alone");
        assert_eq!(inbox.read_again_at(), Instant::now() + PAUSE);
        inbox.read_on();
        assert!(inbox.may_read());
        assert!(!inbox.offer(envelope(4)), "thrown away");

        assert_eq!(dispatch.recv().await.unwrap().ticket.sequence(), 1);
        inbox.pass().await;
        assert_eq!(inbox.full, Full::No, "room again");
        assert!(inbox.offer(envelope(5)));
        let mut seen = vec![dispatch.recv().await.unwrap().ticket.sequence()];
        inbox.pass().await;
        seen.push(dispatch.recv().await.unwrap().ticket.sequence());
        inbox.pass().await;
        seen.push(dispatch.recv().await.unwrap().ticket.sequence());
        assert_eq!(seen, [2, 3, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_elsewhere_counts_as_held_and_finds_room_when_it_comes() {
        let (to, _dispatch) = mpsc::channel(1);
        let mut inbox = Inbox::new(to, 3);
        assert!(inbox.offer(envelope(1)) && inbox.offer(envelope(2)), "one in the channel, one held");
        let mut kept: Vec<_> = [3, 4].map(|sequence| inbox.keep_place(0, envelope(sequence).ticket)).into();
        assert!(!inbox.may_read(), "no more is read");
        kept.push(inbox.keep_place(0, envelope(5).ticket));
        assert_eq!(kept.iter().flatten().count(), 2);
        inbox.give_places_back();
        assert!(inbox.offer(envelope(3)) && inbox.offer(envelope(4)));
    }

    #[tokio::test]
    async fn after_the_stop_nothing_waits_for_room() {
        let (to, dispatch) = mpsc::channel(1);
        let mut inbox = Inbox::new(to, 2);
        for sequence in 1..=3 {
            inbox.offer(envelope(sequence));
        }
        drop(dispatch);
        inbox.pass().await;
        assert!(!inbox.holds_some());
        assert_eq!(inbox.not_begun, 2);
    }
}
