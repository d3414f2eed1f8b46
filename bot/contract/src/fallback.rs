//! The fallback schedule: when a pod may IDENTIFY without the gate, as a last resort.
//!
//! Discord's time, read off the `Date` of its answer to `GET /gateway/bot`, is cut into slots of 15 s. Each slot belongs to
//! one pod of one layout for all its buckets: `slot mod 4` is the layout's fallback slot, `slot div 4 mod pods` the ordinal. IDENTIFYs
//! leave from 1 s to 3 s of the slot, one a bucket, while more than a fifth of the budget is left, at most once a shard in
//! ten minutes. Pure; all times are Discord's, in milliseconds since 1970. Deliberately absent: clocks and calls, and
//! whether a pod is on the fallback schedule, which [`ALONE_MS`] and [`DOUBTFUL_MS`] decide on the two sides.

/// Length of a slot.
pub const SLOT_MS: u64 = 15_000;
/// How many fallback slots layouts can have.
pub const LAYOUT_SLOTS: u32 = 4;
/// IDENTIFYs leave from here in the slot ...
pub const FROM_MS: u64 = 1_000;
/// ... to here.
pub const UNTIL_MS: u64 = 3_000;
/// A pod without an answer from any replica for this long is on the fallback schedule.
pub const ALONE_MS: u64 = 60_000;
/// A pod whose newest answer that it surely heard is older than this may be on the fallback schedule, as far as the gate can know.
pub const DOUBTFUL_MS: u64 = 45_000;
/// The gate grants nothing that could come less than this before or after a slot of such a pod's IDENTIFYs; and for so long
/// after its last one a pod names no answer, since from then on the gate need not keep clear of it any more.
pub const APART_MS: u64 = 7_500;
/// A shard tries at most once in this time.
pub const RETRY_MS: u64 = 600_000;
/// Only while more than this share of the budget is left, in percent.
pub const RESERVE_PERCENT: u64 = 20;

/// Whose slots are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layout's fallback slot, 0 to 3.
    pub fallback_slot: u32,
    /// The pod's ordinal.
    pub ordinal: u32,
    /// Pods of the layout; at least 1.
    pub pods: u32,
}

impl Place {
    /// Start of the first slot of this place that begins at or after this moment.
    #[must_use]
    pub const fn next_slot(self, at_ms: u64) -> u64 {
        let round = LAYOUT_SLOTS as u64 * self.pods_or_one();
        let mine = (self.ordinal as u64 % self.pods_or_one()) * LAYOUT_SLOTS as u64
            + (self.fallback_slot % LAYOUT_SLOTS) as u64;
        let first = at_ms.div_ceil(SLOT_MS);
        let ahead = (mine + round - first % round) % round;
        (first + ahead) * SLOT_MS
    }

    /// Start of the slot of this place that this moment is in, if it is in one.
    #[must_use]
    pub const fn slot_at(self, at_ms: u64) -> Option<u64> {
        let start = at_ms - at_ms % SLOT_MS;
        if self.next_slot(start) == start { Some(start) } else { None }
    }

    const fn pods_or_one(self) -> u64 {
        if self.pods == 0 { 1 } else { self.pods as u64 }
    }
}

/// Whether an IDENTIFY may leave at this moment of a slot.
#[must_use]
pub const fn may_leave(slot_ms: u64, at_ms: u64) -> bool {
    at_ms >= slot_ms + FROM_MS && at_ms < slot_ms + UNTIL_MS
}

/// Whether the budget allows the fallback schedule.
#[must_use]
pub const fn budget_allows(remaining: u32, total: u32) -> bool {
    remaining as u64 * 100 > total as u64 * RESERVE_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_belongs_to_one_place_and_each_place_has_its_slots() {
        for pods in [1, 2, 3, 16, 128] {
            for slot in 0..u64::from(pods) * 8 {
                let start = slot * SLOT_MS;
                let places = (0..LAYOUT_SLOTS).flat_map(|fallback_slot| {
                    (0..pods).map(move |ordinal| Place { fallback_slot, ordinal, pods })
                });
                let owners: Vec<_> = places.filter(|place| place.slot_at(start + 500).is_some()).collect();
                assert_eq!(owners.len(), 1, "pods {pods}, slot {slot}");
                assert_eq!(u64::from(owners[0].fallback_slot), slot % 4);
                assert_eq!(u64::from(owners[0].ordinal), slot / 4 % u64::from(pods));
                assert_eq!(owners[0].next_slot(start), start);
            }
        }
    }

    #[test]
    fn sixteen_pods_wait_sixteen_minutes_for_their_next_slot() {
        let place = Place { fallback_slot: 1, ordinal: 5, pods: 16 };
        let first = place.next_slot(0);
        assert_eq!(place.next_slot(first + 1) - first, 16 * 60_000);
    }

    #[test]
    fn identifies_leave_from_one_to_three_seconds_of_the_slot() {
        assert_eq!(
            [999, 1_000, 2_999, 3_000].map(|at| may_leave(60_000, 60_000 + at)),
            [false, true, true, false]
        );
        assert_eq!(
            [(201, 1_000), (200, 1_000), (0, 0)].map(|(left, of)| budget_allows(left, of)),
            [true, false, false]
        );
    }
}
