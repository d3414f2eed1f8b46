//! FallbackSchedule of many pods with clocks that only Discord's `Date` tells, on one line of Discord's time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shard_discord::Dated;

use super::*;

/// Discord allows one IDENTIFY a bucket in this time.
const IDENTIFY_WINDOW_MS: u64 = 5_000;

/// One pod's question in its slot.
#[derive(Clone, Debug)]
struct Ask {
    place: Place,
    /// When it asks, in the slot.
    at_ms: u64,
    /// How long the request and the answer travel.
    there_ms: u64,
    back_ms: u64,
    /// By how much the clock that dated its answer is wrong.
    skew_ms: i64,
    /// How late in its window it identifies, 0 to 1, and how long that travels.
    late: f64,
    travel_ms: u64,
}

fn ask(pods: u32) -> impl Strategy<Value = Ask> {
    let place =
        (0..4_u32, 0..pods).prop_map(move |(fallback_slot, ordinal)| Place { fallback_slot, ordinal, pods });
    let times = (0..3_000_u64, 0..900_u64, 0..900_u64, -2_000..2_000_i64);
    (place, times, 0.0..1.0_f64, 0..1_000_u64).prop_map(
        |(place, (at_ms, there_ms, back_ms, skew_ms), late, travel_ms)| Ask {
            place,
            at_ms,
            there_ms,
            back_ms,
            skew_ms,
            late,
            travel_ms,
        },
    )
}

const fn limits(remaining: u32) -> Limits {
    Limits { total: 1_000, remaining, reset_after: Duration::ZERO, max_concurrency: 4, reading: None }
}

const fn dated(said_ms: u64, asked_at: Instant, answered_at: Instant) -> Dated {
    Dated { said_ms, asked_at, answered_at }
}

fn read(said_ms: u64, asked_at: Instant, answered_at: Instant) -> Reading {
    Reading::new(dated(said_ms, asked_at, answered_at), Pace::REAL)
}

/// When its IDENTIFY reaches Discord, by Discord's true time; none: it has nothing in this slot.
fn identify(ask: &Ask, slot: u64, origin: Instant) -> Option<(u64, bool)> {
    let instant = |at_ms: u64| origin + Duration::from_millis(at_ms);
    let stamped = slot + ask.at_ms + ask.there_ms;
    let shown = stamped.saturating_add_signed(ask.skew_ms);
    let asked = instant(slot + ask.at_ms);
    let answered = instant(stamped + ask.back_ms);
    let reading = read(shown - shown % 1_000, asked, answered);
    let (from, allowance) = allowance(slot, reading, &limits(900), answered).ok()?;
    let leaves = from + (allowance.until - from).mul_f64(ask.late);
    let leaves_ms = u64::try_from(leaves.duration_since(origin).as_millis()).unwrap();
    let by_date = leaves_ms.saturating_add_signed(ask.skew_ms);
    let inside = shard_contract::fallback::may_leave(slot, by_date);
    Some((leaves_ms + ask.travel_ms, inside))
}

proptest! {
    #[test]
    fn no_two_identifies_of_a_bucket_come_within_five_seconds_whatever_the_clocks(
        asks in (1..5_u32).prop_flat_map(|pods| prop::collection::vec(ask(pods), 2..60)),
    ) {
        let origin = Instant::now();
        let mut arrivals = BTreeMap::new();
        let mut from = 3_600_000;
        for one in &asks {
            // Each asks in its next slot after the one before, so that neighbours in time are often different pods; a
            // slot is one place's alone.
            let slot = one.place.next_slot(from);
            if let Some((arrives, inside)) = identify(one, slot, origin) {
                prop_assert!(inside, "left outside of 1 s to 3 s: {one:?}");
                prop_assert_eq!(arrivals.insert(arrives, slot), None);
            }
            from = slot + 1;
        }
        let times: Vec<_> = arrivals.keys().collect();
        for pair in times.windows(2) {
            prop_assert!(*pair[1] - *pair[0] >= IDENTIFY_WINDOW_MS, "{arrivals:?}");
        }
    }

    #[test]
    fn a_quick_answer_early_in_the_slot_always_gives_an_allowance(at_ms in 0..1_500_u64, rtt_ms in 0..400_u64) {
        let place = Place { fallback_slot: 0, ordinal: 0, pods: 1 };
        let one = Ask {
            place, at_ms, there_ms: rtt_ms / 2, back_ms: rtt_ms / 2, skew_ms: 0, late: 0.5, travel_ms: 0,
        };
        prop_assert!(identify(&one, 60_000, Instant::now()).is_some(), "{one:?}");
    }
}

#[test]
fn a_spent_budget_and_an_answer_that_took_too_long_are_no_allowance() {
    let now = Instant::now();
    let reading = read(60_000, now, now);
    let (from, first) = allowance(60_000, reading, &limits(202), now).unwrap();
    assert_eq!((first.buckets, first.most), (4, 2));
    let millis = |from: Instant| from.duration_since(now).as_millis();
    assert_eq!((millis(from), millis(first.until)), (1_000, 1_999), "surely after 1 s and before 3 s");
    assert!(matches!(allowance(60_000, reading, &limits(200), now), Err(NoSlot::Budget { .. })));
    let late = read(61_000, now, now + Duration::from_millis(1_100));
    assert!(matches!(allowance(60_000, late, &limits(900), now), Err(NoSlot::Late)));
    let jumped = read(20_000, now, now);
    assert!(matches!(allowance(60_000, jumped, &limits(900), now), Err(NoSlot::Late)));
}

#[test]
fn discords_time_passes_as_fast_as_its_pace() {
    let now = Instant::now();
    let reading = Reading::new(dated(60_000, now, now), Pace::from(10));
    let (from, until) = reading.window(60_000);
    assert_eq!((from.duration_since(now).as_millis(), until.duration_since(now).as_millis()), (100, 199));
    assert_eq!(reading.least(now + Duration::from_millis(50)), 60_500);
}
