//! What the gate knows of one token, and what it decides by it.
//!
//! From Discord's answers, pods' words and the rules beside this file to one decision: grant, or wait until. Grants that
//! were given are kept until their outcome is told, or for a while after it should have been. Deliberately absent: who is
//! served first, which [`super::queue`] says, and what a pod may ask for.

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::budget::{Budget, Limits};
use super::clock::{DiscordTime, Millis};
use super::fallback::FallbackPods;
use shard_contract::buckets::{Buckets, TRAVEL_MS};
use shard_contract::identify::{Outcome, Priority};
use shard_contract::pace::Pace;
use std::collections::BTreeMap;

/// A fresh leader waits out a grant of its predecessor (3 s) and the window after it (5 s), with slack.
const OPENING_MS: u64 = 8_880;
/// A grant of which nothing more is heard for so long has failed: its pod died.
const UNREPORTED_MS: u64 = 60_000;
/// At no pace less than this: a process needs real time to reach READY.
const UNREPORTED_LEAST_MS: u64 = 10_000;
/// What a pod spent by the fallback schedule may come to Discord's books so much later than the gate believes it back.
const DOUBT_COUNTS_MS: u64 = 10_000;
/// A READY that comes even later still counts as one.
const REMEMBERED_MS: u64 = 600_000;

/// What a call asks for: one of these shards, most urgent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of their layout.
    pub layout: u32,
    /// The shards.
    pub shards: Vec<u32>,
    /// How urgent they are.
    pub priority: Priority,
}

/// What to do with a request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This shard may identify.
    Grant {
        /// The first shard of the request that may.
        shard: u32,
    },
    /// None may; nothing changes before then unless somebody acts.
    WaitUntil {
        /// When to decide again.
        at: Millis,
        /// What is waited for, for people.
        because: String,
    },
}

/// What the gate knows of one token.
#[derive(Clone, Debug)]
pub struct State {
    opens_from: Millis,
    numbered_from: u64,
    budget: Option<Budget>,
    buckets: Buckets,
    backoff: Backoff,
    breaker: Breaker,
    fallback: FallbackPods,
    /// When a pod may have been on the fallback schedule last, as far as was looked.
    doubted_at: Option<Millis>,
    time: Option<DiscordTime>,
    grants: BTreeMap<u64, Grant>,
    granted: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    layout: u32,
    shard: u32,
    at: Millis,
    reported: Reported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    Sent,
    /// Or nothing for too long.
    Failed,
}

impl State {
    /// Closed: no limits are known. The process leads since `leads_since`. Its grants are numbered from `numbered_from`, which
    /// no other leader counts from: what a pod says late of a predecessor's grant must not be taken for a word of one of ours.
    #[must_use]
    pub fn new(leads_since: Millis, numbered_from: u64) -> Self {
        Self {
            opens_from: leads_since,
            numbered_from,
            budget: None,
            buckets: Buckets::new(1, Pace::REAL),
            backoff: Backoff::default(),
            breaker: Breaker::default(),
            fallback: FallbackPods::default(),
            doubted_at: None,
            time: None,
            grants: BTreeMap::new(),
            granted: 0,
            failed: 0,
        }
    }

    /// What is left of the budget.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.budget.as_ref().map_or(0, Budget::remaining)
    }

    /// IDENTIFYs per day.
    #[must_use]
    pub fn daily_total(&self) -> u32 {
        self.budget.as_ref().map_or(0, |budget| budget.limits().total)
    }

    /// Whether limits are known.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.budget.is_some()
    }

    /// IDENTIFYs since the budget's last reset that nobody here was granted.
    #[must_use]
    pub fn unattributed(&self) -> u32 {
        self.budget.as_ref().map_or(0, Budget::unattributed)
    }

    /// Whether that rests on a comparison with Discord's count yet.
    #[must_use]
    pub fn judged(&self) -> bool {
        self.budget.as_ref().is_some_and(Budget::judged)
    }

    /// How many grants were given.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.granted
    }

    /// How many of them did not reach READY.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Failures in a row and seconds until the next probe, while the breaker is open.
    #[must_use]
    pub fn tripped(&self, now: Millis) -> Option<(u32, u64)> {
        self.breaker.tripped(now)
    }

    /// How many shards of living layouts back off after failures or short sessions, online ones among them, and the longest of
    /// their waits in milliseconds.
    #[must_use]
    pub fn backing_off(&self, now: Millis) -> (u32, u64) {
        self.backoff.waits(now, |layout| self.fallback.knows(layout))
    }

    /// Forgets which shards failed: those of now are other ones. What Discord counts stays.
    pub fn begin_anew(&mut self) {
        self.backoff = Backoff::default();
    }

    /// How many pods may be on the fallback schedule.
    #[must_use]
    pub fn on_fallback_schedule(&self, now: Millis) -> u32 {
        self.fallback.count(now, self.pace())
    }

    /// Whether a grant's outcome may still be told.
    #[must_use]
    pub fn remembers(&self, grant: u64) -> bool {
        self.grants.contains_key(&grant)
    }

    /// How many buckets there are.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.buckets.count()
    }

    /// Takes over which layouts `(number, slot, pods)` and which pods `(uid, layout, ordinal)` there are.
    pub fn set_pods(
        &mut self,
        now: Millis,
        pace: Pace,
        layouts: impl IntoIterator<Item = (u32, u32, u32)>,
        pods: impl IntoIterator<Item = (String, u32, u32)>,
    ) {
        self.note_doubt(now, pace);
        self.fallback.set(now, pace, layouts, pods);
    }

    /// A pod has surely heard an answer that was given then.
    pub fn heard(&mut self, now: Millis, uid: &str, given_at: Millis) {
        if self.fallback.heard(now, self.pace(), uid, given_at) {
            self.doubted_at = Some(now);
        }
    }

    /// Whether this pod should be answered at once; see [`FallbackPods::greet`].
    pub fn greet(&mut self, uid: &str) -> bool {
        self.fallback.greet(uid)
    }

    fn note_doubt(&mut self, now: Millis, pace: Pace) {
        if !self.fallback.none(now, pace) {
            self.doubted_at = Some(now);
        }
    }

    /// Takes note of what Discord's clock showed.
    pub fn tell_time(&mut self, time: DiscordTime) {
        self.time = Some(time);
    }

    /// Takes over what Discord said.
    pub fn set(&mut self, now: Millis, limits: Limits) {
        self.buckets.resize(limits.max_concurrency, limits.pace);
        self.note_doubt(now, limits.pace);
        match &mut self.budget {
            Some(budget) => {
                let before = budget.limits().asked_at;
                budget.set(limits, self.doubted_at.is_none_or(|at| at.after(DOUBT_COUNTS_MS) < before));
            }
            None => self.budget = Some(Budget::after_another(limits, self.opens_from)),
        }
        self.forget(now);
    }

    /// Decides about a request.
    #[must_use]
    pub fn decide(&self, now: Millis, request: &Request) -> Decision {
        if let Some((at, because)) = self.closed(now).or_else(|| self.spent(now, request.priority)) {
            return Decision::WaitUntil { at, because };
        }
        let backs_off = |shard: &u32| self.backs_off_until(now, request.layout, *shard);
        let free_at = |shard: &u32| self.buckets.free_at(*shard).max(backs_off(shard));
        if let Some(&shard) = request.shards.iter().find(|shard| free_at(shard) <= now) {
            return Decision::Grant { shard };
        }
        let at = request.shards.iter().map(free_at).min().unwrap_or(now.after(1_000));
        let busy = request.shards.iter().any(|shard| backs_off(shard) <= now);
        let because = if busy {
            "another shard of the same bucket identified less than 5 s ago"
        } else {
            "its last IDENTIFYs did not reach READY, or its sessions ended soon, so it waits longer each time"
        };
        Decision::WaitUntil { at, because: because.to_owned() }
    }

    /// Why nobody may identify now, and until when; none while somebody may.
    #[must_use]
    pub fn closed(&self, now: Millis) -> Option<(Millis, String)> {
        if self.budget.is_none() {
            let because = "Discord has not yet said how many IDENTIFYs are left";
            return Some((now.after(1_000), because.to_owned()));
        }
        let opens_at = self.opens_from.after(self.pace().real_ms(OPENING_MS) + TRAVEL_MS);
        if now < opens_at {
            let because =
                "the operator has just begun to lead and waits out what its predecessor may have granted";
            return Some((opens_at, because.to_owned()));
        }
        self.breaker.denies(now).or_else(|| self.fallback.denies(now, self.time.as_ref(), self.pace()))
    }

    /// Why the budget has nothing left for shards of this priority, and until when.
    #[must_use]
    pub fn spent(&self, now: Millis, priority: Priority) -> Option<(Millis, String)> {
        self.budget.as_ref().and_then(|budget| budget.denies(now, priority))
    }

    /// When a shard's bucket is free.
    #[must_use]
    pub fn bucket_free_at(&self, shard: u32) -> Millis {
        self.buckets.free_at(shard)
    }

    /// When a shard has waited long enough after its failures. One that burns IDENTIFYs has no part in the reserve, however live.
    #[must_use]
    pub fn backs_off_until(&self, now: Millis, layout: u32, shard: u32) -> Millis {
        let until = self.backoff.until(layout, shard);
        let kept = self.spent(now, Priority::Active).filter(|_| self.backoff.burns(layout, shard));
        kept.map_or(until, |(at, _)| until.max(at))
    }

    /// Carries out [`Decision::Grant`]; returns the grant's number.
    pub fn grant(&mut self, now: Millis, layout: u32, shard: u32) -> u64 {
        self.granted += 1;
        let grant = self.numbered_from + self.granted;
        self.buckets.take(now, shard, grant);
        if let Some(budget) = &mut self.budget {
            budget.spend(now);
        }
        self.breaker.granted(grant);
        self.grants.insert(grant, Grant { layout, shard, at: now, reported: Reported::Nothing });
        grant
    }

    /// Takes note of what became of a grant. Unknown and old grants change nothing, nor does a word that contradicts an
    /// earlier one, but for a READY that comes after all.
    pub fn outcome(&mut self, now: Millis, grant: u64, outcome: Outcome) {
        let Some(&Grant { layout, shard, at, reported }) = self.grants.get(&grant) else { return };
        match (outcome, reported) {
            (Outcome::Sent, Reported::Nothing) => {
                self.buckets.sent(now, shard, grant);
                self.note(grant, Reported::Sent);
            }
            (Outcome::Unused, Reported::Nothing) => {
                self.buckets.give_back(now, shard, grant);
                if let Some(budget) = &mut self.budget {
                    budget.refund(at);
                }
                self.breaker.unused(now, grant);
                self.grants.remove(&grant);
            }
            (Outcome::Ready, _) => {
                self.backoff.ready(now, layout, shard, self.pace());
                self.breaker.ready();
                self.grants.remove(&grant);
            }
            (Outcome::Invalid, Reported::Nothing | Reported::Sent) => {
                self.buckets.invalid(now, shard, grant);
                self.fail(now, grant);
                self.grants.remove(&grant);
            }
            (Outcome::Failed, Reported::Nothing | Reported::Sent) => {
                self.fail(now, grant);
                self.grants.remove(&grant);
            }
            (Outcome::Sent | Outcome::Unused, _) | (Outcome::Invalid | Outcome::Failed, Reported::Failed) => {
            }
        }
    }

    /// Counts grants of which nothing more was heard as failed; returns when the next one is.
    pub fn lapse(&mut self, now: Millis) -> Option<Millis> {
        let pace = self.pace();
        let unreported = pace.real_ms(UNREPORTED_MS).max(UNREPORTED_LEAST_MS);
        // In order of time, since numbers rise with it; most are gone before they are this old.
        let lapsed: Vec<_> = self
            .grants
            .iter()
            .take_while(|(_, grant)| now.since(grant.at) >= unreported)
            .filter(|(_, grant)| grant.reported != Reported::Failed)
            .map(|(number, _)| *number)
            .collect();
        for grant in lapsed {
            self.fail(now, grant);
            self.note(grant, Reported::Failed);
        }
        let open = self.grants.values().find(|grant| grant.reported != Reported::Failed)?;
        Some(open.at.after(unreported))
    }

    fn fail(&mut self, now: Millis, grant: u64) {
        let (pace, total) = (self.pace(), self.daily_total());
        let Some(&Grant { layout, shard, .. }) = self.grants.get(&grant) else { return };
        self.failed += 1;
        self.backoff.failed(now, layout, shard, pace);
        self.breaker.failed(now, grant, total, pace);
    }

    fn note(&mut self, grant: u64, reported: Reported) {
        if let Some(grant) = self.grants.get_mut(&grant) {
            grant.reported = reported;
        }
    }

    fn pace(&self) -> Pace {
        self.budget.as_ref().map_or(Pace::REAL, |budget| budget.limits().pace)
    }

    fn forget(&mut self, now: Millis) {
        let pace = self.pace();
        self.buckets.forget(now);
        self.backoff.forget(now, pace);
        let kept = pace.real_ms(REMEMBERED_MS).max(2 * UNREPORTED_LEAST_MS);
        self.grants.retain(|_, grant| grant.reported != Reported::Failed || now.since(grant.at) < kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shard_contract::fallback::{APART_MS, Place, SLOT_MS, may_leave};
    use shard_contract::identify::GRANT_VALID_MS;
    use std::collections::HashMap;

    const START: u64 = 100_000;

    fn state(max_concurrency: u32, remaining: u32) -> State {
        let mut state = State::new(Millis(0), 0);
        state.set(Millis(START), limits(max_concurrency, remaining, START));
        state
    }

    fn limits(max_concurrency: u32, remaining: u32, asked_at: u64) -> Limits {
        Limits {
            total: 1_000,
            remaining,
            asked_at: Millis(asked_at),
            resets_at: Millis(START + 3_600_000),
            max_concurrency,
            reserve_percent: 20,
            pace: Pace::REAL,
        }
    }

    /// Heard so long ago that nothing is in doubt any more.
    fn back(now: Millis) -> Millis {
        Millis(now.0 - APART_MS)
    }

    fn granted(state: &State, now: u64, shards: &[u32], priority: Priority) -> Option<u32> {
        match state.decide(Millis(now), &Request { layout: 1, shards: shards.to_vec(), priority }) {
            Decision::Grant { shard } => Some(shard),
            Decision::WaitUntil { at, .. } => {
                assert!(at.0 > now, "waiting for the past is a hot loop");
                None
            }
        }
    }

    #[test]
    fn it_starts_closed_and_waits_out_its_predecessor() {
        assert_eq!(granted(&State::new(Millis(0), 0), START, &[0], Priority::Live), None);
        let mut fresh = State::new(Millis(50_000), 0);
        fresh.set(Millis(50_010), limits(1, 900, 50_010));
        assert_eq!(granted(&fresh, 58_999, &[0], Priority::Live), None, "from when it began to lead");
        assert_eq!(granted(&fresh, 59_000, &[0], Priority::Live), Some(0));
    }

    #[test]
    fn a_bucket_is_shared_by_every_total_and_spaced_by_the_word_that_it_went_out() {
        let mut state = state(2, 900);
        let grant = state.grant(Millis(START), 1, 3);
        assert_eq!(granted(&state, START, &[1, 5, 2], Priority::Active), Some(2), "the other bucket is free");
        assert_eq!(
            granted(&state, START + 8_119, &[1], Priority::Active),
            None,
            "no word: the grant counts as used at its end"
        );
        state.outcome(Millis(START + 200), grant, Outcome::Sent);
        assert_eq!(granted(&state, START + 5_319, &[1], Priority::Active), None);
        assert_eq!(granted(&state, START + 5_320, &[1], Priority::Active), Some(1));
    }

    #[test]
    fn a_late_or_repeated_word_never_frees_a_bucket_that_was_granted_again() {
        let mut state = state(1, 900);
        let first = state.grant(Millis(START), 1, 0);
        let second = state.grant(Millis(START + 8_120), 1, 1);
        state.outcome(Millis(START + 8_200), first, Outcome::Unused);
        assert_eq!(granted(&state, START + 8_300, &[2], Priority::Live), None);
        state.outcome(Millis(START + 8_400), second, Outcome::Sent);
        state.outcome(Millis(START + 8_500), second, Outcome::Unused);
        assert_eq!(granted(&state, START + 13_519, &[2], Priority::Live), None);
        assert_eq!(granted(&state, START + 13_520, &[2], Priority::Live), Some(2));
    }

    #[test]
    fn a_grant_that_is_given_back_costs_neither_time_nor_budget() {
        let mut state = state(1, 900);
        let grant = state.grant(Millis(START), 1, 0);
        assert_eq!(state.remaining(), 899);
        state.outcome(Millis(START + 50), grant, Outcome::Unused);
        assert_eq!((state.remaining(), granted(&state, START + 50, &[1], Priority::Active)), (900, Some(1)));
        assert_eq!((state.lapse(Millis(START + 99_000)), state.failed()), (None, 0));
    }

    #[test]
    fn the_reserve_is_for_live_shards_and_the_budget_is_never_passed() {
        let mut state = state(16, 201);
        assert_eq!(granted(&state, START, &[0], Priority::Active), Some(0));
        state.grant(Millis(START), 1, 0);
        assert_eq!(granted(&state, START, &[1], Priority::Active), None);
        assert_eq!(granted(&state, START, &[1], Priority::Standby), None);
        assert_eq!(granted(&state, START, &[1], Priority::Live), Some(1));
        for shard in 0..189 {
            state.grant(Millis(START + 10), 1, shard);
        }
        assert_eq!((state.remaining(), granted(&state, START + 20_000, &[1], Priority::Live)), (11, Some(1)));
        state.grant(Millis(START + 20_000), 1, 1);
        assert_eq!((state.remaining(), granted(&state, START + 40_000, &[1], Priority::Live)), (10, None));
        assert_eq!(
            granted(&state, START + 4_000_000, &[1], Priority::Live),
            None,
            "past the reset Discord is asked first"
        );
    }

    #[test]
    fn a_shard_that_burns_identifies_has_no_part_in_the_reserve() {
        let mut state = state(1, 206);
        let mut now = START;
        let mut burned = 0;
        while let Some(shard) = granted(&state, now, &[0], Priority::Live) {
            let grant = state.grant(Millis(now), 1, shard);
            state.outcome(Millis(now), grant, Outcome::Ready);
            burned += 1;
            now = state.backs_off_until(Millis(now), 1, 0).0.max(now + 9_000);
        }
        assert_eq!((burned, state.remaining()), (6, 200));
        assert_eq!(granted(&state, now, &[1], Priority::Live), Some(1), "it is kept for others");
        assert_eq!(now, START + 3_600_000, "and it waits for the next day");
    }

    #[test]
    fn a_grant_of_which_nothing_more_is_heard_has_failed_and_a_late_ready_mends_it() {
        let mut state = state(16, 900);
        let grants: Vec<_> = (0..20).map(|shard| state.grant(Millis(START), 1, shard)).collect();
        assert_eq!(state.lapse(Millis(START + 59_999)), Some(Millis(START + 60_000)));
        assert_eq!((state.failed(), state.tripped(Millis(START + 59_999))), (0, None));
        assert_eq!(state.lapse(Millis(START + 60_000)), None);
        assert_eq!((state.failed(), state.tripped(Millis(START + 60_000))), (20, Some((20, 30))));
        state.outcome(Millis(START + 70_000), grants[3], Outcome::Ready);
        assert_eq!(state.tripped(Millis(START + 70_000)), None);
    }

    #[test]
    fn what_pods_on_fallback_schedule_spent_between_two_answers_was_not_spent_by_strangers() {
        let mut state = state(1, 900);
        let at = |seconds: u64| Millis(START + seconds * 1_000);
        let said = |state: &mut State, seconds, remaining| {
            state.set(at(seconds), limits(1, remaining, at(seconds).0));
            state.unattributed()
        };
        let list = |state: &mut State, seconds| {
            state.set_pods(at(seconds), Pace::REAL, [(1, 0, 1)], [("u0".to_owned(), 1, 0)]);
        };
        list(&mut state, 0);
        state.heard(at(0), "u0", at(0));
        list(&mut state, 30);
        state.heard(at(30), "u0", at(30));
        assert_eq!(said(&mut state, 60, 900), 0);
        // Silent until 100 s: it identified by the fallback schedule, and is heard again before Discord is asked.
        state.heard(at(100), "u0", at(100));
        assert_eq!(said(&mut state, 120, 899), 0);
        state.heard(at(140), "u0", at(140));
        assert_eq!(said(&mut state, 150, 899), 0);
        assert_eq!(said(&mut state, 180, 895), 4, "nobody was in doubt since the answer before");
    }

    #[test]
    fn a_tripped_breaker_is_one_probe_at_a_time_for_all_buckets() {
        let mut state = state(16, 900);
        for shard in 0..20 {
            let grant = state.grant(Millis(START), 1, shard);
            state.outcome(Millis(START), grant, Outcome::Failed);
        }
        let probe_at = START + 30_000;
        assert_eq!(granted(&state, probe_at - 1, &[40], Priority::Live), None);
        assert_eq!(granted(&state, probe_at, &[40], Priority::Live), Some(40));
        let probe = state.grant(Millis(probe_at), 1, 40);
        assert_eq!(granted(&state, probe_at + 5_000, &[41], Priority::Live), None);
        state.outcome(Millis(probe_at + 6_000), probe, Outcome::Ready);
        assert_eq!(granted(&state, probe_at + 6_000, &[41], Priority::Live), Some(41));
    }

    /// Pods, Discord and the way between them, as unkind as allowed.
    #[derive(Debug)]
    struct Unkind {
        seed: u64,
    }

    impl Unkind {
        fn below(&mut self, most: u64) -> u64 {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) % most
        }
    }

    /// One pod that may be on the fallback schedule, and the two that are heard.
    const FALLBACK: Place = Place { fallback_slot: 1, ordinal: 1, pods: 3 };

    fn hear(state: &mut State, now: Millis) {
        let pods = (0..3).map(|ordinal| (format!("u{ordinal}"), 1, ordinal));
        state.set_pods(now, Pace::REAL, [(1, 1, 3), (2, 2, 1)], pods);
        state.heard(back(now), "u0", now);
        state.heard(back(now), "u2", now);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_pods_say_or_leave_out_discords_rules_hold(seed: u64, buckets in 1_u32..6) {
            let mut world = Unkind { seed };
            // The gate's clock is one second off Discord's own, and Date is cut to seconds.
            let discord = |gate: u64| gate + 40_000_700;
            let mut state = State::new(Millis(0), 0);
            let mut booked = 400_u32;
            let mut sent: HashMap<u32, u64> = HashMap::new();
            let mut on_the_way: Vec<(u64, u64, Outcome)> = Vec::new();
            let mut live_since: Option<u64> = None;
            let mut now = START;
            for _ in 0..4_000 {
                now += world.below(700);
                on_the_way.sort_unstable_by_key(|(at, ..)| *at);
                while on_the_way.first().is_some_and(|(at, ..)| *at <= now) {
                    let (at, grant, outcome) = on_the_way.remove(0);
                    state.outcome(Millis(at), grant, outcome);
                }
                state.lapse(Millis(now));
                hear(&mut state, Millis(now));
                let time = DiscordTime {
                    said_ms: discord(now) / 1_000 * 1_000, asked_at: Millis(now), answered_at: Millis(now),
                };
                state.tell_time(time);
                state.set(Millis(now), limits(buckets, booked, now));
                let (layout, priority) = (1 + u32::try_from(world.below(2)).unwrap(), [Priority::Live, Priority::Active, Priority::Standby][usize::try_from(world.below(3)).unwrap()]);
                let shard = u32::try_from(world.below(if layout == 1 { 48 } else { 31 })).unwrap();
                let shards = [shard, (shard + 1) % 31];
                match state.decide(Millis(now), &Request { layout, shards: shards.to_vec(), priority }) {
                    Decision::Grant { shard } => {
                        prop_assert!(priority == Priority::Live || state.remaining() > 200);
                        prop_assert!(booked > 0, "beyond the budget");
                        live_since = live_since.filter(|_| priority != Priority::Live);
                        let grant = state.grant(Millis(now), layout, shard);
                        let fate = world.below(10);
                        if fate == 0 {
                            on_the_way.push((now + world.below(3_000), grant, Outcome::Unused));
                            continue;
                        }
                        // It may leave at any time within the grant, and is on the way for at most the slack.
                        let there_at = now + world.below(GRANT_VALID_MS) + world.below(120);
                        let before = sent.insert(shard % buckets, there_at);
                        prop_assert!(before.is_none_or(|before| there_at >= before + 5_000), "{before:?} {there_at}");
                        let theirs = discord(there_at);
                        let near = (theirs - APART_MS + 121..theirs + APART_MS - 121).step_by(119);
                        let met = near.into_iter().find(|at| FALLBACK.slot_at(*at).is_some_and(|slot| may_leave(slot, *at)));
                        prop_assert!(met.is_none(), "out at {theirs}, theirs at {met:?}, slots are {SLOT_MS}");
                        booked -= 1;
                        let outcome = [Outcome::Ready, Outcome::Invalid, Outcome::Failed, Outcome::Ready][usize::try_from(world.below(4)).unwrap()];
                        if fate > 2 {
                            on_the_way.push((there_at, grant, Outcome::Sent));
                            on_the_way.push((there_at + 1 + world.below(4_000), grant, outcome));
                        } else if fate == 2 {
                            on_the_way.push((there_at + 1 + world.below(90_000), grant, outcome));
                        }
                    }
                    Decision::WaitUntil { at, .. } => {
                        prop_assert!(at > Millis(now), "waiting for the past is a hot loop");
                        if priority == Priority::Live && booked > 0 && live_since.is_none() {
                            live_since = Some(now);
                        }
                        // The longest wait there is: a probe's.
                        let waited = live_since.map_or(0, |since| now - since);
                        prop_assert!(booked == 0 || waited < 1_000_000, "live shards starve: {waited} ms");
                    }
                }
            }
            prop_assert!(state.granted() > 50);
        }
    }
}
