//! The daily budget: counted down by grants, corrected by Discord's newer answers.
//!
//! From grants and `GET /gateway/bot` to how many IDENTIFYs are left, for whom, and how many were spent by somebody whom
//! nobody here knows. Below the reserve only live shards are served, and nobody below zero. Against others who use the token only the
//! budget can be kept: their IDENTIFYs are seen when they are counted, so the bucket rule may be broken, and is said only. For the
//! same reason the last hundredth is used by nobody.
//! Deliberately absent: asking Discord.

use super::clock::Millis;
use crate::model::budget::{kept_for_live, kept_from_all};
use shard_contract::identify::{GRANT_VALID_MS, Priority};
use shard_contract::pace::Pace;
use std::collections::VecDeque;

/// What an IDENTIFY may take from its pod to Discord's books.
const BOOKED_MS: u64 = 1_000;
/// Two answers that name reset times further apart than this speak of two days.
const ANOTHER_DAY_MS: u64 = 600_000;
/// What an IDENTIFY may take at the very most, held up on its way or in Discord's books. It counts only in favour of others who use the token.
const BOOKED_LATE_MS: u64 = 60_000;
/// Grants that are remembered, to be held against an answer that cannot know them.
const REMEMBERED_MS: u64 = 600_000;
const REMEMBERED: usize = 100_000;

/// What Discord says, and what a plan makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// IDENTIFYs per day.
    pub total: u32,
    /// What was left of them when Discord was asked.
    pub remaining: u32,
    /// When Discord was asked.
    pub asked_at: Millis,
    /// When the budget is full again.
    pub resets_at: Millis,
    /// How many buckets there are; at least 1.
    pub max_concurrency: u32,
    /// Share of the total that only live shards may use, in percent.
    pub reserve_percent: u32,
    /// How fast Discord's time passes.
    pub pace: Pace,
}

/// What is left.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    remaining: u32,
    /// Grants of the leader before that Discord's first answer may not know.
    inherited: u32,
    recent: VecDeque<Millis>,
    unattributed: u32,
    /// Whether an answer has been compared with the grants since the one before.
    judged: bool,
}

impl Budget {
    /// As Discord said first.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            remaining: limits.remaining,
            inherited: 0,
            recent: VecDeque::new(),
            unattributed: 0,
            judged: false,
        }
    }

    /// The same, for a process that leads since then: if Discord was asked soon after, one grant of the leader before may have
    /// been on the way in each bucket, and is counted on until Discord is asked again.
    #[must_use]
    pub fn after_another(limits: Limits, leads_since: Millis) -> Self {
        let may_miss = limits.asked_at < leads_since.after(on_the_way(limits.pace));
        Self { inherited: if may_miss { limits.max_concurrency } else { 0 }, ..Self::new(limits) }
    }

    /// The limits that count.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// IDENTIFYs that are left.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// IDENTIFYs since the last reset that nobody here was granted.
    #[must_use]
    pub fn unattributed(&self) -> u32 {
        self.unattributed
    }

    /// Whether [`Budget::unattributed`] rests on at least one comparison, so that none of them means something.
    #[must_use]
    pub fn judged(&self) -> bool {
        self.judged
    }

    /// Takes over what Discord said, less what it could not know yet. `alone` says that no pod can have been on the fallback schedule since the
    /// answer before: then whatever it counts beyond the grants, ours and the leader's before, was spent by others who use the token. Grants
    /// that the answer before was taken to know may have come to Discord's books only after it, and are ours as well.
    pub fn set(&mut self, limits: Limits, alone: bool) {
        if limits.asked_at <= self.limits.asked_at {
            self.limits.reserve_percent = limits.reserve_percent;
            return;
        }
        let another_day = limits.asked_at >= self.limits.resets_at
            || limits.resets_at.since(self.limits.resets_at) > limits.pace.real_ms(ANOTHER_DAY_MS);
        if another_day {
            self.unattributed = 0;
        } else if alone {
            // Every grant was counted when it was given, so what is under way now cannot make the answer lower than this.
            let ours = self.inherited.saturating_add(self.booked_late());
            self.unattributed += self.remaining.saturating_sub(limits.remaining).saturating_sub(ours);
            self.judged = true;
        }
        // One granted before the question may still have been under way.
        let on_the_way = on_the_way(limits.pace);
        let unseen = self.recent.iter().filter(|at| at.0 + on_the_way > limits.asked_at.0).count();
        self.inherited = 0;
        self.remaining = limits.remaining.saturating_sub(unseen.try_into().unwrap_or(u32::MAX));
        self.limits = limits;
        // Only now: the next question may come minutes after this one, and looks back from this one.
        while self.recent.front().is_some_and(|at| at.0 + BOOKED_LATE_MS <= limits.asked_at.0) {
            self.recent.pop_front();
        }
    }

    /// Grants that the last answer was taken to know, and that may have been booked only after it.
    fn booked_late(&self) -> u32 {
        let asked_at = self.limits.asked_at.0;
        let known = asked_at.saturating_sub(on_the_way(self.limits.pace));
        let late = self.recent.iter().filter(|at| at.0 <= known && at.0 + BOOKED_LATE_MS > asked_at).count();
        late.try_into().unwrap_or(u32::MAX)
    }

    /// A grant was given.
    pub fn spend(&mut self, now: Millis) {
        self.remaining = self.remaining.saturating_sub(1);
        self.recent.push_back(now);
        while self.recent.len() > REMEMBERED
            || self.recent.front().is_some_and(|at| now.since(*at) > REMEMBERED_MS)
        {
            self.recent.pop_front();
        }
    }

    /// The grant given then was not used.
    pub fn refund(&mut self, given_at: Millis) {
        if let Some(place) = self.recent.iter().rposition(|at| *at == given_at) {
            self.recent.remove(place);
            // An answer that was asked for later never counted it.
            if given_at.0 + on_the_way(self.limits.pace) > self.limits.asked_at.0 {
                self.remaining = self.remaining.saturating_add(1);
            }
        }
    }

    /// Why nothing is left for shards of this priority, and until when; none while something is.
    #[must_use]
    pub fn denies(&self, now: Millis, priority: Priority) -> Option<(Millis, String)> {
        let limits = &self.limits;
        let reserve = if priority == Priority::Live {
            kept_from_all(limits.total)
        } else {
            kept_for_live(limits.total, limits.reserve_percent)
        };
        if self.remaining.saturating_sub(self.inherited) > reserve {
            return None;
        }
        // Past the reset only a new answer of Discord counts, and so it is while the first one is in doubt.
        let is_sure = self.remaining <= reserve && limits.resets_at > now;
        let at = if is_sure { limits.resets_at } else { now.after(1_000) };
        let because = format!(
            "{} of {} daily IDENTIFYs are left and {reserve} are kept {}; the budget is full again in {} s",
            self.remaining,
            limits.total,
            if priority == Priority::Live {
                "from everybody, since Discord may count more"
            } else {
                "for live shards"
            },
            limits.resets_at.since(now) / 1_000
        );
        Some((at, because))
    }
}

/// How long a grant may be on its way to Discord's books.
fn on_the_way(pace: Pace) -> u64 {
    pace.real_ms(GRANT_VALID_MS) + BOOKED_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(remaining: u32, asked_at: u64) -> Limits {
        Limits {
            total: 1_000,
            remaining,
            asked_at: Millis(asked_at),
            resets_at: Millis(80_000_000),
            max_concurrency: 1,
            reserve_percent: 20,
            pace: Pace::REAL,
        }
    }

    #[test]
    fn an_answer_of_discord_cannot_bring_back_what_is_under_way() {
        let mut budget = Budget::new(limits(900, 1_000));
        budget.spend(Millis(10_000));
        budget.spend(Millis(14_000));
        budget.set(limits(899, 15_000), true);
        assert_eq!(budget.remaining(), 898, "the second may not have reached Discord when it was asked");
        budget.set(limits(950, 9_000), true);
        assert_eq!((budget.remaining(), budget.unattributed()), (898, 0), "an older answer changes nothing");
    }

    #[test]
    fn what_nobody_here_was_granted_was_spent_by_strangers_until_the_reset() {
        let mut budget = Budget::new(limits(900, 1_000));
        budget.spend(Millis(10_000));
        budget.set(limits(892, 60_000), true);
        assert_eq!((budget.remaining(), budget.unattributed()), (892, 7));
        budget.set(limits(890, 120_000), false);
        assert_eq!(budget.unattributed(), 7, "pods on the fallback schedule spend it too, and are ours");
        let tomorrow = Limits { resets_at: Millis(166_400_000), ..limits(1_000, 80_000_001) };
        budget.set(tomorrow, true);
        assert_eq!((budget.remaining(), budget.unattributed()), (1_000, 0));
    }

    #[test]
    fn a_grant_that_discord_books_only_after_it_was_asked_is_no_strangers() {
        let mut budget = Budget::new(limits(900, 1_000));
        budget.spend(Millis(40_000));
        budget.set(limits(900, 46_000), true);
        assert_eq!(budget.remaining(), 900, "it was taken to know the grant");
        budget.set(limits(899, 106_000), true);
        assert_eq!((budget.remaining(), budget.unattributed()), (899, 0));
        budget.set(limits(898, 166_000), true);
        assert_eq!(budget.unattributed(), 1, "the grant counts once");
    }

    #[test]
    fn beyond_what_may_be_booked_late_it_was_strangers() {
        let mut budget = Budget::new(limits(900, 1_000));
        (0..4).for_each(|grant| budget.spend(Millis(40_000 + grant * 5_000)));
        budget.set(limits(896, 61_000), true);
        budget.set(limits(800, 121_000), true);
        assert_eq!(budget.unattributed(), 92, "of 96, four may have been booked late");
        budget.spend(Millis(179_000));
        budget.set(limits(800, 181_000), true);
        assert_eq!(budget.remaining(), 799, "it is under way");
        budget.set(limits(798, 241_000), true);
        assert_eq!(budget.unattributed(), 93, "what was counted as under way is not counted twice");
    }

    #[test]
    fn what_the_leader_before_granted_last_is_counted_on_until_discord_is_asked_again() {
        let last = Limits { max_concurrency: 2, ..limits(12, 13_000) };
        let denied = |budget: &Budget| budget.denies(Millis(20_000), Priority::Live).map(|(at, _)| at);
        let mut budget = Budget::after_another(last, Millis(10_000));
        assert_eq!((budget.remaining(), denied(&budget)), (12, Some(Millis(21_000))));
        budget.set(Limits { asked_at: Millis(19_000), ..last }, true);
        assert_eq!((budget.remaining(), budget.unattributed(), denied(&budget)), (12, 0, None));
        let late = Limits { asked_at: Millis(14_000), ..last };
        let mut budget = Budget::after_another(last, Millis(10_000));
        budget.set(Limits { asked_at: Millis(19_000), remaining: 10, ..last }, true);
        assert_eq!(budget.unattributed(), 0, "both may have been the leader's before");
        assert_eq!(denied(&Budget::after_another(late, Millis(10_000))), None, "it knows them all");
    }

    #[test]
    fn without_a_comparison_nobody_knows_of_strangers() {
        let mut budget = Budget::new(limits(900, 1_000));
        assert!(!budget.judged());
        budget.set(limits(890, 60_000), false);
        assert!(!budget.judged(), "pods may have been on the fallback schedule");
        budget.set(limits(890, 120_000), true);
        assert!(budget.judged());
        budget.set(limits(890, 180_000), false);
        assert!(budget.judged(), "what was known stays known");
    }

    #[test]
    fn a_refund_comes_once() {
        let mut budget = Budget::new(limits(900, 1_000));
        budget.spend(Millis(10_000));
        budget.refund(Millis(10_000));
        budget.refund(Millis(10_000));
        assert_eq!(budget.remaining(), 900);
    }
}
