//! Whose an event is: the one decision by which nothing is handled twice and nothing is left.
//!
//! From what a shard received, and what its pod knows of itself, to *mine*, *not mine* or *hold*. Flow: fence and record say whether the
//! pod has the session, the progress file what became of the event before, the layouts document the role and the cuts; this function alone puts them
//! together, and what follows it in a pod decides nothing. Guarantees: of an event that Discord made at a known time each instant belongs to one
//! session group, whatever the pods' clocks say, so it is handled once; one of which nobody knows when it was made is handled at least
//! once while clocks and deliveries differ by less than [`AROUND_MS`], the second time as redelivered. What is mine stays mine: later decisions
//! concern later events. Deliberately absent: who the owner of a session is ([`crate::record`]); within a session group that alone decides.

use crate::events::Made;
use crate::layouts::{Cut, CutState, Layouts, Role};

/// Around a cut an event without a time of its own may have been received by one fleet before it and by the other after it; milliseconds.
pub const AROUND_MS: i64 = 10_000;
/// Who has duty until a cut waits for its decision for so long after it, in milliseconds; then it goes on.
pub const UNDECIDED_MS: i64 = 1_000;

/// An event as a shard received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// When Discord made it.
    pub made: Made,
    /// When it was received, by the pod's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// Since when it may have been under way: of one that a RESUME replays, when the connection before was last heard; else as `at_ms`.
    pub since_ms: i64,
    /// What became of it before.
    pub before: Before,
}

/// What became of an event of this session before, as far as record and progress file know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Fresh,
    /// It was begun so often by processes that are gone, and not done.
    Begun(u8),
    /// It was done, or is being handled.
    Done,
}

/// What a pod knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Whether it has the session: its record names it, it is not cut off, and it is not stopping.
    pub has_session: bool,
    /// How often an event may be begun, if each time the process dies.
    pub most_begun: u8,
    /// What the layouts document says.
    pub duty: &'a Duty,
}

/// What the layouts document says of a pod's layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duty {
    /// Its role; none: it is not named.
    pub role: Option<Role>,
    /// Its session group.
    pub session_group: u32,
    /// The cuts, by rising number.
    pub cuts: Vec<Cut>,
}

impl Duty {
    /// Of the layout with this number.
    #[must_use]
    pub fn of(layouts: &Layouts, number: u32) -> Self {
        let Some(layout) = layouts.layouts.iter().find(|layout| layout.number == number) else {
            return Self::default();
        };
        Self { role: Some(layout.role), session_group: layout.session_group, cuts: layouts.cuts.clone() }
    }

    /// Whether the layout's pods may have sessions.
    #[must_use]
    pub const fn has_sessions(&self) -> bool {
        matches!(self.role, Some(Role::Active | Role::Retiring))
    }
}

/// Whose an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// To be handled here.
    Mine {
        /// Whether it may have been handled before.
        redelivered: bool,
    },
    /// Not to be handled here.
    NotMine(Why),
    /// To be held back, until the document says more, or until this time by the pod's clock, if one is given: then it is to be asked again.
    Hold {
        /// In milliseconds since 1970.
        until_ms: Option<i64>,
    },
}

/// Why an event is not to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The pod lost the session, or gives it away: whoever resumes it gets the event again.
    NoSession,
    /// It was handled.
    Done,
    /// Another fleet has duty for it.
    NoDuty,
    /// Every process that began to handle it died.
    GivenUp,
}

/// Decides; `now_ms` is the pod's clock.
#[must_use]
pub fn whose(received: &Received, by: &Standing<'_>, now_ms: i64) -> Whose {
    if !by.has_session {
        return Whose::NotMine(Why::NoSession);
    }
    let begun = match received.before {
        Before::Done => return Whose::NotMine(Why::Done),
        Before::Begun(times) => times,
        Before::Fresh => 0,
    };
    let is_divided = by.duty.is_divided();
    let whose = match received.made {
        // It tells of the session, and whoever has that keeps what it tells.
        Made::ForSession => Whose::Mine { redelivered: false },
        // It was this session's when it was begun, and stays so.
        _ if is_divided && begun > 0 => Whose::Mine { redelivered: true },
        Made::At(made_ms) if is_divided => by.duty.of_time(made_ms, now_ms),
        Made::Unknown if is_divided => by.duty.without_time(received, now_ms),
        Made::At(_) | Made::Unknown => by.duty.by_role(),
    };
    match whose {
        Whose::Mine { .. } if begun >= by.most_begun => Whose::NotMine(Why::GivenUp),
        Whose::Mine { redelivered } => Whose::Mine { redelivered: redelivered || begun > 0 },
        other => other,
    }
}

/// A span of Discord's time, from a cut to the next, and who has duty in it.
struct Span {
    session_group: u32,
    /// None: since ever.
    from_ms: Option<i64>,
    /// None: for good.
    until_ms: Option<i64>,
    /// Whether its fleet has gone, so that what comes late of it is the next one's.
    is_closed: bool,
}

impl Duty {
    /// Whether a cut that came, or may come, concerns its fleet.
    fn is_divided(&self) -> bool {
        let names = |cut: &Cut| cut.from == self.session_group || cut.to == self.session_group;
        self.role.is_some() && self.cuts.iter().any(|cut| cut.state != CutState::Aborted && names(cut))
    }

    /// Where nothing is divided. One on its way out has its duty until it stops: nobody else gets what its sessions received.
    const fn by_role(&self) -> Whose {
        if self.has_sessions() { Whose::Mine { redelivered: false } } else { Whose::NotMine(Why::NoDuty) }
    }

    /// Of an event that was made at this time.
    fn of_time(&self, made_ms: i64, now_ms: i64) -> Whose {
        if let Some(cut) = self.undecided().filter(|cut| made_ms >= cut.at_ms) {
            return self.until_decided(cut, now_ms);
        }
        let mut spans = self.spans().skip_while(|span| span.until_ms.is_some_and(|until| made_ms >= until));
        let mut span = spans.next();
        let mut redelivered = false;
        while span.as_ref().is_some_and(|span| span.is_closed) {
            redelivered = true;
            span = spans.next();
        }
        match span {
            Some(span) if span.session_group == self.session_group => Whose::Mine { redelivered },
            _ => Whose::NotMine(Why::NoDuty),
        }
    }

    /// Of one of which nobody knows when it was made. It may have been sent at any time since `since_ms`.
    fn without_time(&self, &Received { at_ms, since_ms, .. }: &Received, now_ms: i64) -> Whose {
        let before = |at: i64| at.saturating_sub(AROUND_MS);
        if let Some(cut) = self.undecided() {
            let concerns = (cut.from == self.session_group && since_ms >= cut.at_ms)
                || (cut.to == self.session_group && at_ms >= before(cut.at_ms));
            if concerns {
                return self.until_decided(cut, now_ms);
            }
        }
        let mine = self.spans().filter(|span| span.session_group == self.session_group).find(|span| {
            let has_begun = span.from_ms.is_none_or(|from| at_ms >= before(from));
            has_begun && span.until_ms.is_none_or(|until| since_ms < until)
        });
        match mine {
            Some(span) => {
                // Replayed over a cut it may have been the other's, too.
                let redelivered = span.from_ms.is_some_and(|from| since_ms < from.saturating_add(AROUND_MS))
                    || span.until_ms.is_some_and(|until| at_ms >= until)
                    || self
                        .undecided()
                        .is_some_and(|cut| cut.from == self.session_group && at_ms >= cut.at_ms);
                Whose::Mine { redelivered }
            }
            None => Whose::NotMine(Why::NoDuty),
        }
    }

    /// The cut that is prepared, if one is: the last.
    fn undecided(&self) -> Option<&Cut> {
        self.cuts.last().filter(|cut| cut.state == CutState::Prepared)
    }

    /// Of an event that a cut concerns which is only prepared. Who has duty until then goes on without a word, as what it holds would be lost
    /// with it; who has it from then on holds it for as long as it takes.
    fn until_decided(&self, cut: &Cut, now_ms: i64) -> Whose {
        let until_ms = cut.at_ms.saturating_add(UNDECIDED_MS);
        if self.session_group == cut.to {
            Whose::Hold { until_ms: None }
        } else if self.session_group != cut.from {
            Whose::NotMine(Why::NoDuty)
        } else if now_ms < until_ms {
            Whose::Hold { until_ms: Some(until_ms) }
        } else {
            Whose::Mine { redelivered: true }
        }
    }

    /// All of time, as far as it is decided, in order.
    fn spans(&self) -> impl Iterator<Item = Span> {
        let is_decided = |cut: &&Cut| matches!(cut.state, CutState::Committed | CutState::Closed);
        let cuts = || self.cuts.iter().filter(is_decided);
        // Before every cut is who the first one takes it from, be that decided or not.
        let first = self.cuts.iter().find(|cut| cut.state != CutState::Aborted);
        let begins = first.map(|cut| (cut.from, None)).into_iter();
        let begins = begins.chain(cuts().map(|cut| (cut.to, Some(cut.at_ms))));
        let ends = cuts().map(|cut| (Some(cut.at_ms), cut.state == CutState::Closed));
        begins.zip(ends.chain([(None, false)])).map(|((session_group, from_ms), (until_ms, is_closed))| {
            Span { session_group, from_ms, until_ms, is_closed }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: i64 = 1_000_000;

    fn cut(number: u64, from: u32, to: u32, at_ms: i64, state: CutState) -> Cut {
        Cut { number, from, to, at_ms, state }
    }

    fn decide(made: Made, at_ms: i64, session_group: u32, cuts: &[Cut], now_ms: i64) -> Whose {
        replayed(made, (at_ms, at_ms), session_group, cuts, now_ms)
    }

    /// Sent at any time between these two.
    fn replayed(
        made: Made,
        (since_ms, at_ms): (i64, i64),
        session_group: u32,
        cuts: &[Cut],
        now_ms: i64,
    ) -> Whose {
        // What no cut that came or may come concerns has the role that it has without any.
        let stands: Vec<_> = cuts.iter().filter(|cut| cut.state != CutState::Aborted).collect();
        let is_named = stands.iter().any(|cut| cut.from == session_group || cut.to == session_group);
        let had_duty = stands.is_empty() && cuts[0].from == session_group;
        let role = if had_duty || is_named { Role::Active } else { Role::Standby };
        let duty = &Duty { role: Some(role), session_group, cuts: cuts.to_vec() };
        let received = Received { made, at_ms, since_ms, before: Before::Fresh };
        whose(&received, &Standing { has_session: true, most_begun: 2, duty }, now_ms)
    }

    const MINE: Whose = Whose::Mine { redelivered: false };
    const MARKED: Whose = Whose::Mine { redelivered: true };
    const THEIRS: Whose = Whose::NotMine(Why::NoDuty);

    #[test]
    fn without_cuts_session_progress_and_role_decide_in_this_order() {
        let of = |has_session, before, made, role| {
            let duty = &Duty { role, ..Duty::default() };
            let received = Received { made, at_ms: T, since_ms: T, before };
            whose(&received, &Standing { has_session, most_begun: 2, duty }, T)
        };
        let fresh = |role| of(true, Before::Fresh, Made::At(T), role);
        assert_eq!(fresh(Some(Role::Active)), MINE);
        assert_eq!(fresh(Some(Role::Retiring)), MINE);
        assert_eq!(fresh(Some(Role::Standby)), THEIRS);
        assert_eq!(fresh(None), THEIRS);
        let active = |has_session, before| of(has_session, before, Made::Unknown, Some(Role::Active));
        assert_eq!(active(false, Before::Fresh), Whose::NotMine(Why::NoSession));
        assert_eq!(active(false, Before::Done), Whose::NotMine(Why::NoSession), "it may be the next owner's");
        assert_eq!(active(true, Before::Done), Whose::NotMine(Why::Done));
        assert_eq!(active(true, Before::Begun(1)), MARKED);
        assert_eq!(active(true, Before::Begun(2)), Whose::NotMine(Why::GivenUp));
        assert_eq!(of(true, Before::Begun(2), Made::Unknown, Some(Role::Standby)), THEIRS);
        assert_eq!(of(true, Before::Fresh, Made::ForSession, Some(Role::Standby)), MINE, "it fills caches");
        assert_eq!(of(false, Before::Fresh, Made::ForSession, None), Whose::NotMine(Why::NoSession));
    }

    #[test]
    fn a_committed_cut_divides_by_the_time_at_which_an_event_was_made() {
        let cuts = [cut(1, 0, 1, T, CutState::Committed)];
        // However late it is received.
        for late in [0, 60_000] {
            let of = |made, group| decide(Made::At(made), made + late, group, &cuts, made + late);
            assert_eq!((of(T - 1, 0), of(T - 1, 1)), (MINE, THEIRS));
            assert_eq!((of(T, 0), of(T, 1)), (THEIRS, MINE));
            assert_eq!(of(T, 2), THEIRS, "of a third fleet");
        }
        let closed = [cut(1, 0, 1, T, CutState::Closed)];
        assert_eq!(
            decide(Made::At(T - 1), T + 90_000, 1, &closed, T + 90_000),
            MARKED,
            "the old one has gone"
        );
        assert_eq!(decide(Made::At(T), T + 90_000, 1, &closed, T + 90_000), MINE);
    }

    #[test]
    fn what_has_no_time_is_handled_by_both_around_the_cut_and_marked_by_the_second() {
        let cuts = [cut(1, 0, 1, T, CutState::Committed)];
        let of = |at, group| decide(Made::Unknown, at, group, &cuts, at);
        let table = [
            (T - AROUND_MS - 1, MINE, THEIRS),
            (T - AROUND_MS, MINE, MARKED),
            (T - 1, MINE, MARKED),
            (T, THEIRS, MARKED),
            (T + AROUND_MS - 1, THEIRS, MARKED),
            (T + AROUND_MS, THEIRS, MINE),
        ];
        for (at, old, new) in table {
            assert_eq!((of(at, 0), of(at, 1)), (old, new), "{}", at - T);
        }
    }

    #[test]
    fn before_the_decision_both_hold_and_without_it_the_old_one_goes_on() {
        let cuts = [cut(1, 0, 1, T, CutState::Prepared)];
        let of = |made, group, now| decide(made, T, group, &cuts, now);
        let held = Whose::Hold { until_ms: Some(T + UNDECIDED_MS) };
        for made in [Made::At(T), Made::Unknown] {
            assert_eq!(of(made, 0, T), held);
            assert_eq!(of(made, 0, T + UNDECIDED_MS), MARKED);
            for now in [T, T + 3_600_000] {
                assert_eq!(of(made, 1, now), Whose::Hold { until_ms: None });
            }
            assert_eq!(of(made, 2, T), THEIRS);
        }
        assert_eq!(
            (of(Made::At(T - 1), 0, T), of(Made::At(T - 1), 1, T)),
            (MINE, THEIRS),
            "no cut concerns it"
        );
        let early = T - AROUND_MS;
        assert_eq!(decide(Made::Unknown, early, 0, &cuts, early), MINE);
        assert_eq!(decide(Made::Unknown, early, 1, &cuts, early), Whose::Hold { until_ms: None });
        assert_eq!(decide(Made::Unknown, early - 1, 1, &cuts, early), THEIRS);
        let aborted = [cut(1, 0, 1, T, CutState::Aborted)];
        for made in [Made::At(T), Made::Unknown] {
            assert_eq!(decide(made, T, 0, &aborted, T), MINE);
            assert_eq!(decide(made, T, 1, &aborted, T), THEIRS);
        }
    }

    /// Up to four cuts, each from who has duty to another of three session groups; the last may be undecided or aborted, earlier ones may be aborted.
    fn histories() -> impl Strategy<Value = Vec<Cut>> {
        let one = (1..40_000_i64, 1..3_u32, 0..4_u8);
        prop::collection::vec(one, 1..5).prop_map(|steps| {
            let (mut at_ms, mut has_duty, mut cuts) = (T, 0, Vec::new());
            let count = steps.len();
            for (index, (after, next, state)) in steps.into_iter().enumerate() {
                at_ms += after;
                let to = (has_duty + next) % 3;
                let state = match state {
                    0 => CutState::Aborted,
                    1 if index + 1 == count => CutState::Prepared,
                    // Only what nobody can turn round any more is closed.
                    2 if cuts.iter().all(|cut: &Cut| cut.state != CutState::Committed) => CutState::Closed,
                    _ => CutState::Committed,
                };
                cuts.push(cut(index as u64 + 1, has_duty, to, at_ms, state));
                if matches!(state, CutState::Committed | CutState::Closed) {
                    has_duty = to;
                }
            }
            cuts
        })
    }

    #[test]
    fn what_a_resume_replays_over_the_cut_may_be_of_either_side() {
        let cuts = [cut(1, 0, 1, T, CutState::Committed)];
        let of = |since, at, group| replayed(Made::Unknown, (since, at), group, &cuts, at);
        assert_eq!(of(T - 12_000, T + 500, 0), MARKED, "sent before T - 10 s it is nobody else's");
        assert_eq!(of(T - 1_000, T + 11_000, 1), MARKED, "sent before T it was the other's");
        assert_eq!(of(i64::MIN, T + 60_000, 0), MARKED, "nobody knows since when");
        assert_eq!(of(T, T + 500, 0), THEIRS);
        let begun = |group| {
            let duty = &Duty { role: Some(Role::Active), session_group: group, cuts: cuts.to_vec() };
            let received =
                Received { made: Made::Unknown, at_ms: T + 3_000, since_ms: T, before: Before::Begun(1) };
            whose(&received, &Standing { has_session: true, most_begun: 2, duty }, T + 3_000)
        };
        assert_eq!(begun(0), MARKED, "what it began before stays its own");
    }

    #[test]
    fn a_cut_concerns_nobody_whom_it_does_not_name_and_no_time_overflows() {
        for state in [CutState::Aborted, CutState::Closed] {
            for at_ms in [T, i64::MIN, i64::MAX] {
                let duty = &Duty {
                    role: Some(Role::Active),
                    session_group: 7,
                    cuts: vec![cut(1, 0, 1, at_ms, state)],
                };
                let received = Received { made: Made::At(T), at_ms: T, since_ms: T, before: Before::Fresh };
                assert_eq!(whose(&received, &Standing { has_session: true, most_begun: 2, duty }, T), MINE);
            }
        }
        for state in [CutState::Prepared, CutState::Committed] {
            for (at_ms, group) in [(i64::MIN, 0), (i64::MIN, 1), (i64::MAX, 0), (i64::MAX, 1)] {
                for made in [Made::Unknown, Made::At(T)] {
                    let _ = decide(made, T, group, &[cut(1, 0, 1, at_ms, state)], T);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn each_instant_is_one_fleets(cuts in histories(), made in 0..400_000_i64) {
            let made = T - 100_000 + made;
            let of = |group| decide(Made::At(made), made, group, &cuts, made);
            let all = [of(0), of(1), of(2)];
            let mine = all.iter().filter(|whose| matches!(whose, Whose::Mine { .. })).count();
            let held = all.iter().filter(|whose| matches!(whose, Whose::Hold { .. })).count();
            // Nobody decided in time: the old one went on, and says so.
            let undecided = (mine, held) == (1, 1) && all.contains(&MARKED);
            prop_assert!(undecided || (mine, held) == (1, 0) || (mine, held) == (0, 2), "{all:?}");
        }

        #[test]
        fn without_a_time_somebody_handles_it_and_only_once_unmarked(
            cuts in histories(),
            at in 0..400_000_i64,
            skews in prop::array::uniform3(-AROUND_MS / 2 + 1..AROUND_MS / 2),
            away in prop::array::uniform3((0..30_000_i64, 0..30_000_i64)),
        ) {
            let at = T - 100_000 + at;
            let of = |group: u32| {
                // Its connection was away around it: what was sent then is replayed.
                let (skew, (since, until)) = (skews[group as usize], away[group as usize]);
                replayed(Made::Unknown, (at + skew - since, at + skew + until), group, &cuts, at + skew + until)
            };
            let all = [of(0), of(1), of(2)];
            let unmarked = all.iter().filter(|whose| **whose == MINE).count();
            let anybody = all.iter().any(|whose| !matches!(whose, Whose::NotMine(_)));
            prop_assert!(anybody, "{all:?}");
            prop_assert!(unmarked <= 1, "{all:?}");
        }
    }
}
