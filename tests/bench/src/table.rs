//! The table: what was measured, beside what was aimed at; for people as text, for programs as JSON.
//!
//! From: rows, printed as they come. For: standard output and the report. Deliberately absent: a verdict of the whole;
//! a target that was missed is said, and by how much, and fails nothing.

use std::path::Path;

use serde_json::{Value, json};

use crate::Scale;

/// One figure.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is of.
    pub what: String,
    /// The figure.
    pub measured: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What is aimed at, if anything.
    pub target: Option<Target>,
    /// What one should know about it.
    pub note: String,
}

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

/// All figures.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Prints the head: what is measured, and what one should know of all of it.
    pub fn begin(what: &str, note: &str, scale: Scale) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        print(&format!("{what} on {cores} cores{note}"));
        if scale.quick {
            print("quick: a tenth of everything, which shows that it works, not whether targets are met");
        }
        print("");
        print(&line(["", "measured", "", "target", "verdict", ""]));
        Self { rows: Vec::new() }
    }

    /// Prints a row.
    pub fn add(&mut self, row: Row) {
        let target = row.target.map_or_else(String::new, Target::text);
        let verdict = row.target.map_or_else(String::new, |target| target.verdict(row.measured));
        print(&line([&row.what, &number(row.measured), row.unit, &target, &verdict, &row.note]));
        self.rows.push(row);
    }

    /// Writes the report.
    pub fn end(&self, report: &Path) -> std::io::Result<()> {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        if let Some(folder) = report.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(report, format!("{:#}\n", json!({ "rows": rows })))?;
        print(&format!("\nas JSON: {}", report.display()));
        Ok(())
    }
}

impl Row {
    fn json(&self) -> Value {
        let (least, most) = match self.target {
            Some(Target::AtLeast(least)) => (Some(least), None),
            Some(Target::AtMost(most)) => (None, Some(most)),
            None => (None, None),
        };
        json!({
            "what": self.what, "measured": self.measured, "unit": self.unit, "atLeast": least, "atMost": most,
            "isMet": self.target.map(|target| target.is_met(self.measured)), "note": self.note,
        })
    }
}

impl Target {
    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(least) => measured >= least,
            Self::AtMost(most) => measured <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", number(least)),
            Self::AtMost(most) => format!("≤ {}", number(most)),
        }
    }

    fn verdict(self, measured: f64) -> String {
        if self.is_met(measured) {
            return "met".to_owned();
        }
        let (Self::AtLeast(target) | Self::AtMost(target)) = self;
        format!("missed by {:.0} %", (measured - target).abs() / target * 100.0)
    }
}

/// With as many decimals as it is worth, thousands apart.
fn number(number: f64) -> String {
    let decimals = if number.fract() == 0.0 || number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        3
    };
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut apart = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + rest
}

fn line([what, measured, unit, target, verdict, note]: [&str; 6]) -> String {
    format!("{what:<46} {measured:>9} {unit:<16} {target:>9}  {verdict:<15} {note}").trim_end().to_owned()
}

#[expect(clippy::print_stdout, reason = "the benchmark's own word to a person")]
fn print(line: &str) {
    println!("{line}");
}
