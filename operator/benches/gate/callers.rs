//! Ten thousand callers that wait at one gate: what each takes in memory, and how soon after its turn it is granted.
//!
//! From: 10,000 pods of a shard each, 256 buckets, so that about 50 turns come up in a second. Each granted pod says at once
//! that its IDENTIFY went out; the bucket's next turn is 5.12 s after that, and the next grant is timed from there.
//! Deliberately absent: HTTP ([`super::wire`]), so memory is the call's own, without its connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use shard_contract::identify::{IdentifyAnswer, IdentifyRequest, Outcome, Priority};
use shard_operator::gate::Gate;
use tokio::time::Instant;

use super::stage;
use shard_bench::table::{Row, Target};
use shard_bench::{Scale, process};

pub const BUCKETS: u32 = 256;
pub const WINDOW: Duration = Duration::from_millis(5_120);

/// When each bucket's next turn is, and how late grants came.
#[derive(Debug, Default)]
pub struct Turns {
    next: BTreeMap<u32, Instant>,
    pub late: Vec<Duration>,
}

impl Turns {
    /// A bucket's grant came; its next turn is then.
    pub fn granted(&mut self, bucket: u32, granted: Instant, next: Instant) {
        let turn = self.next.insert(bucket, next);
        self.late.extend(turn.map(|turn| granted.saturating_duration_since(turn)));
    }
}

/// So many percent came no later, in milliseconds; they are sorted.
pub fn percentile(late: &[Duration], percent: usize) -> anyhow::Result<f64> {
    let at = (late.len() * percent / 100).min(late.len().saturating_sub(1));
    late.get(at).map(|late| late.as_secs_f64() * 1_000.0).context("nobody was granted")
}

pub async fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let pods = scale.of(10_000);
    let (gate, leadership) = stage::open(pods, pods, BUCKETS).await;
    let before = process::memory(std::process::id())?;
    let turns = Arc::new(Mutex::new(Turns::default()));
    let tasks: Vec<_> =
        (0..pods).map(|ordinal| tokio::spawn(call(gate.clone(), ordinal, turns.clone()))).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let waiting = gate.totals().calls;
    ensure!(waiting + u64::from(BUCKETS) >= u64::from(pods), "only {waiting} of {pods} callers wait");
    let each = process::memory(std::process::id())?.saturating_sub(before) / u64::from(pods);
    tokio::time::sleep(Duration::from_secs(scale.of(40).max(8).into())).await;
    for task in tasks {
        task.abort();
    }
    drop(leadership);
    let mut late = std::mem::take(&mut turns.lock().map_err(|_| anyhow::anyhow!("a caller panicked"))?.late);
    late.sort_unstable();
    let note = format!("{} grants, {BUCKETS} buckets", late.len());
    Ok(vec![
        row(
            format!("memory of a waiting caller, {pods} at once"),
            f64::from(u32::try_from(each)?),
            "bytes",
            None,
            "with its task, without HTTP".into(),
        ),
        row("grant after its turn, p50".into(), percentile(&late, 50)?, "ms", None, note.clone()),
        row(
            "grant after its turn, p99".into(),
            percentile(&late, 99)?,
            "ms",
            Some(Target::AtMost(5.0)),
            note,
        ),
    ])
}

fn row(what: String, measured: f64, unit: &'static str, target: Option<Target>, note: String) -> Row {
    Row { what, measured, unit, target, note }
}

async fn call(gate: Gate, ordinal: u32, turns: Arc<Mutex<Turns>>) -> anyhow::Result<()> {
    let pod = stage::pod(ordinal);
    loop {
        let request = IdentifyRequest { layout: 1, shards: vec![ordinal], priority: Priority::Active };
        let IdentifyAnswer::Granted { shard, grant, .. } = gate.identify(&pod, request).await? else {
            continue;
        };
        let granted = Instant::now();
        gate.identified(&pod, grant, Outcome::Sent).await?;
        gate.identified(&pod, grant, Outcome::Ready).await?;
        let mut turns = turns.lock().map_err(|_| anyhow::anyhow!("a caller panicked"))?;
        turns.granted(shard % BUCKETS, granted, granted + WINDOW);
    }
}
