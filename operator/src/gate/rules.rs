//! The rules of the gate, pure: (state, now, request) -> grant or wait until.
//!
//! One IDENTIFY per bucket `shard mod max_concurrency` per 5 s over the whole token, and never beyond the daily budget
//! (<https://docs.discord.com/developers/events/gateway#rate-limiting>); below the reserve only live shards. A grant is
//! good for 3 s; its bucket is free again 5.12 s after the pod told that the IDENTIFY went out, or after the grant's end
//! without that word. Deliberately absent: a clock, channels, and the order of waiters, which the gate's task keeps.

use shard_contract::identify::{GRANT_VALID_MS, Why};
use std::collections::{BTreeMap, VecDeque};

/// A moment on the gate's own monotonic clock, in milliseconds since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// The identify window of Discord, and the slack that travel times may use up.
const WINDOW_MS: u64 = 5_000 + 120;
/// A fresh process waits out a grant of its predecessor and the window after it, with slack.
const OPENING_MS: u64 = 9_000;

/// What a plan sets.
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
}

/// What to do with a request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This shard may identify.
    Grant {
        /// The first shard of the request whose bucket is free.
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
#[derive(Clone, Debug, Default)]
pub struct State {
    limits: Option<Limits>,
    remaining: u32,
    free_at: BTreeMap<u32, Millis>,
    open: BTreeMap<u64, Grant>,
    recent: VecDeque<Millis>,
    granted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    bucket: u32,
    at: Millis,
}

impl State {
    /// Closed: no limits are known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is left of the budget.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// How many grants were given.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.granted
    }

    /// Whether a grant has not been spoken of yet and still counts.
    #[must_use]
    pub fn is_open(&self, grant: u64) -> bool {
        self.open.contains_key(&grant)
    }

    /// Takes over what Discord said, less what it could not know yet.
    pub fn set(&mut self, now: Millis, limits: Limits) {
        let limits = Limits { max_concurrency: limits.max_concurrency.max(1), ..limits };
        let first = self.limits.is_none();
        let newer = self.limits.is_none_or(|before| limits.asked_at > before.asked_at);
        if self.limits.is_some_and(|before| before.max_concurrency != limits.max_concurrency) {
            self.rekey(limits.max_concurrency);
        }
        if newer {
            while self.recent.front().is_some_and(|at| at.0 + 60_000 < limits.asked_at.0) {
                self.recent.pop_front();
            }
            // An IDENTIFY leaves up to 3 s after its grant: one granted before the question may still have been under way.
            let unseen =
                self.recent.iter().filter(|at| at.0 + GRANT_VALID_MS + 1_000 > limits.asked_at.0).count();
            self.remaining = limits.remaining.saturating_sub(unseen.try_into().unwrap_or(u32::MAX));
        }
        if newer || first {
            self.limits = Some(limits);
        } else if let Some(kept) = &mut self.limits {
            kept.reserve_percent = limits.reserve_percent;
        }
        self.forget(now);
    }

    /// Decides about shards that wait for the same reason, most urgent first.
    #[must_use]
    pub fn decide(&self, now: Millis, shards: &[u32], why: Why) -> Decision {
        let wait = |at: Millis, because: String| Decision::WaitUntil { at, because };
        let Some(limits) = &self.limits else {
            return wait(
                Millis(now.0 + 1_000),
                "Discord has not yet said how many IDENTIFYs are left".into(),
            );
        };
        if now.0 < OPENING_MS {
            return wait(
                Millis(OPENING_MS),
                "the operator has just started and waits out what its predecessor may have granted".into(),
            );
        }
        let reserve = if why == Why::Live { 0 } else { Self::reserve(limits) };
        if self.remaining <= reserve {
            // Past the reset only a new answer of Discord counts.
            let at = if limits.resets_at > now { limits.resets_at } else { Millis(now.0 + 1_000) };
            return wait(
                at,
                format!(
                    "{} of {} daily IDENTIFYs are left and {reserve} are kept for live shards; the budget is full again in {} s",
                    self.remaining,
                    limits.total,
                    limits.resets_at.0.saturating_sub(now.0) / 1_000
                ),
            );
        }
        let free_at =
            |shard: &u32| self.free_at.get(&(shard % limits.max_concurrency)).copied().unwrap_or_default();
        match shards.iter().find(|shard| free_at(shard) <= now) {
            Some(&shard) => Decision::Grant { shard },
            None => wait(
                shards.iter().map(free_at).min().unwrap_or(Millis(now.0 + 1_000)),
                "another shard of the same bucket identified less than 5 s ago".into(),
            ),
        }
    }

    /// Carries out [`Decision::Grant`]; returns the grant's number.
    pub fn grant(&mut self, now: Millis, shard: u32) -> u64 {
        let bucket = shard % self.limits.map_or(1, |limits| limits.max_concurrency);
        self.forget(now);
        self.granted += 1;
        self.remaining = self.remaining.saturating_sub(1);
        self.free_at.insert(bucket, Millis(now.0 + GRANT_VALID_MS + WINDOW_MS));
        self.open.insert(self.granted, Grant { bucket, at: now });
        self.recent.push_back(now);
        self.granted
    }

    /// Takes note that a grant's IDENTIFY went out, or will not. Unknown and old grants change nothing.
    pub fn identified(&mut self, now: Millis, grant: u64, sent: bool) {
        let Some(Grant { bucket, at }) = self.open.remove(&grant) else { return };
        let end = Millis(at.0 + GRANT_VALID_MS + WINDOW_MS);
        if self.free_at.get(&bucket) != Some(&end) {
            return;
        }
        if sent {
            self.free_at.insert(bucket, Millis(now.0 + WINDOW_MS).min(end));
        } else {
            self.free_at.insert(bucket, now);
            self.remaining = self.remaining.saturating_add(1);
            if let Some(place) = self.recent.iter().position(|recent| *recent == at) {
                self.recent.remove(place);
            }
        }
    }

    fn reserve(limits: &Limits) -> u32 {
        let share = u64::from(limits.total) * u64::from(limits.reserve_percent) / 100;
        share.try_into().unwrap_or(u32::MAX)
    }

    /// With other buckets, what is known of the old ones counts for all.
    fn rekey(&mut self, max_concurrency: u32) {
        let Some(&latest) = self.free_at.values().max() else { return };
        self.free_at = (0..max_concurrency).map(|bucket| (bucket, latest)).collect();
        self.open.clear();
    }

    fn forget(&mut self, now: Millis) {
        self.open.retain(|_, grant| grant.at.0 + GRANT_VALID_MS + WINDOW_MS > now.0);
        self.free_at.retain(|_, at| *at > now);
        while self.recent.len() > 100_000 || self.recent.front().is_some_and(|at| at.0 + 600_000 < now.0) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 100_000;

    fn state(max_concurrency: u32, remaining: u32) -> State {
        let mut state = State::new();
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
        }
    }

    fn granted(state: &State, now: u64, shards: &[u32], why: Why) -> Option<u32> {
        match state.decide(Millis(now), shards, why) {
            Decision::Grant { shard } => Some(shard),
            Decision::WaitUntil { at, .. } => {
                assert!(at.0 > now, "waiting for the past is a hot loop");
                None
            }
        }
    }

    #[test]
    fn it_starts_closed_and_waits_out_its_predecessor() {
        assert_eq!(granted(&State::new(), START, &[0], Why::Live), None);
        let mut fresh = State::new();
        fresh.set(Millis(10), limits(1, 900, 10));
        assert_eq!(granted(&fresh, 8_999, &[0], Why::Live), None);
        assert_eq!(granted(&fresh, 9_000, &[0], Why::Live), Some(0));
    }

    #[test]
    fn a_bucket_is_shared_by_every_total_and_spaced_by_the_word_that_it_went_out() {
        let mut state = state(2, 900);
        let grant = state.grant(Millis(START), 3);
        assert_eq!(granted(&state, START, &[1, 5, 2], Why::Active), Some(2), "the other bucket is free");
        assert_eq!(
            granted(&state, START + 8_119, &[1], Why::Active),
            None,
            "no word: the grant counts as used at its end"
        );
        state.identified(Millis(START + 200), grant, true);
        assert_eq!(granted(&state, START + 5_319, &[1], Why::Active), None);
        assert_eq!(granted(&state, START + 5_320, &[1], Why::Active), Some(1));
    }

    #[test]
    fn a_late_or_repeated_word_never_frees_a_bucket_that_was_granted_again() {
        let mut state = state(1, 900);
        let first = state.grant(Millis(START), 0);
        let second = state.grant(Millis(START + 8_120), 1);
        state.identified(Millis(START + 8_200), first, false);
        assert_eq!(granted(&state, START + 8_300, &[2], Why::Live), None);
        state.identified(Millis(START + 8_400), second, true);
        state.identified(Millis(START + 8_500), second, false);
        assert_eq!(granted(&state, START + 13_519, &[2], Why::Live), None);
        assert_eq!(granted(&state, START + 13_520, &[2], Why::Live), Some(2));
    }

    #[test]
    fn a_grant_that_is_given_back_costs_neither_time_nor_budget() {
        let mut state = state(1, 900);
        let grant = state.grant(Millis(START), 0);
        assert_eq!(state.remaining(), 899);
        state.identified(Millis(START + 50), grant, false);
        assert_eq!((state.remaining(), granted(&state, START + 50, &[1], Why::Active)), (900, Some(1)));
    }

    #[test]
    fn the_reserve_is_for_live_shards_and_the_budget_is_never_passed() {
        let mut state = state(16, 201);
        assert_eq!(granted(&state, START, &[0], Why::Active), Some(0));
        state.grant(Millis(START), 0);
        assert_eq!(granted(&state, START, &[1], Why::Active), None);
        assert_eq!(granted(&state, START, &[1], Why::Standby), None);
        assert_eq!(granted(&state, START, &[1], Why::Live), Some(1));
        for shard in 0..200 {
            state.grant(Millis(START + 10), shard);
        }
        assert_eq!((state.remaining(), granted(&state, START + 20_000, &[1], Why::Live)), (0, None));
        assert_eq!(
            granted(&state, START + 4_000_000, &[1], Why::Live),
            None,
            "past the reset Discord is asked first"
        );
    }

    #[test]
    fn an_answer_of_discord_cannot_bring_back_what_is_under_way() {
        let mut state = state(16, 900);
        state.grant(Millis(START + 10_000), 0);
        state.grant(Millis(START + 14_000), 1);
        state.set(Millis(START + 15_200), limits(16, 899, START + 15_000));
        assert_eq!(state.remaining(), 898, "the second may not have reached Discord when it was asked");
        state.set(Millis(START + 15_300), limits(16, 950, START + 9_000));
        assert_eq!(state.remaining(), 898, "an older answer changes nothing");
    }

    #[test]
    fn no_bucket_is_ever_granted_twice_within_the_window_whatever_pods_say() {
        // A small deterministic generator instead of a clock or a random source.
        let mut seed = 7_u64;
        let mut next = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut state = state(4, 1_000);
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        let mut now = START;
        let mut grants = Vec::new();
        for _ in 0..20_000 {
            now += next(400);
            let shard = u32::try_from(next(64)).unwrap();
            if granted(&state, now, &[shard], Why::Live).is_some() {
                // The IDENTIFY may leave at any time within the grant.
                let sent_at = now + next(GRANT_VALID_MS);
                if let Some(before) = last.insert(shard % 4, sent_at) {
                    assert!(sent_at >= before + 5_000, "bucket {}: {before} then {sent_at}", shard % 4);
                }
                let grant = state.grant(Millis(now), shard);
                if next(3) > 0 {
                    grants.push((sent_at, grant));
                }
            }
            grants.retain(|&(sent_at, grant)| {
                let told = sent_at <= now;
                if told {
                    state.identified(Millis(now), grant, true);
                }
                !told
            });
            state.set(Millis(now), limits(4, 1_000, now));
        }
        assert!(state.granted() > 1_000);
    }
}
