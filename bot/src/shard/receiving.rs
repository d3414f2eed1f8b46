//! What becomes of a frame that the shard received; of an event: on to dispatch, held back, or left.
//!
//! Record, fence and stop (`has_session`), the progress file and the layouts document are put before [`shard_contract::whose`], which alone decides. What is left for
//! good is marked as passed, so that nobody gets it again; what the pod no longer has the session for is not, so that the next owner does.
//! Deliberately absent: the decision, and room for what goes on ([`super::inbox`]).

use std::time::Duration;

use shard_contract::{
    events::Made,
    whose::{Before, Received, Standing, Whose, Why, whose},
};
use twilight_gateway::Event;
use twilight_model::gateway::event::GatewayEvent;

use super::{ShardTask, inbox::Envelope, link::Link, made, undecided::Undecided, unreadable::wrong};
use crate::session::progress::Ticket;

impl ShardTask {
    /// Takes one text frame apart. `is_owner`: the shard was not taken away.
    pub(super) fn read(&mut self, link: &Link, text: String, is_owner: bool) {
        let shard = self.id.number();
        let time = made::time_in(&text);
        if time.is_none() && is_owner {
            self.around.counters.unknown_types.inc();
        }
        let (sequence, event) = match twilight_gateway::parse(text, self.around.wanted) {
            Ok(Some(GatewayEvent::Dispatch(sequence, event))) => (sequence, Event::from(event)),
            Ok(Some(GatewayEvent::HeartbeatAck)) => {
                let unfinished = self.progress.unfinished();
                return self.around.status.update(shard, |row| {
                    row.latency = link.latency();
                    row.unfinished = unfinished;
                });
            }
            Ok(Some(_)) => return,
            Ok(None) => return self.skip(link, is_owner),
            Err(error) => {
                tracing::warn!(shard, wrong = wrong(&error), "skipped a frame that twilight cannot read");
                return self.skip(link, is_owner);
            }
        };
        let now_ms = self.now_ms();
        let made = made::made(time, &event, &self.guilds, self.me, now_ms);
        if is_owner {
            self.note(link, &event, sequence);
            // What a RESUME has not replayed yet may be as old as before.
            if self.replays_since.is_none() {
                self.heard_ms = Some(now_ms);
            }
        }
        self.receive(event, sequence, made, is_owner);
    }

    /// A frame came that nobody wants, or nobody can read.
    fn skip(&self, link: &Link, is_owner: bool) {
        // What is not this pod's to handle is not its to skip.
        if !is_owner || self.around.stop.is_cancelled() {
            return;
        }
        self.around.status.update(self.id.number(), |row| row.events += 1);
        if let Some(sequence) = link.sequence() {
            self.progress.pass_up_to(sequence);
        }
    }

    /// Takes an event that came.
    fn receive(&mut self, event: Event, sequence: u64, made: Made, is_owner: bool) {
        if self.undecided.are_due(&self.around.duty) {
            self.decide_again();
        }
        let has_session = is_owner && !self.around.stop.is_cancelled();
        let ticket = if has_session { self.progress.receive(sequence) } else { None };
        let before = match ticket.as_ref().map(Ticket::begun_before) {
            None => Before::Done,
            Some(0) => Before::Fresh,
            Some(times) => Before::Begun(times),
        };
        let at_ms = self.now_ms();
        let received = Received { made, at_ms, since_ms: self.replays_since.unwrap_or(at_ms), before };
        match (self.whose(&received, has_session), ticket) {
            (Whose::NotMine(Why::NoSession), _) => self.inbox.not_begun(1),
            (whose, Some(ticket)) => self.follow_up(whose, Undecided { event, received, ticket }),
            // It was handled.
            (_, None) => {}
        }
    }

    /// The layouts document says more, or the wait for that is over.
    pub(super) fn decide_again(&mut self) {
        self.around.duty.mark_unchanged();
        self.inbox.give_places_back();
        for held in self.undecided.take() {
            // A ticket is worth nothing once the session is another's, so that one need not be asked again.
            let whose = self.whose(&held.received, true);
            self.follow_up(whose, held);
        }
    }

    /// Nothing that was held back is this pod's any more; who has the session next gets it again.
    pub(super) fn let_go(&mut self) {
        self.inbox.give_places_back();
        self.inbox.not_begun(self.undecided.take().len() as u64);
    }

    fn whose(&self, received: &Received, has_session: bool) -> Whose {
        let (now_ms, most_begun) = (self.now_ms(), self.around.most_begun);
        whose(received, &Standing { has_session, most_begun, duty: &self.around.duty.borrow() }, now_ms)
    }

    fn follow_up(&mut self, whose: Whose, event: Undecided) {
        let shard = self.id.number();
        match whose {
            Whose::Mine { .. } if self.undecided.are_far_below(event.ticket.sequence()) => {
                self.hold(event, None);
            }
            Whose::Mine { redelivered } => {
                let Undecided { event, ticket, received: _ } = event;
                if !self.inbox.offer(Envelope { shard, event, redelivered, ticket }) {
                    self.around.status.update(shard, |row| row.dropped += 1);
                }
            }
            Whose::Hold { until_ms } => {
                let left =
                    until_ms.map(|until| u64::try_from(until.saturating_sub(self.now_ms())).unwrap_or(0));
                self.hold(event, left.map(Duration::from_millis));
            }
            Whose::NotMine(why) => self.leave(why, event.ticket),
        }
    }

    fn hold(&mut self, event: Undecided, most: Option<Duration>) {
        let shard = self.id.number();
        let Undecided { event, ticket, received } = event;
        match self.inbox.keep_place(shard, ticket) {
            Some(ticket) => {
                self.around.counters.held_back.inc();
                self.undecided.hold(Undecided { event, received, ticket }, most);
            }
            None => self.around.status.update(shard, |row| row.dropped += 1),
        }
    }

    /// Nobody here handles it.
    fn leave(&self, why: Why, ticket: Ticket) {
        let (shard, sequence, begun_before) = (self.id.number(), ticket.sequence(), ticket.begun_before());
        if !ticket.pass() {
            return;
        }
        match why {
            Why::NoDuty => _ = self.around.counters.without_duty.inc(),
            Why::GivenUp => {
                tracing::error!(
                    shard,
                    sequence,
                    begun_before,
                    "gave up an event: every process that began to handle it died"
                );
                self.around.counters.given_up.inc();
            }
            Why::NoSession | Why::Done => {}
        }
    }

    fn now_ms(&self) -> i64 {
        self.around.wall.now().as_millisecond()
    }
}
