//! What Prometheus may ask the operator for.
//!
//! Names are stable. Labels never hold what grows with the number of shards; `bot` and `namespace` grow with the bots.
//!
//! | name | kind | of |
//! | --- | --- | --- |
//! | `shard_operator_reconcile_total{result}` | counter | rounds, by result |
//! | `shard_operator_reconcile_seconds` | histogram, seconds | time of a round |
//! | `shard_operator_leader` | gauge, 0 or 1 | whether this replica leads |
//! | `shard_operator_watch_failures_total{namespace,resource}` | counter | failures of this replica's watches; no namespace: of all |
//! | `shard_operator_gate_calls_total{path,code}` | counter | calls of pods, reports among them |
//! | `shard_operator_gate_grants_total` | counter | IDENTIFYs granted, by `priority`: live, active, standby |
//! | `shard_operator_gate_failures_total` | counter | granted IDENTIFYs that did not reach READY |
//! | `shard_operator_gate_waiting_calls` | gauge | calls that wait for a grant |
//! | `shard_operator_gate_waiting_shards` | gauge | shards that wait for a grant |
//! | `shard_operator_budget_remaining{namespace,bot}` | gauge | IDENTIFYs left today |
//! | `shard_operator_budget_limit{namespace,bot}` | gauge | IDENTIFYs per day |
//! | `shard_operator_breaker_open{namespace,bot}` | gauge, 0 or 1 | whether IDENTIFYs were burned without READY |
//! | `shard_operator_unattributed_identifies{namespace,bot}` | gauge | IDENTIFYs of today that nobody here was granted |
//! | `shard_operator_pods_on_fallback_schedule{namespace,bot}` | gauge | pods that may identify without the gate |
//!
//! Deliberately absent: figures of single shards, which their pods offer.

use crate::gate::{Counted, GateTotals, Grants};
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
    leader: Gauge,
    watches: Family<Watch, Counter>,
    calls: Family<Call, Counter>,
    gate: OfGate,
    bots: OfBots,
}

#[derive(Debug, Default)]
struct OfGate {
    grants: Family<Priority, Counter>,
    failures: Counter,
    waiting_calls: Gauge,
    waiting_shards: Gauge,
}

#[derive(Debug, Default)]
struct OfBots {
    remaining: Family<Bot, Gauge>,
    total: Family<Bot, Gauge>,
    breaker: Family<Bot, Gauge>,
    unattributed: Family<Bot, Gauge>,
    on_fallback_schedule: Family<Bot, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bot {
    namespace: String,
    bot: String,
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
struct Priority {
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watch {
    namespace: String,
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    path: &'static str,
    code: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("shard_operator");
        let rounds = Family::default();
        let seconds = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let (leader, calls, watches) = (Gauge::default(), Family::default(), Family::default());
        registry.register("reconcile", "Rounds, by result", Family::clone(&rounds));
        registry.register_with_unit("reconcile", "Time of a round", Unit::Seconds, seconds.clone());
        registry.register("leader", "Whether this replica leads", Gauge::clone(&leader));
        registry.register(
            "watch_failures",
            "Failures of this replica's watches; no namespace: of all",
            Family::clone(&watches),
        );
        registry.register("gate_calls", "Calls of pods, by path and status code", Family::clone(&calls));
        let gate = OfGate::registered(&mut registry);
        let bots = OfBots::registered(&mut registry);
        Self { registry, rounds, seconds, leader, watches, calls, gate, bots }
    }
}

impl OfGate {
    fn registered(registry: &mut Registry) -> Self {
        let gate = Self::default();
        registry.register("gate_grants", "IDENTIFYs granted, by priority", gate.grants.clone());
        registry.register(
            "gate_failures",
            "Granted IDENTIFYs that did not reach READY",
            gate.failures.clone(),
        );
        registry.register("gate_waiting_calls", "Calls that wait for a grant", gate.waiting_calls.clone());
        registry.register("gate_waiting_shards", "Shards that wait for a grant", gate.waiting_shards.clone());
        gate
    }

    fn set(&self, totals: &GateTotals) {
        let raise = |counter: &Counter, to: u64| {
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        let Grants { live, active, standby } = totals.grants;
        for (priority, granted) in [("live", live), ("active", active), ("standby", standby)] {
            raise(&self.grants.get_or_create(&Priority { priority }), granted);
        }
        raise(&self.failures, totals.failures);
        self.waiting_calls.set(totals.calls.try_into().unwrap_or(i64::MAX));
        self.waiting_shards.set(totals.waiting.try_into().unwrap_or(i64::MAX));
    }
}

impl OfBots {
    fn registered(registry: &mut Registry) -> Self {
        let bots = Self::default();
        registry.register("budget_remaining", "IDENTIFYs left today", bots.remaining.clone());
        registry.register("budget_limit", "IDENTIFYs per day", bots.total.clone());
        registry.register(
            "breaker_open",
            "Whether IDENTIFYs were burned without READY",
            bots.breaker.clone(),
        );
        registry.register(
            "unattributed_identifies",
            "IDENTIFYs of today that nobody here was granted",
            bots.unattributed.clone(),
        );
        registry.register(
            "pods_on_fallback_schedule",
            "Pods that may identify without the gate",
            bots.on_fallback_schedule.clone(),
        );
        bots
    }

    fn set(&self, counted: Vec<(String, String, Counted)>) {
        let Self { remaining, total, breaker, unattributed, on_fallback_schedule } = self;
        for family in [remaining, total, breaker, unattributed, on_fallback_schedule] {
            // Of bots that are gone nothing stays.
            family.clear();
        }
        for (namespace, bot, Counted { figures, daily_total, .. }) in counted {
            // Nothing is known of a gate that Discord has not answered yet.
            let Some(figures) = figures else { continue };
            let bot = Bot { namespace, bot };
            for (family, value) in [
                (remaining, figures.remaining),
                (total, daily_total),
                (breaker, u32::from(figures.breaker.is_some())),
                (unattributed, figures.unattributed),
                (on_fallback_schedule, figures.on_fallback_schedule),
            ] {
                family.get_or_create(&bot).set(value.into());
            }
        }
    }
}

impl Metrics {
    /// Counts a round.
    pub fn round(&self, took: Duration, succeeded: bool) {
        let result = if succeeded { Result::success } else { Result::error };
        self.rounds.get_or_create(&Outcome { result }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a failure of a watch.
    pub fn watch_failed(&self, namespace: &str, resource: &'static str) {
        self.watches.get_or_create(&Watch { namespace: namespace.to_owned(), resource }).inc();
    }

    /// Counts a pod's call.
    pub fn call(&self, path: &'static str, code: u16) {
        self.calls.get_or_create(&Call { path, code }).inc();
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never in practice: writing to a String.
    pub fn text(
        &self,
        leads: bool,
        totals: &GateTotals,
        counted: Vec<(String, String, Counted)>,
    ) -> std::result::Result<String, fmt::Error> {
        self.leader.set(leads.into());
        self.gate.set(totals);
        self.bots.set(counted);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GateFigures, Tripped};

    fn text() -> String {
        let metrics = Metrics::default();
        metrics.round(Duration::from_millis(20), true);
        metrics.call("/v1/identify", 200);
        metrics.watch_failed("bots", "pods");
        let totals =
            GateTotals { grants: Grants { live: 3, ..Grants::default() }, failures: 1, waiting: 2, calls: 1 };
        let figures = GateFigures {
            remaining: 900,
            waiting: 2,
            breaker: Some(Tripped { failures: 10, next_probe_seconds: 30 }),
            unattributed: 7,
            judged: true,
            on_fallback_schedule: 4,
            backing_off: None,
        };
        let counted = Counted { figures: Some(figures), daily_total: 1_000, ..Counted::default() };
        metrics.text(true, &totals, vec![("bots".into(), "mybot".into(), counted)]).unwrap()
    }

    #[test]
    fn names_help_and_units_are_as_documented() {
        let text = text();
        for line in [
            "# HELP shard_operator_reconcile Rounds, by result.",
            "shard_operator_reconcile_total{result=\"success\"} 1",
            "# UNIT shard_operator_reconcile_seconds seconds",
            "shard_operator_leader 1",
            "shard_operator_gate_calls_total{path=\"/v1/identify\",code=\"200\"} 1",
            "shard_operator_gate_grants_total{priority=\"live\"} 3",
            "shard_operator_gate_failures_total 1",
            "shard_operator_gate_waiting_calls 1",
            "shard_operator_gate_waiting_shards 2",
            "shard_operator_budget_remaining{namespace=\"bots\",bot=\"mybot\"} 900",
            "shard_operator_budget_limit{namespace=\"bots\",bot=\"mybot\"} 1000",
            "shard_operator_breaker_open{namespace=\"bots\",bot=\"mybot\"} 1",
            "shard_operator_unattributed_identifies{namespace=\"bots\",bot=\"mybot\"} 7",
            "shard_operator_pods_on_fallback_schedule{namespace=\"bots\",bot=\"mybot\"} 4",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_name_is_in_the_table_and_every_row_of_it_is_a_name() {
        let documented: Vec<_> = include_str!("metrics.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `shard_operator_")?.split(['`', '{']).next())
            .collect();
        let text = text();
        let said: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.strip_prefix("shard_operator_")?.split(['{', ' ']).next())
            .map(|name| {
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
            })
            .collect();
        for name in &documented {
            assert!(said.contains(name), "{name} is documented only");
        }
        for name in said {
            assert!(documented.contains(&name), "{name} is not documented");
        }
    }
}
