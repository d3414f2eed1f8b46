//! The gate's own clock, and how Discord's follows from it.
//!
//! From the `Date` of Discord's answer, which says whole seconds, and when it was asked for, to the bounds of Discord's time
//! now. For the rules that keep clear of the fallback schedule. Times are whole milliseconds. Deliberately absent: reading any clock.

pub use shard_contract::buckets::Millis;
use shard_contract::pace::Pace;

/// What the `Date` of one of Discord's answers says, in milliseconds since 1970, and between which moments it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscordTime {
    /// The start of the second that it names.
    pub said_ms: u64,
    /// When the question went out.
    pub asked_at: Millis,
    /// When the answer was here.
    pub answered_at: Millis,
}

/// `Date` is cut to whole seconds.
const GRANULE_MS: u64 = 1_000;
/// Two clocks run apart by less than 1 part in this.
const DRIFT: u64 = 5_000;
/// An older answer says too little.
const KEPT_MS: u64 = 3_600_000;

impl DiscordTime {
    /// The earliest and the latest that it can be at Discord now; none when the answer is too old to say.
    #[must_use]
    pub fn bounds(&self, now: Millis, pace: Pace) -> Option<(u64, u64)> {
        let (least, most) = (now.since(self.answered_at), now.since(self.asked_at));
        if most > KEPT_MS {
            return None;
        }
        let (least, most) = (pace.discord_ms(least), pace.discord_ms(most));
        let early = (self.said_ms + least).saturating_sub(least / DRIFT + 1);
        Some((early, self.said_ms + GRANULE_MS + most + most / DRIFT + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_hold_discords_time_whatever_the_second_and_the_travel_time() {
        for (written, travelled, later, factor) in
            [(12_000_u64, 40_u64, 0_u64, 1_u32), (12_999, 0, 5_000, 1), (12_345, 800, 45_000, 10)]
        {
            let pace = Pace::from(factor);
            let time = DiscordTime {
                said_ms: written - written % 1_000,
                asked_at: Millis(100),
                answered_at: Millis(100 + travelled),
            };
            // It was written somewhere on the way.
            for on_the_way in [0, travelled / 2, travelled] {
                let now = Millis(100 + travelled + later);
                let truth = written + pace.discord_ms(travelled - on_the_way + later);
                let (early, late) = time.bounds(now, pace).unwrap();
                assert!(early <= truth && truth <= late, "{early} {truth} {late}");
            }
        }
        let old = DiscordTime { said_ms: 0, asked_at: Millis(0), answered_at: Millis(0) };
        assert_eq!(old.bounds(Millis(KEPT_MS + 1), Pace::REAL), None);
    }
}
