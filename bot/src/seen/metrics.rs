//! The pod's figures for Prometheus, as text.
//!
//! Rows of [`crate::seen::status`] and [`crate::seen::job_counts`] are read at each scrape, so a figure stands in one place; what
//! nobody else counts (commands, panics, events left out, writes of records) is counted here. Names are stable: a figure may be
//! added, none is renamed. Counters end in `_total` and begin at 0 with the process; units stand in the names: seconds, or plain
//! counts. Deliberately absent: labels whose values users choose, and histograms.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | `shard_bot_shards` | gauge | `state`: waiting, identifying, online, resuming, refused | Shards of the pod by what their connection does |
//! | `shard_bot_shard_up` | gauge | `shard` | 1 while the shard is online, else 0 |
//! | `shard_bot_shard_latency_seconds` | gauge | `shard` | Mean time between heartbeat and its ACK |
//! | `shard_bot_shard_guilds` | gauge | `shard` | Guilds of the shard, the unavailable ones included |
//! | `shard_bot_shard_unavailable_guilds` | gauge | `shard` | Guilds of the shard that Discord has not sent yet, or that are down |
//! | `shard_bot_events_total` | counter | `shard` | Events received |
//! | `shard_bot_events_redelivered_total` | counter | `shard` | Events that may have been handled before, marked so |
//! | `shard_bot_events_dropped_total` | counter | `shard` | Events thrown away because the pod could not keep up |
//! | `shard_bot_events_unfinished` | gauge | `shard` | Events received whose handling is not done, at the last heartbeat |
//! | `shard_bot_events_ignored_total` | counter | | Events that were not handled because the pod's layout has no duty for them |
//! | `shard_bot_events_held_back_total` | counter | | Times that an event was held back because the cut that it is near was not decided |
//! | `shard_bot_events_of_unknown_type_total` | counter | | Events of a type that this build does not know, which count as without a time of their own |
//! | `shard_bot_events_passed_over_total` | counter | | Events that were not handled because so many of their channel were being handled |
//! | `shard_bot_events_given_up_total` | counter | | Events that were not handled because every process that began to handle them died |
//! | `shard_bot_identifies_total` | counter | `shard` | IDENTIFYs sent |
//! | `shard_bot_identifies_granted_total` | counter | `priority`: live, active, standby | IDENTIFYs sent with a grant of the gate, by priority |
//! | `shard_bot_identifies_by_fallback_schedule_total` | counter | | IDENTIFYs sent by the fallback schedule |
//! | `shard_bot_resumes_total` | counter | `shard` | RESUMEs that succeeded |
//! | `shard_bot_record_writes_total` | counter | `outcome`: ok, stale, failed | Writes of session records by outcome |
//! | `shard_bot_gate_answer_age_seconds` | gauge | | Time since a leader of the gate answered last; missing in a local run |
//! | `shard_bot_on_fallback_schedule` | gauge | | 1 while the pod identifies by the fallback schedule, else 0 |
//! | `shard_bot_isolated` | gauge | | 1 while the pod is cut off, or was deleted, and has let its shards go, else 0 |
//! | `shard_bot_commands_total` | counter | `command`, `outcome`: ok, wrong, busy, error, panic | Commands by name and outcome |
//! | `shard_bot_handler_panics_total` | counter | | Handlers and commands that panicked |
//! | `shard_bot_handler_errors_total` | counter | | Event handlers that returned an error |
//! | `shard_bot_replies_failed_total` | counter | | Replies that could not be sent |
//! | `shard_bot_jobs_running` | gauge | | CPU jobs that run now |
//! | `shard_bot_jobs_queued` | gauge | | CPU jobs that wait for a thread |
//! | `shard_bot_jobs_done_total` | counter | | CPU jobs that ended well |
//! | `shard_bot_jobs_refused_total` | counter | | CPU jobs refused because the queue was full |
//! | `shard_bot_jobs_panicked_total` | counter | | CPU jobs that panicked |

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, counter::Counter, family::Family, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use shard_contract::{identify::Priority, report::ShardState};

use crate::seen::{
    job_counts::JobCounts,
    status::{ShardStatus, Status},
};

/// The counters that have no other home. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commands: Family<[(&'static str, String); 2], Counter>,
    pub(crate) handler_panics: Counter,
    pub(crate) handler_errors: Counter,
    pub(crate) without_duty: Counter,
    pub(crate) held_back: Counter,
    pub(crate) unknown_types: Counter,
    pub(crate) channel_busy: Counter,
    pub(crate) given_up: Counter,
    pub(crate) replies_failed: Counter,
    pub(crate) identifies_by_fallback_schedule: Counter,
    granted: Family<[(&'static str, &'static str); 1], Counter>,
    record_writes: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Counters {
    /// A command ended: `ok`, `wrong` (bad input), `busy` (refused, too many jobs), `error` or `panic`.
    pub(crate) fn command(&self, name: &str, outcome: &'static str) {
        self.commands.get_or_create(&[("command", name.to_owned()), ("outcome", outcome.to_owned())]).inc();
    }

    /// An IDENTIFY went out with a grant of the gate.
    pub(crate) fn identified(&self, priority: Priority) {
        let priority = match priority {
            Priority::Live => "live",
            Priority::Active => "active",
            Priority::Standby => "standby",
        };
        self.granted.get_or_create(&[("priority", priority)]).inc();
    }

    /// A write of session records ended: `ok`, `stale` (somebody else wrote first) or `failed`.
    pub(crate) fn record_write(&self, outcome: &'static str) {
        self.record_writes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

/// All figures of the pod.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    pub(crate) fn new(status: Arc<Status>, jobs: Arc<JobCounts>, counters: &Counters) -> Self {
        let mut registry = Registry::with_prefix("shard_bot");
        let Counters {
            commands,
            handler_panics,
            handler_errors,
            without_duty,
            held_back,
            unknown_types,
            channel_busy,
            given_up,
            replies_failed,
            identifies_by_fallback_schedule,
            granted,
            record_writes,
        } = counters.clone();
        registry.register("commands", "Commands by name and outcome", commands);
        registry.register("handler_panics", "Handlers and commands that panicked", handler_panics);
        registry.register("handler_errors", "Event handlers that returned an error", handler_errors);
        registry.register(
            "events_ignored",
            "Events that were not handled because the pod's layout has no duty for them",
            without_duty,
        );
        registry.register(
            "events_held_back",
            "Times that an event was held back because the cut that it is near was not decided",
            held_back,
        );
        registry.register(
            "events_of_unknown_type",
            "Events of a type that this build does not know, which count as without a time of their own",
            unknown_types,
        );
        registry.register(
            "events_passed_over",
            "Events that were not handled because so many of their channel were being handled",
            channel_busy,
        );
        registry.register(
            "events_given_up",
            "Events that were not handled because every process that began to handle them died",
            given_up,
        );
        registry.register("replies_failed", "Replies that could not be sent", replies_failed);
        registry.register(
            "identifies_by_fallback_schedule",
            "IDENTIFYs sent by the fallback schedule",
            identifies_by_fallback_schedule,
        );
        registry.register(
            "identifies_granted",
            "IDENTIFYs sent with a grant of the gate, by priority",
            granted,
        );
        registry.register("record_writes", "Writes of session records by outcome", record_writes);
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
    jobs: Arc<JobCounts>,
}

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.status.all();
        let rows: [(&str, &str, Option<&Unit>, Value); 10] = [
            ("shard_up", "1 while the shard is online, else 0", None, |shard| {
                Some(Figure::Gauge(f64::from(u8::from(shard.state == ShardState::Online))))
            }),
            ("shard_latency", "Mean time between heartbeat and its ACK", Some(&Unit::Seconds), |shard| {
                shard.latency.map(|latency| Figure::Gauge(latency.as_secs_f64()))
            }),
            ("shard_guilds", "Guilds of the shard, the unavailable ones included", None, |shard| {
                Some(Figure::Gauge(f64::from(shard.guilds)))
            }),
            (
                "shard_unavailable_guilds",
                "Guilds of the shard that Discord has not sent yet, or that are down",
                None,
                |shard| Some(Figure::Gauge(f64::from(shard.unavailable_guilds))),
            ),
            ("events_redelivered", "Events that may have been handled before, marked so", None, |shard| {
                Some(Figure::Counter(shard.redelivered))
            }),
            (
                "events_unfinished",
                "Events received whose handling is not done, at the last heartbeat",
                None,
                |shard| Some(Figure::Whole(shard.unfinished)),
            ),
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
        states(&mut encoder, &shards)?;
        self.pod(&mut encoder)
    }
}

impl Rows {
    /// What is not about one shard.
    fn pod(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let flag = |flag| Figure::Gauge(f64::from(u8::from(flag)));
        if let Some(age) = self.status.gate_answer_age() {
            let help = "Time since a leader of the gate answered last";
            single(encoder, "gate_answer_age", help, Some(&Unit::Seconds), Figure::Gauge(age.as_secs_f64()))?;
        }
        let jobs = self.jobs.report();
        let mut single = |name, help, figure| single(encoder, name, help, None, figure);
        single(
            "on_fallback_schedule",
            "1 while the pod identifies by the fallback schedule, else 0",
            flag(self.status.on_fallback_schedule()),
        )?;
        single(
            "isolated",
            "1 while the pod is cut off, or was deleted, and has let its shards go, else 0",
            flag(self.status.fenced()),
        )?;
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
    Whole(u64),
    Counter(u64),
}

impl Figure {
    fn metric(self) -> Box<dyn EncodeMetric> {
        match self {
            Self::Gauge(value) => Box::new(ConstGauge::new(value)),
            Self::Whole(value) => Box::new(ConstGauge::new(value)),
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

/// How many shards are in each state, those in which none is too.
fn states(encoder: &mut DescriptorEncoder<'_>, shards: &[ShardStatus]) -> fmt::Result {
    const STATES: [(ShardState, &str); 5] = [
        (ShardState::Waiting, "waiting"),
        (ShardState::Identifying, "identifying"),
        (ShardState::Online, "online"),
        (ShardState::Resuming, "resuming"),
        (ShardState::Refused, "refused"),
    ];
    let help = "Shards of the pod by what their connection does.";
    let mut rows = encoder.encode_descriptor("shards", help, None, MetricType::Gauge)?;
    for (state, word) in STATES {
        let count = shards.iter().filter(|shard| shard.state == state).count();
        let count = ConstGauge::new(u64::try_from(count).unwrap_or(u64::MAX));
        count.encode(rows.encode_family(&[("state", word)])?)?;
    }
    Ok(())
}

fn single(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    figure: Figure,
) -> fmt::Result {
    let metric = figure.metric();
    let row = encoder.encode_descriptor(name, &format!("{help}."), unit, metric.metric_type())?;
    metric.encode(row)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use super::*;
    use crate::edges::operator::Answers;

    /// What the table at the head of this file says: name without `_total`, kind, help.
    fn documented() -> BTreeSet<(String, String, String)> {
        let rows =
            include_str!("metrics.rs").lines().filter_map(|line| line.strip_prefix("//! | `shard_bot_"));
        rows.map(|row| {
            let cells: Vec<_> = row.trim_end_matches(" |").split('|').map(str::trim).collect();
            let [name, kind, _, what] = cells[..] else { panic!("four cells: {row}") };
            let help = what.split(';').next().unwrap();
            let name = name.trim_end_matches('`').trim_end_matches("_total");
            (format!("shard_bot_{name}"), kind.to_owned(), format!("{help}."))
        })
        .collect()
    }

    #[tokio::test]
    async fn the_text_holds_what_the_table_documents_and_nothing_else() {
        let status = Arc::new(Status::new(4..6, 8));
        status.update(5, |shard| shard.latency = Some(Duration::from_millis(250)));
        let now = tokio::time::Instant::now();
        status.follow_gate(
            tokio::sync::watch::channel(Answers { led: now, any: now, knew: now, denied: None }).1,
        );
        // A family without a row yet is not in the text.
        let counters = Counters::default();
        counters.command("ping", "ok");
        counters.identified(Priority::Active);
        counters.record_write("ok");
        let text = Metrics::new(status, Arc::new(JobCounts::new()), &counters).text().unwrap();
        let words = |mark: &'static str| {
            let lines = text.lines().filter_map(move |line| line.strip_prefix(mark));
            lines.filter_map(|line| line.split_once(' ')).collect::<BTreeMap<_, _>>()
        };
        let kinds = words("# TYPE ");
        let found: BTreeSet<_> = words("# HELP ")
            .into_iter()
            .map(|(name, help)| (name.to_owned(), kinds[name].to_owned(), help.to_owned()))
            .collect();
        assert_eq!(found, documented());
    }

    #[test]
    fn what_was_identified_and_written_is_counted_by_its_kind() {
        let counters = Counters::default();
        counters.identified(Priority::Live);
        counters.record_write("stale");
        let status = Arc::new(Status::new(0..1, 1));
        let text = Metrics::new(status, Arc::new(JobCounts::new()), &counters).text().unwrap();
        assert!(text.contains("shard_bot_identifies_granted_total{priority=\"live\"} 1"), "{text}");
        assert!(text.contains("shard_bot_record_writes_total{outcome=\"stale\"} 1"), "{text}");
        assert!(text.contains("shard_bot_shards{state=\"waiting\"} 1"), "{text}");
    }

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
        let metrics = Metrics::new(status, Arc::new(JobCounts::new()), &counters);
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
