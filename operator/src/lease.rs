//! The lease, pure: who leads, and what to do about it.
//!
//! From what the Lease says and when it was seen to change to one act: make it, take it, renew it, or wait. Whether a holder
//! is gone is decided by the locally observed time since its word last changed, never by a time that another machine wrote.
//! One that was emptied or deleted by hand is waited for as if its holder were still there, for it is; only one that was given
//! back is free at once, and one that nobody here ever saw;
//! what is written goes through compare-and-set on its resourceVersion. A holder counts on [`Terms::valid`] from the *start* of its
//! last successful renewal, others wait [`Terms::term`] from when they saw it, so two never hold it at once while clocks run alike
//! within a third. Deliberately absent: calls to the API server.

use std::time::Duration;
use tokio::time::Instant;

/// The times of a kind of lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it must be seen unchanged before another may take it.
    pub term: Duration,
    /// How long a renewal is good for its holder.
    pub valid: Duration,
    /// How often it is renewed, or looked at.
    pub every: Duration,
    /// How soon a write that failed is tried again.
    pub again: Duration,
}

impl Terms {
    /// Of so many seconds each, in their order; a write that failed is tried again after a quarter of the time between two.
    const fn seconds(term: u64, valid: u64, every: u64) -> Self {
        Self {
            term: Duration::from_secs(term),
            valid: Duration::from_secs(valid),
            every: Duration::from_secs(every),
            again: Duration::from_millis(every * 250),
        }
    }
}

/// Of the lease by which one replica of an installation leads.
pub const LEADING: Terms = Terms::seconds(15, 10, 2);
/// Of those by which an installation keeps the bots of a namespace: there may be many, and installations are seldom replaced.
pub const CLAIM: Terms = Terms::seconds(60, 40, 15);
/// The term that a holder leaves behind when it gives the lease back: who finds it empty with this need not wait.
pub const GIVEN_BACK: Duration = Duration::from_secs(1);

/// Whether this process leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another one does, or nobody.
    Standby {
        /// Base URL of the leader's gate.
        leader: Option<String>,
    },
    /// This one does.
    Leading {
        /// Since when.
        since: Instant,
        /// Until when it surely does.
        until: Instant,
    },
    /// This one did, and never will again.
    Over,
}

impl Leadership {
    /// Whether this process surely leads at this moment.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        matches!(self, Self::Leading { until, .. } if now < *until)
    }

    /// Since when it leads.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        match self {
            Self::Leading { since, .. } => Some(*since),
            Self::Standby { .. } | Self::Over => None,
        }
    }
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its holder; none while nobody holds it.
    pub holder: Option<String>,
    /// What its holder wrote last: it changes with each renewal, and with nothing that is written beside it.
    pub word: String,
    /// How long its holder asks others to wait.
    pub term: Option<Duration>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make it; it does not exist.
    Create,
    /// Take it: it was given back, or its holder is gone.
    Take,
    /// Renew it: it is ours.
    Renew,
    /// Look again later.
    Wait,
}

/// What one candidate remembers.
#[derive(Clone, Debug)]
pub struct Candidate {
    me: String,
    term: Duration,
    /// Its word, none while there is no Lease, and since when it is so.
    unchanged: Option<(Option<String>, Instant)>,
    /// Whether the Lease, when it was seen last, was ours; none before one was seen.
    was_ours: Option<bool>,
}

impl Candidate {
    /// A candidate with a name that no other candidate has or had.
    #[must_use]
    pub fn new(me: String, terms: Terms) -> Self {
        Self { me, term: terms.term, unchanged: None, was_ours: None }
    }

    /// Another one wrote the Lease before us: there is one, though it was not seen.
    pub fn beaten(&mut self) {
        let _ = self.was_ours.get_or_insert(false);
    }

    /// What to do about a Lease as it was seen at this moment; none: there is no Lease.
    pub fn step(&mut self, now: Instant, seen: Option<&Seen>) -> Act {
        let word = seen.map(|seen| seen.word.clone());
        let since = match &self.unchanged {
            Some((before, since)) if *before == word => *since,
            _ => {
                self.unchanged = Some((word, now));
                now
            }
        };
        let aged = now.duration_since(since);
        let Some(seen) = seen else {
            let by_another = self.was_ours == Some(false);
            return if by_another && aged < self.term { Act::Wait } else { Act::Create };
        };
        let holder = seen.holder.as_deref().filter(|holder| !holder.is_empty());
        let is_ours = holder == Some(&self.me);
        self.was_ours = Some(is_ours);
        match holder {
            Some(_) if is_ours => Act::Renew,
            None if seen.term == Some(GIVEN_BACK) => Act::Take,
            _ if aged >= seen.term.unwrap_or(self.term).max(self.term) => Act::Take,
            _ => Act::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: &str, word: &str) -> Seen {
        let holder = (!holder.is_empty()).then(|| holder.to_owned());
        let term = if holder.is_some() { LEADING.term } else { GIVEN_BACK };
        Seen { holder, word: word.to_owned(), term: Some(term) }
    }

    #[test]
    fn a_lease_that_is_free_is_taken_at_once_and_ones_own_renewed() {
        let now = Instant::now();
        let mut candidate = Candidate::new("me".into(), LEADING);
        assert_eq!(candidate.step(now, None), Act::Create);
        assert_eq!(candidate.step(now, Some(&seen("", "1"))), Act::Take);
        assert_eq!(candidate.step(now, Some(&seen("me", "2"))), Act::Renew);
        assert_eq!(candidate.step(now, Some(&seen("other", "3"))), Act::Wait);
    }

    #[test]
    fn a_holder_is_gone_when_its_lease_was_seen_unchanged_for_the_whole_term() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut candidate = Candidate::new("me".into(), LEADING);
        assert_eq!(candidate.step(at(0), Some(&seen("other", "1"))), Act::Wait);
        assert_eq!(candidate.step(at(14), Some(&seen("other", "1"))), Act::Wait);
        assert_eq!(candidate.step(at(14), Some(&seen("other", "2"))), Act::Wait, "it was renewed");
        assert_eq!(candidate.step(at(28), Some(&seen("other", "2"))), Act::Wait);
        assert_eq!(candidate.step(at(29), Some(&seen("other", "2"))), Act::Take);
    }

    #[test]
    fn a_lease_that_was_emptied_or_deleted_by_hand_is_waited_for_like_one_that_is_held() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let emptied = Seen { term: Some(LEADING.term), ..seen("", "2") };
        let mut candidate = Candidate::new("me".into(), LEADING);
        assert_eq!(candidate.step(at(0), Some(&seen("other", "1"))), Act::Wait);
        assert_eq!(candidate.step(at(1), Some(&emptied)), Act::Wait);
        assert_eq!(candidate.step(at(15), Some(&emptied)), Act::Wait);
        assert_eq!(candidate.step(at(16), Some(&emptied)), Act::Take);
        assert_eq!(candidate.step(at(17), None), Act::Wait);
        assert_eq!(candidate.step(at(31), None), Act::Wait);
        assert_eq!(candidate.step(at(32), None), Act::Create);
        let mut beaten = Candidate::new("me".into(), LEADING);
        assert_eq!(beaten.step(at(0), None), Act::Create);
        beaten.beaten();
        assert_eq!(beaten.step(at(2), None), Act::Wait, "there was one meanwhile");
        let mut holder = Candidate::new("me".into(), LEADING);
        assert_eq!(holder.step(at(0), Some(&seen("me", "1"))), Act::Renew);
        assert_eq!(holder.step(at(1), None), Act::Create, "whose lease was deleted writes it again");
    }

    #[test]
    fn who_leads_stops_before_others_may_begin() {
        let start = Instant::now();
        let leading = Leadership::Leading { since: start, until: start + LEADING.valid };
        assert!(leading.holds(start + Duration::from_millis(9_999)) && !leading.holds(start + LEADING.valid));
        assert!(!Leadership::Over.holds(start) && !Leadership::Standby { leader: None }.holds(start));
        let grant = Duration::from_millis(shard_contract::identify::GRANT_VALID_MS);
        for Terms { term, valid, every, .. } in [LEADING, CLAIM] {
            assert!(valid + grant < term && every * 2 < valid);
        }
    }
}
