//! The script of calls: what is asked, case by case.
//!
//! From the YAML files in `cases/` to steps with their places and bodies, in which `NS` stands for the case's namespace and `${name}`
//! for what an earlier answer was kept as. Deliberately absent: what the answers should be; the real server says it.

use anyhow::{Context, Result};
use serde_json::Value;
use shard_tests::checkout::root;
use std::collections::BTreeMap;
use std::fs;

/// One case: calls in a namespace of their own.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its file and its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What is done.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A call.
    Call(Box<Call>),
    /// The history is forgotten.
    Compact,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body's type.
    pub content: String,
    /// What is accepted.
    pub accept: String,
    /// The body.
    pub body: Option<String>,
    /// What is called a second after it was begun: for watches.
    pub meanwhile: Option<Box<Call>>,
    /// What is kept of the answer: a name, and where it stands.
    pub keep: BTreeMap<String, String>,
}

/// All cases.
///
/// # Errors
/// When a file cannot be read.
pub fn cases() -> Result<Vec<Case>> {
    let folder = root().join("tests/conformance/cases");
    let mut files: Vec<_> = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let all: Vec<Value> =
            serde_saphyr::from_str(&text).with_context(|| format!("parse {}", file.display()))?;
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        for (place, case) in all.iter().enumerate() {
            let name = format!("{stem}: {}", case["case"].as_str().context("a case without a name")?);
            let namespace = format!("{stem}-{place}");
            let steps = case["steps"].as_array().context("a case without steps")?;
            let steps = steps.iter().map(step).collect::<Result<_>>().with_context(|| name.clone())?;
            cases.push(Case { name, namespace, steps });
        }
    }
    Ok(cases)
}

fn step(raw: &Value) -> Result<Step> {
    if raw["compact"] == true { Ok(Step::Compact) } else { Ok(Step::Call(Box::new(call(raw)?))) }
}

fn call(raw: &Value) -> Result<Call> {
    let (method, path) =
        raw["call"].as_str().and_then(|call| call.split_once(' ')).context("a step without a call")?;
    let text = |field: &str| raw[field].as_str().map(str::to_owned);
    let content = match raw["type"].as_str() {
        Some("apply") => "application/apply-patch+yaml",
        Some("json") => "application/json-patch+json",
        Some("merge") => "application/merge-patch+json",
        Some("strategic") => "application/strategic-merge-patch+json",
        Some(other) => other,
        None => "application/json",
    };
    let keep = raw["keep"].as_object().into_iter().flatten();
    let meanwhile =
        raw.get("meanwhile").map(|raw| Ok::<_, anyhow::Error>(Box::new(call(raw)?))).transpose()?;
    Ok(Call {
        meanwhile,
        method: method.to_owned(),
        path: path.to_owned(),
        content: content.to_owned(),
        accept: text("accept").unwrap_or_else(|| "application/json".to_owned()),
        body: text("text").or_else(|| raw.get("body").map(Value::to_string)),
        keep: keep
            .map(|(name, pointer)| Ok((name.clone(), pointer.as_str().context("a pointer")?.to_owned())))
            .collect::<Result<_>>()?,
    })
}
