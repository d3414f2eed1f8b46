//! Operators and bots as processes, the simulated Discord as their judge, on one API server without nodes.
//!
//! A test by name for each row of the fault table that needs no hand-over, and hundreds of runs by seed. Discord's time passes
//! ten times as fast; everything else is real. Each test has a fleet and a namespace of its own and can be had alone
//! (`cargo test --test fleet -- NAME`). Everything ends with this process, whatever ends it. Deliberately absent: fakes.

mod life;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use shard_tests::fleet::ground::Ground;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;

type Test = fn(&Stage) -> Result<()>;

/// What a test stands on.
#[derive(Debug)]
pub struct Stage {
    /// The API server, and what fleets share.
    pub ground: Arc<Ground>,
    /// Where tests run.
    pub runtime: Runtime,
}

const TESTS: [(&str, Test); 2] = [
    ("a_fleet_comes_online_answers_and_breaks_no_rule", life::comes_online),
    ("a_killed_container_resumes", life::a_killed_container),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // Before any thread is started: those that come after are in the API server's network.
    let stage = match stage() {
        Ok(stage) => Arc::new(stage),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&stage)));
    let down = Arc::into_inner(stage).map_or(Ok(()), |Stage { ground, runtime }| {
        drop(runtime);
        Arc::into_inner(ground).map_or(Ok(()), Ground::down)
    });
    if let Err(error) = down {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn stage() -> Result<Stage> {
    let ground = Arc::new(Ground::up("fleet-tests")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    Ok(Stage { ground, runtime })
}

fn trials(stage: Option<&Arc<Stage>>) -> Vec<Trial> {
    let trial = |(name, test): (&str, Test)| {
        let stage = stage.cloned();
        Trial::test(name, move || {
            let Some(stage) = stage else { return Ok(()) };
            test(&stage).map_err(failed)
        })
    };
    TESTS.map(trial).into()
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
