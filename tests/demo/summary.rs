//! The closing figures, for people and as JSON.
//!
//! From what was told and the simulator's ledger. The limit is Discord's: `5 s x ceil(shards / max_concurrency)`.
//! Deliberately absent: judgement; a reader compares.

use crate::stage::Stages;
use crate::story::Told;
use anyhow::{Context, Result, ensure};
use discord_sim::Verdict;
use serde::Serialize;
use serde_json::Value;
use shard_tests::kube::Kube;
use std::collections::BTreeMap;
use std::path::Path;

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    kubernetes: String,
    nodes: usize,
    shards: u32,
    pods: u32,
    guilds: u64,
    max_concurrency: u32,
    /// From `kubectl apply` until every shard was online.
    time_to_online_seconds: f64,
    /// From the first IDENTIFY to the last READY, as Discord saw it.
    identifying_seconds: f64,
    /// What Discord's identify limit allows at best.
    limit_seconds: u32,
    identifies: u64,
    resumes: u64,
    /// As the gate counted them: live, active, standby.
    identifies_by_priority: BTreeMap<String, u64>,
    budget_left: u32,
    /// From the end of a pod's process until its shards had resumed.
    recovery_seconds: f64,
    violations: u64,
    token_resets: u64,
    /// What the simulated Discord's ledger says of the fleet.
    verdict: Verdict,
    fib: Fib,
    reshard: Reshard,
    total_seconds: f64,
}

#[derive(Debug, Serialize)]
struct Fib {
    question: String,
    answer: String,
    history: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Reshard {
    from: u32,
    to: u32,
    seconds: f64,
}

/// Puts the figures together.
///
/// # Errors
/// When the cluster cannot be asked for its version and nodes.
pub fn summary(kube: &Kube, told: &Told, stages: &Stages) -> Result<Summary> {
    let version: Value =
        serde_json::from_str(&kube.run(&["get", "--raw", "/version"])?).context("read the version")?;
    let nodes = kube.get(&["nodes"])?.context("list the nodes")?;
    let Told { online, identifying, shards, pods, fib, reshard, recovery, granted, ledger } = told;
    Ok(Summary {
        kubernetes: version["gitVersion"].as_str().unwrap_or_default().to_owned(),
        nodes: nodes["items"].as_array().map_or(0, Vec::len),
        shards: *shards,
        pods: *pods,
        guilds: ledger.guilds,
        max_concurrency: ledger.max_concurrency,
        time_to_online_seconds: tenths(online.as_secs_f64()),
        identifying_seconds: tenths(identifying.as_secs_f64()),
        limit_seconds: 5 * shards.div_ceil(ledger.max_concurrency.max(1)),
        identifies: ledger.identifies,
        resumes: ledger.resumes,
        identifies_by_priority: granted.clone(),
        budget_left: ledger.budget.remaining,
        recovery_seconds: tenths(recovery.as_secs_f64()),
        violations: ledger.violations,
        token_resets: ledger.token_resets,
        verdict: ledger.verdict(),
        fib: Fib {
            question: fib.0.clone(),
            answer: fib.1.last().cloned().unwrap_or_default(),
            history: fib.1.clone(),
        },
        reshard: Reshard { from: reshard.0, to: reshard.1, seconds: tenths(reshard.2.as_secs_f64()) },
        total_seconds: tenths(stages.elapsed().as_secs_f64()),
    })
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

impl Summary {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let granted =
            self.identifies_by_priority.iter().map(|(priority, count)| format!("{count} {priority}"));
        let granted = granted.collect::<Vec<_>>().join(", ");
        let row = |name: &str, value: String| format!("  {name:<28} {value}\n");
        [
            "\nWhat Discord saw, and what it took\n".to_owned(),
            row("Kubernetes", format!("{}, {} nodes", self.kubernetes, self.nodes)),
            row("fleet", format!("{} shards on {} pods, {} guilds", self.shards, self.pods, self.guilds)),
            row("kubectl apply to online", format!("{:.1} s", self.time_to_online_seconds)),
            row(
                "first IDENTIFY to last READY",
                format!("{:.1} s; Discord's limit allows {} s", self.identifying_seconds, self.limit_seconds),
            ),
            row("!fib 30", self.fib.history.join(" -> ")),
            row(
                "shards changed",
                format!("{} -> {} in {:.1} s", self.reshard.from, self.reshard.to, self.reshard.seconds),
            ),
            row("killed pod to resumed", format!("{:.1} s", self.recovery_seconds)),
            row(
                "identifies used",
                format!(
                    "{} ({granted}), {} left today; {} resumes",
                    self.identifies, self.budget_left, self.resumes
                ),
            ),
            row("Discord's rules broken", format!("{}, token resets {}", self.violations, self.token_resets)),
            row(
                "commands answered",
                format!(
                    "{} of {}; {} lost, {} doubled, {} reordered",
                    self.verdict.answered,
                    self.verdict.asked,
                    self.verdict.lost,
                    self.verdict.doubled,
                    self.verdict.reordered
                ),
            ),
            row("longest pause of a shard", format!("{} ms", self.verdict.longest_pause_ms)),
            row("all of it", format!("{:.0} s", self.total_seconds)),
        ]
        .concat()
    }

    /// Whether the fleet kept Discord's rules.
    ///
    /// # Errors
    /// When it did not.
    pub fn judge(&self) -> Result<()> {
        ensure!(self.verdict.keeps_the_rules(), "broke Discord's rules: {}", self.verdict);
        ensure!(self.verdict.lost == 0, "left a command without an answer: {}", self.verdict);
        ensure!(self.verdict.doubled == 0, "answered a command twice: {}", self.verdict);
        Ok(())
    }

    /// As JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("print the report")?;
        std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}
