//! Sums over all tokens, for metrics. Deliberately absent: what is one bot's.

use super::keeper::{Counted, Grants};
use std::iter::Sum;

/// Counts over all tokens, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct GateTotals {
    /// Grants given, by why they were asked for.
    pub grants: Grants,
    /// Grants that did not reach READY.
    pub failures: u64,
    /// Shards that wait.
    pub waiting: u64,
    /// Calls that wait.
    pub calls: u64,
}

impl Sum<Counted> for GateTotals {
    fn sum<I: Iterator<Item = Counted>>(all: I) -> Self {
        all.fold(Self::default(), |sum, Counted { figures, daily_total: _, granted, failed, calls }| Self {
            grants: sum.grants + granted,
            failures: sum.failures + failed,
            waiting: sum.waiting + figures.map_or(0, |figures| u64::from(figures.waiting)),
            calls: sum.calls + calls as u64,
        })
    }
}
