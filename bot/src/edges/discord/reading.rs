//! Discord's clock as one answer showed it, and what it surely shows at other moments.
//!
//! `Date` has whole seconds, cut off, and was written somewhere between the sending of the request and the arrival of the
//! answer. So at the answer Discord's clock showed at least `date`, and at the sending less than `date + 1 s`; from there our
//! monotonic clock goes on. For [`crate::identify::fallback`], which stays inside a slot by what is sure; pure. Deliberately absent: our own wall
//! clock, which may be anything.

use std::time::Duration;

use shard_contract::{
    fallback::{FROM_MS, UNTIL_MS},
    pace::Pace,
};
use shard_discord::Dated;
use tokio::time::Instant;

/// `Date` cuts off less than this.
const CUT_OFF_MS: u64 = 1_000;
/// Rounding of our own.
const ROUNDING: Duration = Duration::from_micros(1);

/// One look at Discord's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    date_ms: u64,
    asked: Instant,
    answered: Instant,
    pace: Pace,
}

impl Reading {
    pub(crate) const fn new(Dated { said_ms, asked_at, answered_at }: Dated, pace: Pace) -> Self {
        Self { date_ms: said_ms, asked: asked_at, answered: answered_at, pace }
    }

    pub(crate) const fn pace(&self) -> Pace {
        self.pace
    }

    /// Discord's clock shows at least this, in milliseconds since 1970.
    pub(crate) fn least(&self, now: Instant) -> u64 {
        self.date_ms + self.passed(self.answered, now)
    }

    /// Discord's clock shows at most this.
    pub(crate) fn most(&self, now: Instant) -> u64 {
        self.date_ms + CUT_OFF_MS + self.passed(self.asked, now) + u64::from(self.pace.factor())
    }

    /// From here on Discord's clock surely shows this or more.
    pub(crate) fn surely_from(&self, at_ms: u64) -> Instant {
        self.answered + self.pace.real(Duration::from_millis(at_ms.saturating_sub(self.date_ms))) + ROUNDING
    }

    /// Until here Discord's clock surely shows less than this.
    fn surely_before(&self, at_ms: u64) -> Instant {
        let left = at_ms.saturating_sub(self.date_ms + CUT_OFF_MS);
        let until = self.asked + self.pace.real(Duration::from_millis(left));
        until.checked_sub(ROUNDING).unwrap_or(self.asked)
    }

    /// When IDENTIFYs of the slot that begins then may leave: from, until. Empty if the answer took too long.
    pub(crate) fn window(&self, slot_ms: u64) -> (Instant, Instant) {
        (self.surely_from(slot_ms + FROM_MS), self.surely_before(slot_ms + UNTIL_MS))
    }

    fn passed(&self, since: Instant, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(since).as_millis();
        self.pace.discord_ms(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
