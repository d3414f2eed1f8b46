//! Time and outages: Discord's time made faster or moved, and Discord gone for a while.
//!
//! From: `POST /control/time`, `POST /control/outage`. For: tests that cannot wait a day, and faults that hit everything.
//! Deliberately absent: going back in time.

use serde::{Deserialize, Serialize};

use super::{ControlError, bad, span};
use crate::discord::{Discord, ms};
use crate::options::TIME_FACTORS;

/// The longest way in one step: ten days.
const MOST_ADVANCE_MS: u64 = 10 * 24 * 60 * 60 * 1000;
/// The longest outage: an hour.
const LONGEST_OUTAGE_MS: u64 = 60 * 60 * 1000;

/// A change of Discord's time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MoveTime {
    /// From now on it passes that many times as fast as real time, 0.1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// It moves forward by so much at once, 0 to ten days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advance_ms: Option<u64>,
}

/// Discord's time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeNow {
    /// How many times as fast as real time it passes.
    pub factor: f64,
    /// Discord's time since the start.
    pub rules_ms: u64,
    /// Real time since the start.
    pub now_ms: u64,
}

/// Discord is gone for a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outage {
    /// For so long in real time, 0 (which ends one) to an hour.
    pub for_ms: u64,
    /// Whether REST answers 503 meanwhile.
    #[serde(default = "yes")]
    pub rest: bool,
    /// Whether the gateway drops every connection now and refuses new ones with 503 meanwhile.
    #[serde(default = "yes")]
    pub gateway: bool,
}

/// What an outage hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutageBegun {
    /// Connections that were dropped.
    pub dropped: usize,
}

fn yes() -> bool {
    true
}

impl Discord {
    /// Changes the course of Discord's time.
    pub fn move_time(&self, request: MoveTime) -> Result<TimeNow, ControlError> {
        let is_fine = |factor: &f64| TIME_FACTORS.contains(factor);
        if let Some(found) = request.factor.filter(|factor| !is_fine(factor)) {
            let (least, most) = (TIME_FACTORS.start(), TIME_FACTORS.end());
            return Err(bad(format!("factor: found {found}; use {least} to {most}")));
        }
        let advance = span("advanceMs", request.advance_ms.unwrap_or_default(), 0..=MOST_ADVANCE_MS)?;
        if let Some(factor) = request.factor {
            self.clock.set_factor(factor);
        }
        self.clock.advance(advance);
        Ok(self.time())
    }

    /// Discord's time.
    pub fn time(&self) -> TimeNow {
        let clock = &self.clock;
        TimeNow { factor: clock.factor(), rules_ms: ms(clock.rules()), now_ms: ms(clock.now()) }
    }

    /// Is gone for a while.
    pub fn begin_outage(&self, request: Outage) -> Result<OutageBegun, ControlError> {
        let time = span("forMs", request.for_ms, 0..=LONGEST_OUTAGE_MS)?;
        Ok(OutageBegun { dropped: self.be_gone(time, request.rest, request.gateway) })
    }
}
