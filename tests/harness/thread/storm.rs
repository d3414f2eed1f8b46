//! One run by seed: a fleet comes online, users talk, faults come by a schedule, everything is healed, Discord's ledger judges.
//!
//! From a [`Schedule`] to a [`Run`]: the same schedules as those of processes (`fleet/storm.rs`), at Discord's own pace, so that each of
//! their times lasts ten times as long. Deliberately absent: partitions, since a pod's sockets to Discord are the system's; they are
//! taken out of a schedule ([`of`]) and left to processes with networks of their own.

use super::{BOT, World};
use crate::fleet::TIME_FACTOR;
use crate::fleet::schedule::{Fault, Kind, Schedule};
use crate::fleet::storm::{Act, RATE, acts, connection_fault, rest_fault};
use crate::fleet::verdict::Run;
use anyhow::{Context, Result, bail};
use discord_sim::{FaultFilter, FreezeConnections, Generate, Ledger, Options, Outage, ShardOf};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a fleet may take to come online or to settle.
const PATIENCE: Duration = Duration::from_mins(20);
/// Between two looks.
const LOOKS: Duration = Duration::from_millis(500);

/// A run, and what was sent in it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The verdict.
    pub run: Run,
    /// All writes to the API server in their order, and all that Discord saw, with its times.
    pub sent: Vec<String>,
    /// How long it lasted, in Discord's time.
    pub lasted: Duration,
}

/// The schedule of a seed, without what cannot be had here. A fault's place counts among those that are left.
#[must_use]
pub fn of(seed: u64) -> Schedule {
    let mut schedule = Schedule::of(seed);
    schedule.faults.retain(|fault| fault.kind != Kind::Partition);
    schedule
}

/// Runs a schedule to its verdict. What fails is in the verdict.
#[must_use]
pub fn run(schedule: &Schedule) -> Ended {
    let ended = super::run(schedule.seed, async { Ok(story(schedule).await) });
    ended.unwrap_or_else(|error| not_begun(schedule, &error))
}

fn not_begun(schedule: &Schedule, error: &anyhow::Error) -> Ended {
    Ended { run: Run::not_begun(schedule, error), sent: Vec::new(), lasted: Duration::ZERO }
}

async fn story(schedule: &Schedule) -> Ended {
    let shape = &schedule.shape;
    let options = Options {
        guilds: shape.shards * 10,
        shards: Some(shape.shards),
        max_concurrency: shape.buckets,
        heartbeat_interval: Duration::from_millis(shape.heartbeat_ms * u64::from(TIME_FACTOR)),
        ..Options::default()
    };
    let mut world = match World::begin(schedule.seed, shape.operators, options).await {
        Ok(world) => world,
        Err(error) => return not_begun(schedule, &error.context("start the fleet")),
    };
    let outcome = weather(&mut world, schedule).await;
    let ledger = world.ledger();
    let run = Run::judge(schedule, &ledger, outcome.err().as_ref());
    Ended { run, sent: sent(&world, &ledger), lasted: world.elapsed() }
}

async fn weather(world: &mut World, schedule: &Schedule) -> Result<()> {
    let shape = &schedule.shape;
    world.apply(json!({ "shards": shape.shards, "shardsPerPod": shape.shards.div_ceil(shape.pods) })).await?;
    online(world, shape.shards).await.context("come online")?;
    let talk = Generate { rate: Some(RATE / f64::from(TIME_FACTOR)), ..Generate::default() };
    world.discord.control().generate(&talk)?;
    let begun = Instant::now();
    for (at_ms, act) in acts(&schedule.faults) {
        tokio::time::sleep_until(begun + discords(at_ms)).await;
        match act {
            Act::Begin(fault) => {
                tracing::info!(kind = %fault.kind, which = fault.which, for_ms = discords_ms(fault.for_ms), "a fault begins");
                begin(world, schedule, &fault).await?;
            }
            Act::End(fault) => end(world, schedule, &fault).await?,
        }
    }
    heal(world, schedule).await?;
    // Users go on for a moment, so that what came back is seen to work.
    online(world, shape.shards).await.context("come online again")?;
    world.discord.control().stop_generating();
    until(world, "every message to be answered", |ledger| {
        let open = ledger.events.lost + ledger.events.waiting;
        if open == 0 { Ok(()) } else { Err(format!("{open} have no answer")) }
    })
    .await?;
    online(world, shape.shards).await.context("stay online")
}

/// A span of a schedule, which is told in the real time of processes.
fn discords(ms: u64) -> Duration {
    Duration::from_millis(ms * u64::from(TIME_FACTOR))
}

fn discords_ms(ms: u64) -> u64 {
    ms * u64::from(TIME_FACTOR)
}

async fn online(world: &World, total: u32) -> Result<()> {
    until(world, "every shard to be connected", |ledger| {
        let missing: Vec<_> = (0..total)
            .filter(|shard| {
                !ledger.sessions.iter().any(|one| one.shard == *shard && one.total == total && one.connected)
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("shards {missing:?} are not connected")) }
    })
    .await
}

async fn until(world: &World, what: &str, wanted: impl Fn(&Ledger) -> Result<(), String>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let Err(found) = wanted(&world.ledger()) else { return Ok(()) };
        if begun.elapsed() > PATIENCE {
            let status = world.bots().get(BOT).await?.status;
            bail!(
                "waited {} s for {what}: {found}; {}; {}",
                PATIENCE.as_secs(),
                world.kubelet.describe(),
                serde_json::to_string(&status)?
            );
        }
        tokio::time::sleep(LOOKS).await;
    }
}

async fn begin(world: &mut World, schedule: &Schedule, fault: &Fault) -> Result<()> {
    let Fault { kind, which, for_ms, .. } = *fault;
    let (total, operators) = (schedule.shape.shards, schedule.shape.operators);
    let discord = world.discord.control();
    let shard = ShardOf { id: which % total, total };
    match kind {
        Kind::ContainerKill | Kind::PodDelete => {
            let pods = world.kubelet.pods();
            let Some(pod) = pods.get(which as usize % pods.len().max(1)) else { return Ok(()) };
            if kind == Kind::ContainerKill {
                world.kubelet.kill(pod);
            } else {
                let api: Api<Pod> = Api::namespaced(world.client.clone(), super::NAMESPACE);
                // It may be on its way out already.
                let _ = api.delete(pod, &DeleteParams::default()).await;
            }
        }
        Kind::Drop | Kind::DropAll | Kind::Reconnect | Kind::InvalidResumable | Kind::Invalid => {
            discord.drop_connection(connection_fault(kind, shard)).map(drop)?;
        }
        Kind::Freeze => {
            let freeze = FreezeConnections {
                shard: Some(shard.id),
                total: Some(shard.total),
                // Long enough to be a zombie.
                for_ms: discords_ms(10_000 + for_ms),
                ..FreezeConnections::default()
            };
            discord.freeze_connections(freeze).map(drop)?;
        }
        Kind::OperatorKill => world.operators.kill(which % operators),
        Kind::OperatorsKill => (0..operators).for_each(|number| world.operators.kill(number)),
        Kind::GateAway => world.operators.set_reachable(false),
        Kind::ApiAway => world.set_api(false),
        Kind::Outage => discord
            .begin_outage(Outage { for_ms: discords_ms(for_ms), rest: true, gateway: true })
            .map(drop)?,
        Kind::Partition => bail!("a partition is for processes"),
        _ => discord.add_fault(rest_fault(kind, discords_ms(for_ms))).map(drop)?,
    }
    Ok(())
}

async fn end(world: &mut World, schedule: &Schedule, fault: &Fault) -> Result<()> {
    let operators = schedule.shape.operators;
    match fault.kind {
        Kind::OperatorKill => revive(world, fault.which % operators).await,
        Kind::OperatorsKill => revive_all(world, operators).await,
        Kind::GateAway => {
            world.operators.set_reachable(true);
            Ok(())
        }
        Kind::ApiAway => {
            world.set_api(true);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Starts a replica that does not run; one that lost its lease has ended by itself.
async fn revive(world: &mut World, number: u32) -> Result<()> {
    if !world.operators.runs(number) {
        world.operators.start(number).await?;
    }
    Ok(())
}

async fn revive_all(world: &mut World, operators: u32) -> Result<()> {
    for number in 0..operators {
        revive(world, number).await?;
    }
    Ok(())
}

/// Ends every fault that may still be there.
async fn heal(world: &mut World, schedule: &Schedule) -> Result<()> {
    let discord = world.discord.control();
    discord.remove_faults(FaultFilter::default())?;
    discord.begin_outage(Outage { for_ms: 0, rest: true, gateway: true }).map(drop)?;
    world.operators.set_reachable(true);
    world.set_api(true);
    revive_all(world, schedule.shape.operators).await
}

/// All that was written to the API server, in order, and all that Discord saw, with its times.
fn sent(world: &World, ledger: &Ledger) -> Vec<String> {
    let written = world.api.take_trace().into_iter().map(|mut written| {
        // kube names events by the system's clock, whatever clock there is.
        if let Some((events, _)) = written.call.path.clone().split_once("/events/") {
            written.call.path = format!("{events}/events");
        }
        format!("{written:?}")
    });
    let mut seen = serde_json::to_value(ledger).unwrap_or_default();
    sort(&mut seen);
    let seen = serde_json::to_string_pretty(&seen).unwrap_or_default();
    written.chain(seen.lines().map(str::to_owned)).collect()
}

/// Brings lists into an order of their own: which of two sockets the system tells of first, in one and the same moment, is its choice. When
/// each thing happened is in what is sorted.
fn sort(value: &mut Value) {
    match value {
        Value::Array(all) => {
            all.iter_mut().for_each(sort);
            all.sort_by_cached_key(Value::to_string);
        }
        Value::Object(all) => all.values_mut().for_each(sort),
        _ => {}
    }
}

impl Ended {
    /// One short word for all that was sent.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for line in &self.sent {
            hasher.update(line);
            hasher.update("\n");
        }
        hasher.finalize()[..8].iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Where another run of the same seed went another way: the first line, as it is in both.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<(usize, [String; 2])> {
        let longest = self.sent.len().max(other.sent.len());
        let line = |of: &Self, number: usize| of.sent.get(number).cloned().unwrap_or_default();
        let both = |number| [line(self, number), line(other, number)];
        (0..longest).map(|number| (number, both(number))).find(|(_, [one, two])| one != two)
    }
}
