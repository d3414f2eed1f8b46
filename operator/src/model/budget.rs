//! What of a day's IDENTIFYs is kept, and from whom.
//!
//! From Discord's daily total to two shares of it; for the gate, which refuses by them, and for plan and report, which say so.
//! Deliberately absent: what is left.

/// Kept from everybody, one in a hundred: Discord's answer may be a minute old, or older while it does not answer, and whoever
/// shares the token may have spent some since. One IDENTIFY too many has the token reset
/// (<https://docs.discord.com/developers/events/gateway#session-start-limit-object>).
#[must_use]
pub const fn kept_from_all(total: u32) -> u32 {
    total / 100
}

/// Kept for live shards, by the spec's percentage; what is kept from everybody is part of it.
#[must_use]
pub fn kept_for_live(total: u32, percent: u32) -> u32 {
    let share = u64::from(total) * u64::from(percent) / 100;
    u32::try_from(share).unwrap_or(total).max(kept_from_all(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_total_and_never_less_than_what_is_kept_from_everybody() {
        assert_eq!([0, 99, 1_000, u32::MAX].map(kept_from_all), [0, 0, 10, 42_949_672]);
        let shares = [(1_000, 20), (1_000, 0), (500, 90), (u32::MAX, 90)];
        assert_eq!(
            shares.map(|(total, percent)| kept_for_live(total, percent)),
            [200, 10, 450, 3_865_470_565]
        );
    }
}
