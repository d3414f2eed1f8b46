//! How long a cold start takes, against what Discord allows at best: `5 s x ceil(total / max_concurrency)`.
//!
//! From: pods of 16 shards that ask at once, on a clock that jumps. Timed from the gate's opening to the last IDENTIFY, and the
//! window after it. Deliberately absent: READY and what a pod does then, which do not hold up the next IDENTIFY.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use shard_contract::identify::{IdentifyAnswer, IdentifyRequest, Outcome, Priority};
use shard_contract::layout::{pods_for, shards_of};
use shard_operator::gate::Gate;
use tokio::time::Instant;

use super::stage;
use shard_bench::Scale;
use shard_bench::table::{Row, Target};

/// From a grant to the word that its IDENTIFY went out.
const TRAVEL: Duration = Duration::from_millis(5);

pub fn measure(scale: Scale, total: u32, max_concurrency: u32) -> anyhow::Result<Row> {
    let total = scale.of(total).max(16);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let took = runtime.block_on(run(total, max_concurrency))?;
    let best = 5.0 * f64::from(total.div_ceil(max_concurrency));
    Ok(Row {
        what: format!("cold start of {total} shards, {max_concurrency} at once"),
        measured: (took.as_secs_f64() + 5.0) / best,
        unit: "of the limit",
        target: Some(Target::AtMost(1.03)),
        note: format!("{:.0} s of {best:.0} s, simulated time", took.as_secs_f64() + 5.0),
    })
}

async fn run(total: u32, max_concurrency: u32) -> anyhow::Result<Duration> {
    let pods = pods_for(total, 16);
    let (gate, leadership) = stage::open(total, pods, max_concurrency).await;
    let started = Instant::now();
    let tasks: Vec<_> =
        (0..pods).map(|ordinal| tokio::spawn(pod(gate.clone(), ordinal, pods, total))).collect();
    let mut last = started;
    for task in tasks {
        last = last.max(task.await??);
    }
    let granted = gate.totals().grants;
    let granted = granted.live + granted.active + granted.standby;
    ensure!(granted == u64::from(total), "{granted} grants for {total} shards");
    drop(leadership);
    Ok(last - started)
}

/// Brings a pod's shards online one by one; returns when the last IDENTIFY went out.
async fn pod(gate: Gate, ordinal: u32, pods: u32, total: u32) -> anyhow::Result<Instant> {
    let caller = stage::pod(ordinal);
    let mut waiting: BTreeSet<u32> = shards_of(ordinal, pods, total).collect();
    let mut last = Instant::now();
    while !waiting.is_empty() {
        let request = IdentifyRequest {
            layout: 1,
            shards: waiting.iter().copied().collect(),
            priority: Priority::Active,
        };
        let IdentifyAnswer::Granted { shard, grant, .. } = gate.identify(&caller, request).await? else {
            continue;
        };
        waiting.remove(&shard);
        last = Instant::now();
        let (gate, caller) = (gate.clone(), caller.clone());
        tokio::spawn(async move {
            tokio::time::sleep(TRAVEL).await;
            // A gate that is gone needs no word.
            let _ = gate.identified(&caller, grant, Outcome::Sent).await;
            let _ = gate.identified(&caller, grant, Outcome::Ready).await;
        });
    }
    Ok(last)
}
