//! IDENTIFYs that a gate granted, by priority, read off the operator's metrics.
//!
//! From the text of `/metrics` to counts. A text without them is an error: a metric that was renamed must not read as none.
//! Deliberately absent: every other metric.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

/// What the row begins with, up to the priority.
const ROW: &str = "shard_operator_gate_grants_total{priority=\"";

/// The counts by priority.
///
/// # Errors
/// When the text has none, or one that is no number.
pub fn by_priority(metrics: &str) -> Result<BTreeMap<String, u64>> {
    let rows = metrics.lines().filter_map(|line| line.strip_prefix(ROW));
    let read = |row: &str| {
        let (priority, count) = row.split_once("\"} ").context("a metric without a value")?;
        Ok((priority.to_owned(), count.parse().context("a count that is none")?))
    };
    let counts: BTreeMap<_, _> = rows.map(read).collect::<Result<_>>()?;
    ensure!(!counts.is_empty(), "the metrics have no row that begins with {ROW}");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shard_operator::gate::GateTotals;
    use shard_operator::metrics::Metrics;

    #[test]
    fn what_the_operator_says_is_understood() {
        let text = Metrics::default().text(true, &GateTotals::default(), Vec::new()).unwrap();
        let priorities: Vec<_> = by_priority(&text).unwrap().into_keys().collect();
        assert_eq!(priorities, ["active", "live", "standby"]);
        assert!(by_priority("shard_operator_leader 1\n").is_err());
    }
}
