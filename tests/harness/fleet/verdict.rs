//! The verdict on a run, and the report on many.
//!
//! From Discord's ledger: no rule broken, no token reset, nothing lost, nothing answered twice but where it was marked, and
//! everything online again. For `cargo soak` and the tests. Deliberately absent: what the fleet says of itself.

use super::TIME_FACTOR;
use super::schedule::Schedule;
use discord_sim::Ledger;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Its faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// What Discord saw.
    #[serde(flatten)]
    pub figures: Figures,
    /// Why it is not good; none when it is.
    pub failure: Option<String>,
    /// Where its logs are, when it is not good.
    pub kept: Option<PathBuf>,
    /// The command that has it again.
    pub again: String,
}

/// What is counted, of a run or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// IDENTIFYs.
    pub identifies: u64,
    /// RESUMEs that succeeded.
    pub resumes: u64,
    /// Rules broken.
    pub violations: u64,
    /// Tokens that Discord would have reset.
    pub token_resets: u64,
    /// Messages that asked for an answer.
    pub asked: u64,
    /// Those that got one.
    pub answered: u64,
    /// Those that got none although a session was there to bring them.
    pub lost: u64,
    /// Those that ended with their session.
    pub dropped_with_session: u64,
    /// Second answers.
    pub doubled: u64,
    /// Answers sent again that made no second message.
    pub doubled_marked: u64,
}

/// Many runs.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The row's seed.
    pub seed: u64,
    /// How many times faster Discord's time passed.
    pub time_factor: u32,
    /// How long all of it took, in seconds of real time.
    pub seconds: u64,
    /// Runs that came to a verdict.
    pub runs: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Sums over all runs.
    #[serde(flatten)]
    pub figures: Figures,
    /// The runs that are not good.
    pub failed: Vec<Run>,
}

impl Run {
    /// Judges what came of a schedule; `trouble` is what did not come about.
    #[must_use]
    pub fn judge(schedule: &Schedule, ledger: &Ledger, trouble: Option<&anyhow::Error>) -> Self {
        let verdict = ledger.verdict();
        let figures = Figures {
            identifies: ledger.identifies,
            resumes: ledger.resumes,
            violations: verdict.violations,
            token_resets: verdict.token_resets,
            asked: verdict.asked,
            answered: verdict.answered,
            lost: verdict.lost,
            dropped_with_session: verdict.dropped_with_session,
            doubled: verdict.doubled,
            doubled_marked: verdict.doubled_marked,
        };
        let mut failures: Vec<String> = trouble.iter().map(|trouble| format!("{trouble:#}")).collect();
        if verdict.violations > 0 {
            failures.push(format!("rules broken: {:?}", ledger.violation_details));
        }
        let wrong = [
            ("tokens reset", figures.token_resets),
            ("lost", figures.lost),
            ("answered twice", figures.doubled),
            ("calls of unknown routes", ledger.unknown_routes),
        ];
        let wrong = wrong.iter().filter(|(_, count)| *count > 0);
        failures.extend(wrong.map(|(what, count)| format!("{what}: {count}")));
        let failure = (!failures.is_empty()).then(|| failures.join("; "));
        let again = again(schedule.seed);
        Self { seed: schedule.seed, faults: faults(schedule), figures, failure, kept: None, again }
    }

    /// A run that could not even begin.
    #[must_use]
    pub fn not_begun(schedule: &Schedule, error: &anyhow::Error) -> Self {
        let failure = Some(format!("{error:#}"));
        Self {
            seed: schedule.seed,
            faults: BTreeMap::new(),
            figures: Figures::default(),
            failure,
            kept: None,
            again: again(schedule.seed),
        }
    }

    /// One line for people, with the way to have it again when it is not good.
    #[must_use]
    pub fn line(&self) -> String {
        let Figures { identifies, resumes, asked, answered, dropped_with_session, doubled_marked, .. } =
            self.figures;
        let seen = format!(
            "seed {}: {identifies} identifies, {resumes} resumes, {answered} of {asked} answered, \
             {dropped_with_session} dropped with their session, {doubled_marked} doubled and marked",
            self.seed
        );
        match &self.failure {
            None => format!("{seen}: good"),
            Some(why) => {
                let logs =
                    self.kept.as_ref().map_or_else(String::new, |kept| format!("; logs: {}", kept.display()));
                format!("{seen}: FAILED: {why}\n  again alone: {}{logs}", self.again)
            }
        }
    }
}

impl Report {
    /// None yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, time_factor: TIME_FACTOR, ..Self::default() }
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Figures { identifies, resumes, violations, token_resets, lost, .. } = self.figures;
        let Figures { dropped_with_session, doubled, doubled_marked, .. } = self.figures;
        format!(
            "seed {}: {} runs in {} s, {} faults, {identifies} identifies, {resumes} resumes; {violations} rules broken, \
             {token_resets} tokens reset, {lost} lost, {dropped_with_session} dropped with their session, {doubled} doubled, \
             {doubled_marked} doubled and marked; {} failed",
            self.seed,
            self.runs,
            self.seconds,
            self.faults.values().sum::<u64>(),
            self.failed.len(),
        )
    }

    /// Adds a run.
    pub fn add(&mut self, run: Run) {
        self.runs += 1;
        for (kind, count) in &run.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        self.figures.add(run.figures);
        if run.failure.is_some() {
            self.failed.push(run);
        }
    }
}

impl Figures {
    fn add(&mut self, other: Self) {
        let Self { identifies, resumes, violations, token_resets, asked, answered, .. } = other;
        let Self { lost, dropped_with_session, doubled, doubled_marked, .. } = other;
        self.identifies += identifies;
        self.resumes += resumes;
        self.violations += violations;
        self.token_resets += token_resets;
        self.asked += asked;
        self.answered += answered;
        self.lost += lost;
        self.dropped_with_session += dropped_with_session;
        self.doubled += doubled;
        self.doubled_marked += doubled_marked;
    }
}

fn again(seed: u64) -> String {
    format!("cargo soak --real --seed {seed} --runs 1")
}

fn faults(schedule: &Schedule) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for fault in &schedule.faults {
        *counts.entry(fault.kind.to_string()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_names_that_it_promises_and_sums() {
        let schedule = Schedule::of(3);
        let mut report = Report::new(7);
        let figures = Figures { identifies: 2, lost: 1, ..Figures::default() };
        let run = Run {
            seed: 3,
            faults: faults(&schedule),
            figures,
            failure: Some("lost: 1".into()),
            kept: None,
            again: again(3),
        };
        assert!(run.line().contains("cargo soak --real --seed 3 --runs 1"));
        report.add(run.clone());
        report.add(Run { failure: None, ..run });
        let json = serde_json::to_value(&report).unwrap();
        for name in [
            "runs",
            "faults",
            "identifies",
            "resumes",
            "violations",
            "tokenResets",
            "lost",
            "doubled",
            "doubledMarked",
            "droppedWithSession",
            "seed",
            "timeFactor",
        ] {
            assert!(!json[name].is_null(), "{name} is missing in {json}");
        }
        assert_eq!((report.figures.identifies, report.figures.lost, report.failed.len()), (4, 2, 1));
        let faults: u64 = report.faults.values().sum();
        assert_eq!(faults, 2 * schedule.faults.len() as u64);
    }
}
