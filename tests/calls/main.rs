//! The benchmark of calls: what bots cost the API server, beside another build in the same run.
//!
//! From: a hundred bots that are settled, and sixty whose Secret is missing, each in a world of its own on the virtual clock. For: a table, and
//! JSON with `--report FILE`. `--before PROGRAM` is this benchmark of another build, which is run with the same. Deliberately absent: watches, which
//! stay open, and whatever the harness asks.

use anyhow::{Context, Result, bail, ensure};
use apiserver_sim::{Before, Call, Hook};
use clap::{Parser, ValueEnum};
use discord_sim::{Options as Discord, Token};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use serde_json::json;
use shard_bench::options::Options;
use shard_bench::table::{Row, Table, Target};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::thread::{Making, NAMESPACE, World, run};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long calls are counted.
const SPAN: Duration = Duration::from_mins(10);
/// A call is counted where it comes from an account: those of operators and pods.
const ACCOUNTS: &str = "system:serviceaccount:";
/// The most that settled bots may cost, as a part of what they cost the build before.
const PART: f64 = 0.5;
/// The most that bots without their Secret may cost, in a second.
const A_SECOND: f64 = 2.0;

/// How the bots are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bots {
    /// Ready for long.
    Settled,
    /// Their Secret is missing.
    Missing,
}

#[derive(Parser)]
#[command(name = "calls")]
struct Arguments {
    /// Another build of this benchmark, to be run beside it.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Prints what so many bots cost, and nothing else: how another build is asked.
    #[arg(long, hide = true, requires = "count")]
    only: Option<Bots>,
    #[arg(long, hide = true)]
    count: Option<u32>,
    #[command(flatten)]
    options: Options,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some((bots, count)) = arguments.only.zip(arguments.count) {
        let Cost { operators, pods } = cost(bots, count)?;
        return Ok(writeln!(io::stdout(), "{operators} {pods}")?);
    }
    let scale = arguments.options.scale();
    let note = format!(", in {} minutes without a change; watches are not counted", SPAN.as_secs() / 60);
    let mut table = Table::begin("Calls to the API server", &note, scale);
    for (bots, count, what, unit, span) in [
        (Bots::Settled, scale.of(100), "settled bots", "calls", 1.0),
        (Bots::Missing, scale.of(60), "bots without their Secret", "calls/s", SPAN.as_secs_f64()),
    ] {
        let before = arguments.before.as_deref().map(|program| asked(program, bots, count)).transpose()?;
        let this = cost(bots, count)?;
        let target = match bots {
            Bots::Settled => before.map(|before| before.all() * PART),
            Bots::Missing => Some(A_SECOND),
        };
        let before = before.map(|before| ("before", before, None));
        for (name, cost, target) in
            before.into_iter().chain([("this build", this, target.map(Target::AtMost))])
        {
            table.add(Row {
                what: format!("{name}: {count} {what}"),
                measured: cost.all() / span,
                unit,
                target,
                note: format!("{} calls by the operator, {} by pods", cost.operators, cost.pods),
            });
        }
    }
    arguments.options.end(&table, "calls", env!("CARGO_TARGET_TMPDIR"))
}

/// Calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    operators: u32,
    pods: u32,
}

impl Cost {
    fn all(self) -> f64 {
        f64::from(self.operators) + f64::from(self.pods)
    }
}

/// What another build says.
fn asked(program: &Path, bots: Bots, count: u32) -> Result<Cost> {
    let bots = bots.to_possible_value().context("a way for bots to be")?;
    let count = count.to_string();
    let output = Command::new(program)
        .args(["--only", bots.get_name(), "--count", &count])
        .output()
        .with_context(|| format!("run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let numbers = said.lines().last().and_then(|line| line.split_once(' '));
    let Some((operators, pods)) = numbers.filter(|_| output.status.success()) else {
        bail!("{}: {}: {said}{error}", program.display(), output.status);
    };
    Ok(Cost { operators: operators.parse()?, pods: pods.parse()? })
}

/// Counts calls by operators and by pods.
#[derive(Clone, Default)]
struct Counts(Arc<[AtomicU64; 2]>);

impl Counts {
    fn count(&self, call: &Call) -> Before {
        let of = usize::from(call.user.contains(NAMESPACE));
        if call.user.starts_with(ACCOUNTS) && call.verb != "watch" {
            self.0[of].fetch_add(1, Ordering::Relaxed);
        }
        Before::GoOn
    }
}

impl Hook for Counts {
    fn before(&mut self, call: &Call) -> Before {
        self.count(call)
    }

    fn read(&mut self, call: &Call) -> Before {
        self.count(call)
    }
}

/// What so many bots cost, each of one pod with one shard, when nothing has changed for as long as is counted.
fn cost(bots: Bots, count: u32) -> Result<Cost> {
    let token = |number: u32| format!("{}.sim.token", 100_000 + number);
    let discord = Discord {
        shards: Some(1),
        guilds: 40,
        tokens: (0..count).map(|number| Token::new(&token(number))).collect(),
        ..Discord::default()
    };
    run(1, async {
        let world = World::begin(Making { seed: 1, operators: 1, discord, ..Making::default() }).await?;
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
        for number in 0..count {
            let name = format!("token-{number}");
            if bots == Bots::Settled {
                let secret =
                    json!({ "metadata": { "name": &name }, "stringData": { "token": token(number) } });
                secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
            }
            let bot = json!({
                "apiVersion": "shard-operator.dev/v1alpha1", "kind": "ShardedBot",
                "metadata": { "name": format!("bot-{number}") },
                "spec": {
                    "tokenSecretRef": { "name": name },
                    "shards": 1,
                    "template": { "spec": { "containers": [{ "name": "bot", "image": "shard-bot" }] } },
                },
            });
            world.bots().create(&PostParams::default(), &serde_json::from_value(bot)?).await?;
        }
        tokio::time::sleep(SPAN).await;
        let reasons = async || -> Result<Vec<String>> {
            let each = (0..count).map(|number| reason(&world, format!("bot-{number}")));
            join_all(each).await.into_iter().collect()
        };
        let (begun, counts) = (reasons().await?, Counts::default());
        world.api.hook(counts.clone());
        tokio::time::sleep(SPAN).await;
        world.api.unhook();
        let wanted = if bots == Bots::Settled { "Online" } else { "SecretMissing" };
        let is_quiet = begun.iter().all(|reason| reason == wanted) && begun == reasons().await?;
        ensure!(is_quiet, "{wanted} was to be said of all: {begun:?}");
        let [operators, pods] = [0, 1].map(|of| counts.0[of].load(Ordering::Relaxed));
        Ok(Cost { operators: operators.try_into()?, pods: pods.try_into()? })
    })
}

/// Why a bot is Ready, or is not.
async fn reason(world: &World, bot: String) -> Result<String> {
    let status = world.bots().get(&bot).await?.status.unwrap_or_default();
    let ready = status.conditions.into_iter().find(|one| one.type_ == "Ready");
    Ok(ready.map(|one| one.reason).unwrap_or_default())
}
