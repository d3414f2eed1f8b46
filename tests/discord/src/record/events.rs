//! The book of events: each one made, to which sessions it was sent, and what bots did about it.
//!
//! From: talk and interactions (made, answered), the writer (sent). For: the ledger's verdict: lost, doubled, reordered.
//! Counters count for ever, details are of the last events. Ids only rise, so an event is found by its id without an index.
//! Deliberately absent: READY, the first GUILD_CREATEs and the bots' own messages; nobody is to answer those.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;

use crate::ledger::{Act, EventCounts, EventKind, EventRecord, Sent};
use crate::session::id::SessionId;
use crate::snowflake::Snowflake;

/// Sends and answers of one event that are kept in detail.
const MOST_DETAILS: usize = 32;

/// An event that was just made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Its own id: of the message or interaction; of a reaction, one that only the ledger knows.
    pub id: Snowflake,
    /// What it is.
    pub kind: EventKind,
    /// Where it was made.
    pub guild: Option<Snowflake>,
    /// When.
    pub at_ms: u64,
    /// Whether a bot is to answer it.
    pub asks: bool,
}

/// The events that the ledger follows.
#[derive(Debug)]
pub struct Events {
    kept: VecDeque<Entry>,
    capacity: usize,
    last: u64,
    counts: EventCounts,
    /// The newest event of a guild that a bot has answered.
    answered_up_to: HashMap<(Snowflake, Snowflake), u64>,
}

#[derive(Debug)]
struct Entry {
    made: Made,
    routed: u32,
    sent: Vec<Sent>,
    acts: Vec<Act>,
}

impl Events {
    /// Details of the last `capacity` events are kept.
    pub fn new(capacity: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            capacity: capacity.max(1),
            last: 0,
            counts: EventCounts::default(),
            answered_up_to: HashMap::new(),
        }
    }

    /// Writes down an event; its number.
    pub fn made(&mut self, made: Made) -> Option<NonZeroU64> {
        if self.kept.len() == self.capacity
            && let Some(oldest) = self.kept.pop_front()
            && oldest.is_open()
        {
            self.counts.left_unanswered += 1;
        }
        self.kept.push_back(Entry { made, routed: 0, sent: Vec::new(), acts: Vec::new() });
        self.counts.made += 1;
        self.counts.asking += u64::from(made.asks);
        self.last += 1;
        NonZeroU64::new(self.last)
    }

    /// The number of the newest one; 0 before the first.
    pub const fn newest(&self) -> u64 {
        self.last
    }

    /// So many sessions are to get it.
    pub fn routed(&mut self, number: Option<NonZeroU64>, sessions: usize) {
        let Some(entry) = number.and_then(|number| entry(&mut self.kept, self.last, number.get())) else {
            return;
        };
        entry.routed = u32::try_from(sessions).unwrap_or(u32::MAX);
        self.counts.to_nobody += u64::from(sessions == 0);
    }

    /// No session is to get it, since the bots may not view its channel.
    pub fn hidden(&mut self, number: Option<NonZeroU64>) {
        self.counts.hidden += u64::from(number.is_some());
    }

    /// It was written to a session's connection; again, if it is a replay.
    pub fn sent(&mut self, number: NonZeroU64, session: SessionId, sequence: u64, at_ms: u64) {
        self.counts.sends += 1;
        let Some(entry) = entry(&mut self.kept, self.last, number.get()) else { return };
        self.counts.sent += u64::from(entry.sent.is_empty());
        if entry.sent.is_empty() {
            entry.sent.reserve_exact(MOST_DETAILS.min(entry.routed as usize));
        }
        if entry.sent.len() < MOST_DETAILS {
            self.counts.replays += u64::from(entry.sent.iter().any(|sent| sent.session_id == session));
            entry.sent.push(Sent { session_id: session, sequence, at_ms });
        }
    }

    /// A bot's message or callback names it.
    pub fn answered(&mut self, id: Snowflake, application: Snowflake, at_ms: u64) {
        let Ok(index) = self.kept.binary_search_by(|entry| entry.made.id.cmp(&id)) else { return };
        let first = self.last + 1 - self.kept.len() as u64;
        let entry = &mut self.kept[index];
        let again = entry.acts.iter().any(|act| act.application_id == application);
        if entry.acts.is_empty() {
            self.counts.answered += u64::from(entry.made.asks);
        }
        let mut act = Act { application_id: application, at_ms, doubled: again, reordered: false };
        let number = first + index as u64;
        if !again && let Some(guild) = entry.made.guild {
            let newest = self.answered_up_to.entry((application, guild)).or_default();
            act.reordered = number < *newest;
            *newest = number.max(*newest);
        }
        self.counts.doubled += u64::from(act.doubled);
        self.counts.reordered += u64::from(act.reordered);
        if entry.acts.len() < MOST_DETAILS {
            entry.acts.push(act);
        }
    }

    /// A bot sent an answer again, and its nonce named the message that it had made before.
    pub fn repeated(&mut self) {
        self.counts.doubled_marked += 1;
    }

    /// The counts. What asked for an answer before `before_ms` and has none is lost where a session that was to get an event
    /// of this guild and number is still there, as `has_session` says, and else dropped with its session. So is what no session
    /// was to get.
    pub fn counts(
        &self,
        before_ms: u64,
        has_session: impl Fn(Option<Snowflake>, u64) -> bool,
    ) -> EventCounts {
        let mut counts = self.counts.clone();
        counts.lost = counts.left_unanswered;
        let oldest = self.last + 1 - self.kept.len() as u64;
        let open = (oldest..).zip(&self.kept).filter(|(_, entry)| entry.is_open());
        for (number, Entry { made, routed, .. }) in open {
            *if made.at_ms >= before_ms {
                &mut counts.waiting
            } else if *routed > 0 && has_session(made.guild, number) {
                &mut counts.lost
            } else {
                &mut counts.dropped_with_session
            } += 1;
        }
        counts
    }

    /// Details of kept events that satisfy a condition, newest first.
    pub fn details(&self, limit: usize, is_wanted: impl Fn(&EventRecord) -> bool) -> Vec<EventRecord> {
        self.kept.iter().rev().map(Entry::record).filter(is_wanted).take(limit).collect()
    }
}

/// The entry of a number, if it is still kept.
fn entry(kept: &mut VecDeque<Entry>, last: u64, number: u64) -> Option<&mut Entry> {
    let from_the_end = usize::try_from(last.checked_sub(number)?).ok()?;
    let index = kept.len().checked_sub(from_the_end + 1)?;
    kept.get_mut(index)
}

impl Entry {
    /// Whether it asked for an answer and has none.
    fn is_open(&self) -> bool {
        self.made.asks && self.acts.is_empty()
    }

    fn record(&self) -> EventRecord {
        EventRecord {
            id: self.made.id,
            kind: self.made.kind,
            guild_id: self.made.guild,
            made_at_ms: self.made.at_ms,
            asks: self.made.asks,
            sessions: self.routed,
            sent: self.sent.clone(),
            acts: self.acts.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: Snowflake = Snowflake(1);

    /// Every session is still there.
    fn all(_: Option<Snowflake>, _: u64) -> bool {
        true
    }

    fn made(id: u64, guild: u64, asks: bool) -> Made {
        Made { id: Snowflake(id), kind: EventKind::Message, guild: Some(Snowflake(guild)), at_ms: id, asks }
    }

    /// One that a session is to get.
    fn make(events: &mut Events, made: Made) -> Option<NonZeroU64> {
        let number = events.made(made);
        events.routed(number, 1);
        number
    }

    #[test]
    fn an_event_that_asks_and_is_not_answered_waits_and_then_is_lost() {
        let mut events = Events::new(10);
        make(&mut events, made(10, 1, true));
        make(&mut events, made(20, 1, false));
        make(&mut events, made(30, 1, true));
        let counts = events.counts(25, all);
        assert_eq!((counts.made, counts.asking, counts.lost, counts.waiting), (3, 2, 1, 1));
        events.answered(Snowflake(10), BOT, 40);
        events.answered(Snowflake(20), BOT, 40);
        assert_eq!((events.counts(25, all).lost, events.counts(25, all).answered), (0, 1));
    }

    #[test]
    fn what_no_session_can_bring_any_more_is_dropped_and_a_late_answer_takes_it_out() {
        let mut events = Events::new(10);
        for (id, guild) in [(10, 1), (20, 2), (30, 1), (90, 1)] {
            make(&mut events, made(id, guild, true));
        }
        // The session of guild 1 was opened after the first event; that of guild 2 has been there all the time.
        let has = |guild: Option<Snowflake>, number| guild == Some(Snowflake(2)) || number > 1;
        let counts = events.counts(50, has);
        assert_eq!((counts.dropped_with_session, counts.lost, counts.waiting), (1, 2, 1));
        events.answered(Snowflake(10), BOT, 60);
        events.answered(Snowflake(20), BOT, 60);
        let counts = events.counts(50, has);
        assert_eq!((counts.dropped_with_session, counts.lost, counts.answered), (0, 1, 2));
        let number = events.made(made(95, 2, true));
        events.routed(number, 0);
        let counts = events.counts(96, has);
        assert_eq!((counts.dropped_with_session, counts.lost), (1, 2), "no session was to get it");
    }

    #[test]
    fn a_second_answer_of_the_same_bot_is_a_double_and_of_another_bot_is_not() {
        let mut events = Events::new(10);
        make(&mut events, made(10, 1, true));
        for (bot, doubled) in [(BOT, 0), (Snowflake(2), 0), (BOT, 1), (BOT, 2)] {
            events.answered(Snowflake(10), bot, 0);
            assert_eq!(events.counts(0, all).doubled, doubled);
        }
    }

    #[test]
    fn order_counts_within_a_guild_only() {
        let mut events = Events::new(10);
        for (id, guild) in [(1, 7), (2, 8), (3, 7), (4, 8)] {
            make(&mut events, made(id, guild, true));
        }
        for (id, reordered) in [(3, 0), (2, 0), (1, 1), (4, 1)] {
            events.answered(Snowflake(id), BOT, 0);
            assert_eq!(events.counts(0, all).reordered, reordered, "{id}");
        }
    }

    #[test]
    fn details_leave_the_window_and_counts_stay() {
        let mut events = Events::new(3);
        let numbers: Vec<_> = (1..=5).filter_map(|id| make(&mut events, made(id, 1, true))).collect();
        let session = SessionId::of(1);
        for number in &numbers {
            events.sent(*number, session, number.get(), 0);
            events.sent(*number, session, number.get(), 1);
        }
        events.answered(Snowflake(1), BOT, 0);
        events.answered(Snowflake(4), BOT, 0);
        let counts = events.counts(u64::MAX, all);
        assert_eq!((counts.made, counts.sends, counts.sent, counts.replays), (5, 10, 3, 3));
        assert_eq!((counts.answered, counts.lost), (1, 2 + 2));
        let details = events.details(10, |event| !event.acts.is_empty());
        assert_eq!(details.len(), 1);
        assert_eq!((details[0].id, details[0].sent[0].sequence), (Snowflake(4), 4));
    }
}
