//! The pod's figures for Prometheus, as text.
//!
//! Rows of [`crate::status`] and [`crate::jobs`] are read at each scrape, so a figure stands in one place; what
//! nobody else counts (commands, panics, events left out) is counted here. Units stand in the names: seconds, or
//! plain counts. Deliberately absent: labels whose values users choose, and histograms.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, counter::Counter, family::Family, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use shard_contract::report::ShardState;

use crate::{
    jobs::Jobs,
    status::{ShardStatus, Status},
};

/// The counters that have no other home. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commands: Family<[(&'static str, String); 2], Counter>,
    pub(crate) handler_panics: Counter,
    pub(crate) handler_errors: Counter,
    pub(crate) without_duty: Counter,
    pub(crate) replies_failed: Counter,
}

impl Counters {
    /// A command ended: `ok`, `wrong` (bad input), `busy` (refused, too many jobs), `error` or `panic`.
    pub(crate) fn command(&self, name: &str, outcome: &'static str) {
        self.commands.get_or_create(&[("command", name.to_owned()), ("outcome", outcome.to_owned())]).inc();
    }
}

/// All figures of the pod.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    pub(crate) fn new(status: Arc<Status>, jobs: Jobs, counters: &Counters) -> Self {
        let mut registry = Registry::with_prefix("shard_bot");
        let Counters { commands, handler_panics, handler_errors, without_duty, replies_failed } =
            counters.clone();
        registry.register(
            "commands",
            "Commands by name and outcome (ok, wrong, busy, error, panic)",
            commands,
        );
        registry.register("handler_panics", "Handlers and commands that panicked", handler_panics);
        registry.register("handler_errors", "Event handlers that returned an error", handler_errors);
        registry.register(
            "events_without_duty",
            "Events that were not handled because the pod's layout is not active",
            without_duty,
        );
        registry.register("replies_failed", "Replies that could not be sent", replies_failed);
        registry.register_collector(Box::new(Rows { status, jobs }));
        Self(registry)
    }

    /// The figures now, in the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Reads the rows at each scrape.
#[derive(Debug)]
struct Rows {
    status: Arc<Status>,
    jobs: Jobs,
}

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.status.all();
        let rows: [(&str, &str, Option<&Unit>, Value); 7] = [
            ("shard_up", "1 while the shard is online, else 0", None, |shard| {
                Some(Figure::Gauge(f64::from(u8::from(shard.state == ShardState::Online))))
            }),
            ("shard_latency", "Mean time between heartbeat and its ACK", Some(&Unit::Seconds), |shard| {
                shard.latency.map(|latency| Figure::Gauge(latency.as_secs_f64()))
            }),
            ("shard_guilds", "Guilds of the shard, the unavailable ones included", None, |shard| {
                Some(Figure::Gauge(f64::from(shard.guilds)))
            }),
            ("events", "Events received", None, |shard| Some(Figure::Counter(shard.events))),
            ("events_dropped", "Events thrown away because the pod could not keep up", None, |shard| {
                Some(Figure::Counter(shard.dropped))
            }),
            ("identifies", "IDENTIFYs sent", None, |shard| Some(Figure::Counter(shard.identifies))),
            ("resumes", "RESUMEs that succeeded", None, |shard| Some(Figure::Counter(shard.resumes))),
        ];
        for (name, help, unit, value) in rows {
            family(&mut encoder, (name, help, unit), &shards, value)?;
        }

        let jobs = self.jobs.report();
        let mut single = |name, help, figure| single(&mut encoder, name, help, figure);
        single("jobs_running", "CPU jobs that run now", Figure::Gauge(f64::from(jobs.running)))?;
        single("jobs_queued", "CPU jobs that wait for a thread", Figure::Gauge(f64::from(jobs.queued)))?;
        single("jobs_refused", "CPU jobs refused because the queue was full", Figure::Counter(jobs.refused))?;
        single("jobs_panicked", "CPU jobs that panicked", Figure::Counter(self.jobs.panicked()))?;
        single("jobs_done", "CPU jobs that ended well", Figure::Counter(self.jobs.done()))
    }
}

/// One figure of a row; none: there is none yet.
type Value = fn(&ShardStatus) -> Option<Figure>;

/// A value with its kind.
enum Figure {
    Gauge(f64),
    Counter(u64),
}

impl Figure {
    fn metric(self) -> Box<dyn EncodeMetric> {
        match self {
            Self::Gauge(value) => Box::new(ConstGauge::new(value)),
            Self::Counter(value) => Box::new(ConstCounter::new(value)),
        }
    }
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    shards: &[ShardStatus],
    value: Value,
) -> fmt::Result {
    let figures: Vec<_> =
        shards.iter().filter_map(|shard| Some((shard.id, value(shard)?.metric()))).collect();
    let Some((_, first)) = figures.first() else { return Ok(()) };
    let mut rows = encoder.encode_descriptor(name, &format!("{help}."), unit, first.metric_type())?;
    for (id, figure) in &figures {
        figure.encode(rows.encode_family(&[("shard", *id)])?)?;
    }
    Ok(())
}

fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, figure: Figure) -> fmt::Result {
    let metric = figure.metric();
    let row = encoder.encode_descriptor(name, &format!("{help}."), None, metric.metric_type())?;
    metric.encode(row)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_carry_their_help_their_unit_and_one_row_a_shard() {
        let status = Arc::new(Status::new(4..6, 8));
        status.update(5, |shard| {
            shard.enter(ShardState::Online);
            shard.guilds = 12;
            shard.latency = Some(Duration::from_millis(250));
            shard.events = 99;
        });
        let counters = Counters::default();
        counters.command("fib", "ok");
        let metrics = Metrics::new(status, Jobs::new(1).unwrap(), &counters);
        let text = metrics.text().unwrap();
        for line in [
            "# HELP shard_bot_shard_up 1 while the shard is online, else 0.",
            "shard_bot_shard_up{shard=\"4\"} 0.0",
            "shard_bot_shard_up{shard=\"5\"} 1.0",
            "# UNIT shard_bot_shard_latency_seconds seconds",
            "shard_bot_shard_latency_seconds{shard=\"5\"} 0.25",
            "shard_bot_shard_guilds{shard=\"5\"} 12.0",
            "shard_bot_events_total{shard=\"5\"} 99",
            "shard_bot_identifies_total{shard=\"4\"} 0",
            "shard_bot_resumes_total{shard=\"4\"} 0",
            "shard_bot_commands_total{command=\"fib\",outcome=\"ok\"} 1",
            "shard_bot_jobs_running 0.0",
            "shard_bot_jobs_refused_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
