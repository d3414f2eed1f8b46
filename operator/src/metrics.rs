//! What Prometheus may ask the operator for.
//!
//! Names are stable: `shard_operator_` and a unit. Labels never hold what grows with the number of shards. Deliberately
//! absent: figures of single shards, which their pods offer.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Duration;

/// The operator's figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rounds: Family<Outcome, Counter>,
    seconds: Histogram,
    calls: Family<Call, Counter>,
    grants: Counter,
    waiting: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: Result,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Result {
    #[expect(non_camel_case_types, reason = "the label's value is spelled in lower case")]
    success,
    #[expect(non_camel_case_types, reason = "the label's value is spelled in lower case")]
    error,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    path: &'static str,
    code: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("shard_operator");
        let metrics = Self {
            rounds: Family::default(),
            seconds: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            calls: Family::default(),
            grants: Counter::default(),
            waiting: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("reconcile", "Rounds, by result", metrics.rounds.clone());
        registry.register_with_unit("reconcile", "Time of a round", Unit::Seconds, metrics.seconds.clone());
        registry.register("gate_calls", "Calls of pods, by path and status code", metrics.calls.clone());
        registry.register("gate_grants", "IDENTIFYs granted", metrics.grants.clone());
        registry.register("gate_waiting_shards", "Shards that wait for a grant", metrics.waiting.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts a round.
    pub fn round(&self, took: Duration, succeeded: bool) {
        let result = if succeeded { Result::success } else { Result::error };
        self.rounds.get_or_create(&Outcome { result }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a pod's call.
    pub fn call(&self, path: &'static str, code: u16) {
        self.calls.get_or_create(&Call { path, code }).inc();
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never in practice: writing to a String.
    pub fn text(&self, totals: crate::gate::GateTotals) -> std::result::Result<String, fmt::Error> {
        self.grants.inc_by(totals.grants.saturating_sub(self.grants.get()));
        self.waiting.set(totals.waiting.try_into().unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::GateTotals;

    #[test]
    fn names_help_and_units_are_as_documented() {
        let metrics = Metrics::default();
        metrics.round(Duration::from_millis(20), true);
        metrics.call("/v1/identify", 200);
        let text = metrics.text(GateTotals { grants: 3, waiting: 2 }).unwrap();
        for line in [
            "# HELP shard_operator_reconcile Rounds, by result.",
            "shard_operator_reconcile_total{result=\"success\"} 1",
            "# UNIT shard_operator_reconcile_seconds seconds",
            "shard_operator_gate_calls_total{path=\"/v1/identify\",code=\"200\"} 1",
            "shard_operator_gate_grants_total 3",
            "shard_operator_gate_waiting_shards 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
