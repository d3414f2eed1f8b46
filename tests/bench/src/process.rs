//! What a process has used so far, as the kernel counts it.
//!
//! From: `/proc`. For: figures that other processes of the machine do not change. Source: `man 5 proc`.
//! Deliberately absent: other systems than Linux.

use std::time::Duration;

use anyhow::Context;

/// `/proc` counts CPU time in hundredths of a second, whatever the kernel's own clock does.
const TICK: Duration = Duration::from_millis(10);

/// CPU time in user and system mode.
pub fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name, in parentheses, may hold anything; fields are counted from behind it.
    let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).into_iter().flatten();
    let ticks: Result<Vec<u32>, _> = fields.skip(11).take(2).map(str::parse).collect();
    let ticks: u32 = ticks.with_context(|| format!("{path} is not as documented"))?.iter().sum();
    Ok(TICK * ticks)
}

/// Bytes of memory that it has in use.
pub fn memory(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

/// Bytes of memory that it has had in use at most.
pub fn peak_memory(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

fn status(process: u32, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} does not say {field}"))? * 1024)
}
