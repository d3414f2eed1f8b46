//! The stage of tests by name: a ground, a runtime on it, and a fleet for each test.
//!
//! For the test programs `fleet` and `loop`, whose `main` is [`run`]. Each test has a fleet and a namespace of its own, so any
//! of them can be had alone, and several go on at a time. Everything ends with the process. Deliberately absent: the tests.

use super::Fleet;
use super::ground::Ground;
use super::schedule::Shape;
use crate::any_fleet::AnyFleet as _;
use anyhow::{Context, Result, ensure};
use discord_sim::Ledger;
use libtest_mimic::{Arguments, Failed, Trial};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use test_cluster::Release;
use tokio::runtime::Runtime;

/// Tests at a time, where it is not said: they wait more than they compute.
const AT_A_TIME: usize = 6;

/// A test.
pub type Test = (&'static str, fn(&Stage) -> Result<()>);

/// What tests stand on.
#[derive(Debug)]
pub struct Stage {
    /// The API server, and what fleets share.
    pub ground: Arc<Ground>,
    /// Where tests run.
    pub runtime: Runtime,
    others: RwLock<()>,
}

/// Whether the operators of a fleet have proxies before the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They have none.
    Straight,
    /// They have one each.
    Proxies,
    /// The operators have one each, and no other fleet is there meanwhile: for tests that stop the API server itself.
    ProxiesAlone,
}

/// Runs the tests that the command line asks for, on a ground of this name and release. What they need of the world is fetched by `prepare`: from the
/// API server's network there is no way out.
#[must_use]
pub fn run(name: &str, release: Release, tests: &[Test], prepare: fn() -> Result<()>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_A_TIME));
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(tests, None)).exit_code();
    }
    // Before any thread is started: those that come after are in the API server's network.
    let stage = match prepare().and_then(|()| Stage::up(name, release)) {
        Ok(stage) => Arc::new(stage),
        Err(error) => return complain(&error),
    };
    let conclusion = libtest_mimic::run(&arguments, trials(tests, Some(&stage)));
    let down = Arc::into_inner(stage).map_or(Ok(()), |Stage { ground, runtime, .. }| {
        drop(runtime);
        Arc::into_inner(ground).map_or(Ok(()), Ground::down)
    });
    down.map_or_else(|error| complain(&error), |()| conclusion.exit_code())
}

fn complain(error: &anyhow::Error) -> ExitCode {
    // Where nobody reads, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn trials(tests: &[Test], stage: Option<&Arc<Stage>>) -> Vec<Trial> {
    let trial = |(name, test): &Test| {
        let (stage, test) = (stage.cloned(), *test);
        Trial::test(*name, move || {
            let stage = stage.ok_or_else(|| Failed::from("there is no stage"))?;
            test(&stage).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    tests.iter().map(trial).collect()
}

impl Stage {
    fn up(name: &str, release: Release) -> Result<Self> {
        let ground = Arc::new(Ground::up(name, release)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
        Ok(Self { ground, runtime, others: RwLock::default() })
    }

    /// Runs a test on a fleet of this shape that is online; judges it, ends it, and keeps its logs when it failed.
    ///
    /// # Errors
    /// When the fleet does not come online, the test fails, or Discord's ledger shows what is never right.
    pub fn on_a_fleet(
        &self,
        name: &str,
        shape: &Shape,
        way: Way,
        test: impl AsyncFnOnce(&Fleet) -> Result<()>,
    ) -> Result<()> {
        let lock = || self.others.read().unwrap_or_else(PoisonError::into_inner);
        let alone = || self.others.write().unwrap_or_else(PoisonError::into_inner);
        let is_alone = way == Way::ProxiesAlone;
        let _held = (is_alone.then(alone), (!is_alone).then(lock));
        self.runtime.block_on(async {
            let fleet = Fleet::start_with(&self.ground, shape.clone(), way != Way::Straight).await?;
            let outcome = async {
                fleet.online().await.context("come online")?;
                test(&fleet).await?;
                rules_were_kept(&fleet.ledger())
            };
            let outcome: Result<()> = outcome.await;
            let kept = outcome.is_err().then(|| fleet.keep(name));
            fleet.stop().await;
            match kept {
                None => outcome,
                Some(Ok(kept)) => outcome.with_context(|| format!("logs: {}", kept.display())),
                Some(Err(error)) => outcome.with_context(|| format!("no logs: {error:#}")),
            }
        })
    }
}

/// Nothing that is never right happened: no rule broken, no token reset, nothing lost, nothing answered twice unmarked.
///
/// # Errors
/// With the verdict and the rules broken.
pub fn rules_were_kept(ledger: &Ledger) -> Result<()> {
    let verdict = ledger.verdict();
    ensure!(verdict.keeps_the_rules(), "{verdict}: {:?}", ledger.violation_details);
    ensure!(verdict.lost == 0 && verdict.doubled == 0 && verdict.unknown_routes == 0, "{verdict}");
    Ok(())
}
