//! Layout arithmetic: which pod holds which shards.
//!
//! From a total and a number of pods to consecutive ranges whose sizes differ by at most one, the larger ones first,
//! and back. The operator plans with it and the pods start by it. Deliberately absent: guilds, which Discord routes by
//! `(guild_id >> 22) % total` (<https://docs.discord.com/developers/events/gateway#sharding>).

use std::ops::Range;

/// The largest total that is accepted, in shards. Discord names no limit; 16,384 shards hold 40 million guilds.
pub const MAX_TOTAL: u32 = 16_384;

/// How many pods hold `total` shards at `shards_per_pod` each: `ceil(total / shards_per_pod)`, 0 for no shards.
///
/// A `shards_per_pod` of 0 makes no sense and counts as 1.
#[must_use]
pub const fn pods_for(total: u32, shards_per_pod: u32) -> u32 {
    total.div_ceil(if shards_per_pod == 0 { 1 } else { shards_per_pod })
}

/// The shard ids that the pod with this ordinal holds; empty when there is no such pod.
#[must_use]
pub const fn shards_of(ordinal: u32, pods: u32, total: u32) -> Range<u32> {
    if ordinal >= pods {
        return 0..0;
    }
    let (size, larger) = (total / pods, total % pods);
    let start = ordinal * size + if ordinal < larger { ordinal } else { larger };
    start..start + size + if ordinal < larger { 1 } else { 0 }
}

/// The ordinal of the pod that holds this shard; `None` when the layout has no such shard.
#[must_use]
pub const fn pod_of(shard: u32, pods: u32, total: u32) -> Option<u32> {
    if shard >= total || pods == 0 {
        return None;
    }
    let (size, larger) = (total / pods, total % pods);
    let in_larger = larger * (size + 1);
    Some(if shard < in_larger { shard / (size + 1) } else { larger + (shard - in_larger) / size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_shards_over_three_pods_are_three_three_and_two() {
        let ranges: Vec<_> = (0..3).map(|ordinal| shards_of(ordinal, 3, 8)).collect();
        assert_eq!(ranges, [0..3, 3..6, 6..8]);
    }

    #[test]
    fn each_shard_has_exactly_one_pod_and_sizes_differ_by_at_most_one() {
        for total in (0..80).chain([256, 1_000, 4_097, MAX_TOTAL]) {
            for pods in 1..=total.clamp(1, 70) {
                let mut next = 0;
                let (mut least, mut most) = (u32::MAX, 0);
                for ordinal in 0..pods {
                    let range = shards_of(ordinal, pods, total);
                    assert_eq!(range.start, next, "total {total}, pods {pods}, ordinal {ordinal}");
                    assert!(range.clone().all(|shard| pod_of(shard, pods, total) == Some(ordinal)));
                    least = least.min(range.end - range.start);
                    most = most.max(range.end - range.start);
                    next = range.end;
                }
                assert_eq!(next, total);
                assert!(most - least <= 1, "total {total}, pods {pods}");
            }
        }
    }

    #[test]
    fn nothing_outside_the_layout_has_a_place() {
        assert!(shards_of(3, 3, 8).is_empty());
        assert_eq!(pod_of(8, 3, 8), None);
        assert_eq!(pod_of(0, 0, 0), None);
        assert_eq!(pods_for(0, 16), 0);
        assert_eq!(pods_for(17, 16), 2);
        assert_eq!(pods_for(5, 0), 5);
    }
}
