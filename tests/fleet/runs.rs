//! Twelve runs by seed, all at a time, for what only processes show: their ends, their files, their networks. The others are virtual (`tests/virtual`).

use anyhow::{Result, ensure};
use shard_tests::fleet::row::{Ends, Row};
use shard_tests::fleet::stage::Stage;

/// How many; `cargo soak` does more.
const RUNS: u64 = 12;
/// So many at a time: each waits far more than it computes.
const AT_A_TIME: u32 = 12;
/// What they are made from.
const SEED: u64 = 5;

pub fn many(stage: &Stage) -> Result<()> {
    let row = Row { seed: SEED, ends: Ends { runs: Some(RUNS), after: None }, parallel: AT_A_TIME };
    let report = stage.runtime.block_on(row.run(&stage.ground, &|line| eprintln!("  {line}")));
    eprintln!("  {}", report.line());
    let failed: Vec<_> = report.failed.iter().map(shard_tests::fleet::verdict::Run::line).collect();
    ensure!(
        report.runs == RUNS && failed.is_empty(),
        "{} of {RUNS} runs failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    Ok(())
}
