//! What operator and pods serve for Prometheus, before promtool's linter.
//!
//! From both `/metrics` pages of a fleet at work to what `promlint`, which is behind `promtool check metrics`, says of them. It reads
//! Prometheus' older text format, in which a counter's help and type carry its whole name; the rest of OpenMetrics is comments
//! there. Deliberately absent: exceptions; there is none.

use anyhow::{Context, Result, ensure};
use shard_contract::env::HEALTH_PORT;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::checkout::root;
use shard_tests::fleet::schedule::SMALL;
use shard_tests::fleet::stage::{Stage, Way};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn lint(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("metrics", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        fleet.answers(20).await?;
        let linter = linter();
        let bad = "# HELP Bad_ms_total Help.\n# TYPE Bad_ms_total gauge\nBad_ms_total 1\n";
        ensure!(!complaints(&linter, bad)?.is_empty(), "the linter takes anything");
        let pod = fleet.kubelet.pods().remove(0);
        let operator = fleet.replicas.health(0).context("an operator")?;
        let pod = format!("{}:{HEALTH_PORT}", fleet.kubelet.address(&pod)?);
        let http = reqwest::Client::builder().no_proxy().build()?;
        for (address, prefix) in [(operator.to_string(), "shard_operator_"), (pod, "shard_bot_")] {
            let page = http.get(format!("http://{address}/metrics")).send().await?.error_for_status()?;
            let page = page.text().await.context("read metrics")?;
            ensure!(page.contains(prefix) && page.ends_with("# EOF\n"), "no metrics: {page}");
            let complaints = complaints(&linter, &classic(&page))?;
            ensure!(complaints.is_empty(), "{prefix}: {complaints}");
        }
        fleet.hush();
        fleet.settled().await.map(drop)
    })
}

/// Builds the linter from its pinned source.
pub fn build_linter() -> Result<()> {
    let source = root().join("tests/fleet/lint");
    let built = Command::new("go").args(["build", "-o"]).arg(linter()).arg(".").current_dir(source).output();
    let built = built.context("run go; it is needed for the tests' Kubernetes too")?;
    ensure!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
    Ok(())
}

fn linter() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("promlint")
}

/// What the linter says, one complaint a line; nothing when all is well.
fn complaints(linter: &Path, page: &str) -> Result<String> {
    let mut child =
        Command::new(linter).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("the linter's input")?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success() == said.is_empty(), "the linter ended with {}: {said}", output.status);
    Ok(said)
}

/// From OpenMetrics to the older text format: HELP and TYPE of a counter name it as its rows do.
fn classic(page: &str) -> String {
    let counters: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let line = |line: &str| {
        let named = ["# HELP ", "# TYPE "].iter().find_map(|mark| Some((*mark, line.strip_prefix(mark)?)));
        match named.and_then(|(mark, rest)| Some((mark, rest.split_once(' ')?))) {
            Some((mark, (name, rest))) if counters.contains(name) => format!("{mark}{name}_total {rest}\n"),
            _ => format!("{line}\n"),
        }
    };
    page.lines().map(line).collect()
}
