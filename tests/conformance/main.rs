//! The API server in memory is held to the real one: one script of calls is played on both, and the answers are compared.
//!
//! Every case is a test; a difference in status, warnings or body fails it and is told place by place. Two more tests: the types
//! that the server in memory is made of are the real server's (`UPDATE=1` writes them), and everything that it is known to leave
//! out occurs. Deliberately absent: times, and what only a controller would change.

mod normal;
mod openapi;
mod play;
mod real;
mod script;

use anyhow::{Result, ensure};
use apiserver_sim::{LEFT_OUT, Options, Server};
use libtest_mimic::{Arguments, Failed, Trial};
use normal::{Normal, differences};
use play::{Answer, play};
use real::Real;
use script::{Case, cases};
use shard_tests::checkout::root;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match outcomes(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            // Where nobody reads, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays everything once; the trials only tell how it went.
fn outcomes(arguments: &Arguments) -> Result<Vec<Trial>> {
    let cases = cases()?;
    if arguments.list {
        let names = cases.into_iter().map(|case| case.name).chain([TYPES.to_owned(), MINIMAL.to_owned()]);
        return Ok(names.map(|name| Trial::test(name, || Ok(()))).collect());
    }
    let real = Real::up()?;
    let (mut trials, mut occurred) = (Vec::new(), BTreeSet::new());
    for case in &cases {
        let outcome = held(case, &real, &mut occurred);
        trials.push(trial(&case.name, outcome));
    }
    trials.push(trial(TYPES, openapi::is_fresh(&real)));
    let missing: Vec<_> = LEFT_OUT
        .iter()
        .enumerate()
        .filter(|(place, _)| !occurred.contains(place))
        .map(|(_, left)| left)
        .collect();
    let minimal =
        if missing.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("never occurred: {missing:?}")) };
    trials.push(trial(MINIMAL, minimal));
    real.down()?;
    Ok(trials)
}

const TYPES: &str = "the types are the real server's";
const MINIMAL: &str = "everything that is left out occurs";

fn trial(name: &str, outcome: Result<()>) -> Trial {
    let outcome = outcome.map_err(|error| Failed::from(format!("{error:#}")));
    Trial::test(name, move || outcome)
}

/// Plays a case on both and compares.
fn held(case: &Case, real: &Real, occurred: &mut BTreeSet<usize>) -> Result<()> {
    let theirs = real.play(case)?;
    let ours = in_memory(case)?;
    compare(&theirs, &ours, occurred)
}

/// Plays a case on a server of its own, in one thread on a paused clock.
fn in_memory(case: &Case) -> Result<Vec<Answer>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        let definition = fs::read_to_string(root().join("crds/shardedbots.yaml"))?;
        let server = Server::new(Options::new(definition))?;
        let client = server.client("system:admin", "default");
        play(case, &client, async || {
            server.compact();
            Ok(())
        })
        .await
    })
}

fn compare(theirs: &[Answer], ours: &[Answer], occurred: &mut BTreeSet<usize>) -> Result<()> {
    let (mut real, mut memory) = (Normal::default(), Normal::default());
    let mut wrong = Vec::new();
    for (place, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        let (theirs, ours) = (real.answer(theirs), memory.answer(ours));
        let lines = differences(&theirs, &ours);
        if !lines.is_empty() {
            let call: String = theirs.call.chars().take(160).collect();
            wrong.push(format!("{place}. {call}\n    {}", lines.join("\n    ")));
        }
    }
    occurred.extend(real.left_out);
    ensure!(memory.left_out.is_empty(), "what is left out is there: {:?}", memory.left_out);
    ensure!(theirs.len() == ours.len(), "{} answers, ours {}", theirs.len(), ours.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
