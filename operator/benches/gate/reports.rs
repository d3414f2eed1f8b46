//! What the reports of a thousand pods cost: 16 shards each, every 15 s.
//!
//! From: reports as JSON, parsed and kept as the HTTP server does it. Time is CPU time of this process, so that a busy machine
//! changes little. Deliberately absent: HTTP and reviews of tokens.

use shard_contract::report::{REPORT_EVERY_MS, Report, ShardReport, ShardState};
use shard_operator::reports::Reports;

use super::stage;
use shard_bench::table::{Row, Target};
use shard_bench::{Scale, process};

/// A core's share that reports may take.
const MOST_PERCENT: f64 = 5.0;

pub fn measure(scale: Scale) -> anyhow::Result<Row> {
    let pods = scale.of(1_000);
    let (reports, _changes) = Reports::new();
    let rounds = 40_u32;
    let callers: Vec<_> = (0..pods).map(stage::pod).collect();
    let bodies: Vec<_> =
        (0..pods).map(|ordinal| serde_json::to_string(&report(ordinal))).collect::<Result<_, _>>()?;
    let before = process::cpu_time(std::process::id())?;
    for _ in 0..rounds {
        for (caller, body) in callers.iter().zip(&bodies) {
            reports.keep(caller, serde_json::from_str(body)?);
        }
    }
    let used = process::cpu_time(std::process::id())?.saturating_sub(before).as_secs_f64();
    let every = f64::from(u32::try_from(REPORT_EVERY_MS)?) / 1_000.0;
    Ok(Row {
        what: format!("reports of {pods} pods"),
        measured: used / f64::from(rounds) / every * 100.0,
        unit: "% of a core",
        target: Some(Target::AtMost(MOST_PERCENT)),
        note: "parsed and kept; 16 shards each, every 15 s".into(),
    })
}

fn report(ordinal: u32) -> Report {
    let shards = (ordinal * 16..ordinal * 16 + 16).map(|id| ShardReport {
        id,
        state: ShardState::Online,
        guilds: 1_000,
        unavailable_guilds: 0,
        latency_ms: Some(41),
        identifies: 1,
        resumes: 3,
        events: 1_234_567,
        redelivered: 0,
        idle_ms: Some(350),
        fatal_close: None,
        waits_for: None,
    });
    Report { layout: 1, shards: shards.collect(), ..Report::default() }
}
