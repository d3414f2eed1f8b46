//! Gate and fallback schedule meeting each other: never two IDENTIFYs of a bucket within Discord's five seconds.
//!
//! From many fleets whose pods lose the gate and find it again, and a leader that goes and is followed by a fresh one, to the
//! moments at which IDENTIFYs arrive at Discord. The pods' side is [`shard_contract::fallback`] with clocks that are wrong within
//! the allowed bound; the gate's side is a small model of what it promises (`docs/protocols.md` section 2): its opening wait, one
//! grant a bucket until 5.12 s after the word or the grant's end, and nothing near the slots of a pod that may be on the fallback schedule.
//! Everything wants to IDENTIFY at every moment. Deliberately absent: budget, back-off and ten minutes a shard, each of
//! which only makes IDENTIFYs rarer.

use proptest::prelude::*;
use shard_contract::{
    fallback::{ALONE_MS, APART_MS, DOUBTFUL_MS, FROM_MS, LAYOUT_SLOTS, Place, SLOT_MS, UNTIL_MS, may_leave},
    identify::GRANT_VALID_MS,
};

/// Discord's window (<https://docs.discord.com/developers/events/gateway#rate-limiting>).
const WINDOW_MS: u64 = 5_000;
/// What travel times vary by.
const TRAVEL_MS: u64 = 120;
/// A fresh leader grants nothing for so long.
const OPENING_MS: u64 = 9_000;
/// By so much a pod's idea of Discord's time may be wrong, and the leader's.
const SKEW_MS: u64 = 2_000;
const TICK: usize = 50;
const TICK_MS: u64 = TICK as u64;
const LASTS_MS: u64 = 900_000;
const NEVER: u64 = u64::MAX;

/// One pod.
#[derive(Clone, Debug)]
struct Pod {
    place: Place,
    /// Its clock shows Discord's time, and this less 2 s.
    skew_ms: u64,
    /// In its slot it leaves so long after the first moment that is allowed.
    leaves_after_ms: u64,
    /// When it heard a leader last, before the beginning.
    silent_ms: u64,
    /// From when to when it is cut off, after the beginning.
    cut_off: (u64, u64),
    calls_every_ms: u64,
}

/// One story.
#[derive(Clone, Debug)]
struct Story {
    begins_ms: u64,
    buckets: usize,
    pods: Vec<Pod>,
    /// When the first leader goes and the next comes.
    gone_ms: u64,
    away_ms: u64,
    /// How wrong the leader is at most about Discord's time, either way.
    doubt_ms: (u64, u64),
    dice: Vec<u64>,
}

/// What a pod knows.
#[derive(Clone, Debug)]
struct Knows {
    answered_at: u64,
    /// The newest answer: which leader gave it, and when.
    word: Option<(u8, u64)>,
    next_call: u64,
    used_slot: u64,
    last_turn: u64,
}

/// What the leader knows.
#[derive(Clone, Debug)]
struct Leader {
    number: u8,
    opens_at: u64,
    heard: Vec<Option<u64>>,
    free_at: Vec<u64>,
}

/// Arrivals at Discord by bucket, and how many of them came by the fallback schedule and by grants.
#[derive(Debug, Default)]
struct Seen {
    arrivals: Vec<Vec<u64>>,
    by_turns: usize,
    by_grants: usize,
}

impl Story {
    /// Runs it. `named_after_ms`: for how long after a slot a pod names no answer.
    fn run(&self, named_after_ms: u64) -> Seen {
        let mut seen = Seen { arrivals: vec![Vec::new(); self.buckets], ..Seen::default() };
        let mut dice = self.dice.iter().copied().cycle();
        let mut roll = |below: u64| dice.next().unwrap_or_default() % below;
        let mut pods: Vec<Knows> = self.pods.iter().map(|pod| self.before(pod)).collect();
        let heard = pods.iter().map(|pod| Some(pod.answered_at)).collect();
        let mut leader = Leader { number: 1, opens_at: 0, heard, free_at: vec![0; self.buckets] };
        for at in (0..LASTS_MS).step_by(TICK) {
            let now = self.begins_ms + at;
            let away = (self.gone_ms..self.gone_ms + self.away_ms).contains(&at);
            if !away && at >= self.gone_ms && leader.number == 1 {
                let (heard, free_at) = (vec![None; pods.len()], vec![0; self.buckets]);
                leader = Leader { number: 2, opens_at: now + OPENING_MS, heard, free_at };
            }
            for (index, (pod, knows)) in self.pods.iter().zip(&mut pods).enumerate() {
                let reached = !away && !(pod.cut_off.0..pod.cut_off.1).contains(&at);
                if reached && now >= knows.next_call {
                    let named = leader.is_called(index, knows, now, named_after_ms);
                    // At first it is answered at once and calls again; then its calls are held.
                    knows.next_call = now + if named { pod.calls_every_ms } else { TICK_MS };
                }
                if pod.leaves(knows, now) {
                    knows.last_turn = now;
                    seen.by_turns += 1;
                    seen.arrivals.iter_mut().for_each(|bucket| bucket.push(now + roll(TRAVEL_MS + 1)));
                }
            }
            if away || now < leader.opens_at {
                continue;
            }
            for bucket in 0..self.buckets {
                if leader.free_at[bucket] > now || self.denies(&leader, now) {
                    continue;
                }
                let (out, end) = (now + roll(GRANT_VALID_MS), now + GRANT_VALID_MS);
                // The word that it went out may take its time, or never come.
                let told = if roll(4) == 0 { end } else { end.min(out + roll(300)) };
                // Now and then nobody waits for a while, so that grants fall anywhere.
                leader.free_at[bucket] =
                    told + WINDOW_MS + TRAVEL_MS + if roll(3) == 0 { roll(9_000) } else { 0 };
                seen.by_grants += 1;
                seen.arrivals[bucket].push(out + roll(TRAVEL_MS + 1));
            }
        }
        seen.arrivals.iter_mut().for_each(|bucket| bucket.sort_unstable());
        seen
    }

    fn before(&self, pod: &Pod) -> Knows {
        let answered_at = self.begins_ms - pod.silent_ms;
        let next_call = self.begins_ms + pod.leaves_after_ms;
        Knows { answered_at, word: Some((1, answered_at)), next_call, used_slot: NEVER, last_turn: NEVER }
    }

    /// Whether the leader grants nothing now, because what it leads to could come near a doubtful pod's slot.
    fn denies(&self, leader: &Leader, now: u64) -> bool {
        let (early, late) = (now - self.doubt_ms.0, now + GRANT_VALID_MS + self.doubt_ms.1);
        self.pods.iter().zip(&leader.heard).any(|(pod, heard)| {
            let doubtful = heard.is_none_or(|given_at| now - given_at >= DOUBTFUL_MS);
            let slot = pod.place.next_slot(early - UNTIL_MS - APART_MS);
            doubtful && slot + FROM_MS <= late + APART_MS
        })
    }
}

impl Leader {
    /// A pod calls and is answered; whether it ever named an answer of this leader's.
    fn is_called(&mut self, index: usize, knows: &mut Knows, now: u64, named_after_ms: u64) -> bool {
        let quiet = knows.last_turn != NEVER && now < knows.last_turn + named_after_ms;
        if let Some((number, given_at)) = knows.word.filter(|_| !quiet)
            && number == self.number
        {
            self.heard[index] = self.heard[index].max(Some(given_at));
        }
        knows.word = Some((self.number, now));
        knows.answered_at = now;
        self.heard[index].is_some()
    }
}

impl Pod {
    /// Whether it identifies now, by the fallback schedule: as soon as it leaves once in each of its slots.
    fn leaves(&self, knows: &mut Knows, now: u64) -> bool {
        let shows = now + self.skew_ms - SKEW_MS;
        let Some(slot) = self.place.slot_at(shows) else { return false };
        let alone = now - knows.answered_at >= ALONE_MS;
        let leaves = alone
            && slot != knows.used_slot
            && may_leave(slot, shows)
            && shows >= slot + FROM_MS + self.leaves_after_ms;
        if leaves {
            knows.used_slot = slot;
        }
        leaves
    }
}

impl Seen {
    /// The closest that two of a bucket came to each other.
    fn closest(&self) -> u64 {
        let gaps = self.arrivals.iter().flat_map(|bucket| bucket.windows(2).map(|pair| pair[1] - pair[0]));
        gaps.min().unwrap_or(NEVER)
    }
}

/// Anything up to here, and often the ends.
fn up_to(most: u64) -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..=most, Just(most)]
}

fn pod(place: Place) -> impl Strategy<Value = Pod> {
    let cut_off = (0..LASTS_MS / 2, 0..LASTS_MS / 2).prop_map(|(from, long)| (from, from + long));
    (up_to(2 * SKEW_MS), up_to(UNTIL_MS - FROM_MS - TICK_MS), 0..2 * ALONE_MS, cut_off, 100..15_000_u64)
        .prop_map(move |(skew_ms, leaves_after_ms, silent_ms, cut_off, calls_every_ms)| Pod {
            place,
            skew_ms,
            leaves_after_ms,
            silent_ms,
            cut_off,
            calls_every_ms,
        })
}

/// One to three layouts, each with a slot of its own.
fn fleet() -> impl Strategy<Value = Vec<Pod>> {
    (prop::collection::vec(1..4_u32, 1..4), 0..LAYOUT_SLOTS).prop_flat_map(|(layouts, first)| {
        let places = (first..).zip(layouts).flat_map(|(slot, pods)| {
            (0..pods).map(move |ordinal| Place { fallback_slot: slot % LAYOUT_SLOTS, ordinal, pods })
        });
        places.map(pod).collect::<Vec<_>>()
    })
}

fn story() -> impl Strategy<Value = Story> {
    let times = (0..100 * SLOT_MS, 0..LASTS_MS, 0..LASTS_MS / 2);
    let dice = prop::collection::vec(any::<u32>().prop_map(u64::from), 40..80);
    (times, 1..3_usize, fleet(), (up_to(SKEW_MS), up_to(SKEW_MS)), dice).prop_map(
        |((begins_ms, gone_ms, away_ms), buckets, pods, doubt_ms, dice)| Story {
            begins_ms: 1_700_000_000_000 + begins_ms,
            buckets,
            pods,
            gone_ms,
            away_ms,
            doubt_ms,
            dice,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn grants_and_the_fallback_schedule_never_meet_within_five_seconds(story in story()) {
        let seen = story.run(APART_MS);
        prop_assert!(seen.closest() >= WINDOW_MS, "{} ms apart: {:?}", seen.closest(), seen);
    }
}

/// A pod of one that was on the fallback schedule and hears the leader right after its slot.
fn back_right_after_its_slot() -> Story {
    let place = Place { fallback_slot: 0, ordinal: 0, pods: 1 };
    let begins_ms = place.next_slot(1_700_000_000_000) - 60_000;
    let pod = Pod {
        place,
        skew_ms: SKEW_MS,
        leaves_after_ms: 1_500,
        silent_ms: ALONE_MS,
        cut_off: (0, 62_600),
        calls_every_ms: 1_000,
    };
    Story {
        begins_ms,
        buckets: 1,
        pods: vec![pod],
        gone_ms: LASTS_MS,
        away_ms: 0,
        doubt_ms: (500, 500),
        dice: vec![1],
    }
}

#[test]
fn a_pod_that_named_an_answer_right_after_its_slot_would_have_a_grant_meet_it() {
    let story = back_right_after_its_slot();
    let (at_once, later) = (story.run(0), story.run(APART_MS));
    assert!(at_once.by_turns > 0 && at_once.by_grants > 0, "{at_once:?}");
    assert!(at_once.closest() < WINDOW_MS, "{at_once:?}");
    assert!(later.closest() >= WINDOW_MS && later.by_grants > 0, "{later:?}");
}
