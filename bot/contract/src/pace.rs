//! How fast Discord's time passes: 1 for Discord itself, more for a simulated one, so that tests of whole days are short.
//!
//! Only what follows Discord's clock is made shorter: the identify window, a grant's life, the fallback schedule, the day of the budget and
//! the waits that follow from them. Times on the way between machines are real and stay as they are. Deliberately absent:
//! Kubernetes' times, and the life of sessions.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The highest factor that is accepted.
pub const MAX_FACTOR: u32 = 100;

/// A factor from 1 to [`MAX_FACTOR`]; whatever else was read counts as the nearest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub struct Pace(u32);

impl Pace {
    /// Discord's own.
    pub const REAL: Self = Self(1);

    /// How long a span of Discord's time lasts in real time.
    #[must_use]
    pub const fn real(self, span: Duration) -> Duration {
        // Never zero.
        match span.checked_div(self.0) {
            Some(real) => real,
            None => span,
        }
    }

    /// The same in milliseconds, at least 1 for a span that is not empty.
    #[must_use]
    pub const fn real_ms(self, span_ms: u64) -> u64 {
        span_ms.div_ceil(self.0 as u64)
    }

    /// How much of Discord's time passes in a span of real time, in milliseconds.
    #[must_use]
    pub const fn discord_ms(self, real_ms: u64) -> u64 {
        real_ms.saturating_mul(self.0 as u64)
    }

    /// Whether it is Discord's own.
    #[must_use]
    pub const fn is_real(&self) -> bool {
        self.0 == 1
    }

    /// The factor.
    #[must_use]
    pub const fn factor(self) -> u32 {
        self.0
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::REAL
    }
}

impl From<u32> for Pace {
    fn from(factor: u32) -> Self {
        Self(factor.clamp(1, MAX_FACTOR))
    }
}

impl From<Pace> for u32 {
    fn from(pace: Pace) -> Self {
        pace.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_shrink_by_the_factor_and_a_factor_that_makes_no_sense_is_the_nearest_that_does() {
        assert_eq!(Pace::from(10).real(Duration::from_secs(5)), Duration::from_millis(500));
        assert_eq!((Pace::from(10).real_ms(5_000), Pace::from(10).discord_ms(500)), (500, 5_000));
        assert_eq!((Pace::from(0), Pace::from(1_000).factor()), (Pace::REAL, MAX_FACTOR));
        assert_eq!(Pace::from(7).real_ms(1), 1);
    }
}
