//! One run by seed: a fleet comes online, users talk, faults come by a schedule, everything is healed, Discord's ledger judges.
//!
//! From a [`Schedule`] to a [`Run`]: the same schedules as those of processes (`fleet/storm.rs`), at Discord's own pace, so that each of
//! their times lasts ten times as long. Deliberately absent: what is right (`verdict.rs`).

use super::row::again;
use super::{Making, Tampered, World, stage};
use crate::any_fleet::AnyFleet as _;
use crate::fleet::TIME_FACTOR;
use crate::fleet::proxy::{Fault as Tampering, Hits, How};
use crate::fleet::schedule::{Fault, Kind, Schedule};
use crate::fleet::storm::{Act, RATE, acts, connection_fault, rest_fault};
use crate::fleet::verdict::Run;
use anyhow::{Context, Result};
use discord_sim::{
    EventFilter, FaultFilter, FreezeConnections, Ledger, LedgerQuery, Options, Outage, ShardOf,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// Writes that come late at once, at most.
const MOST_KEPT: u32 = 3;
/// Lost events that a failure tells of.
const MOST_LOST: usize = 3;

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

/// Runs a schedule to its verdict. What fails is in the verdict.
#[must_use]
pub fn run(schedule: &Schedule) -> Ended {
    let ended = super::run(schedule.seed, async { Ok(story(schedule).await) });
    ended.unwrap_or_else(|error| not_begun(schedule, &error))
}

fn not_begun(schedule: &Schedule, error: &anyhow::Error) -> Ended {
    let run = Run { again: again(schedule), ..Run::not_begun(schedule, error) };
    Ended { run, sent: Vec::new(), lasted: Duration::ZERO }
}

async fn story(schedule: &Schedule) -> Ended {
    let shape = &schedule.shape;
    let making = stage::making(shape);
    let has = |kind| schedule.faults.iter().any(|fault| fault.kind == kind);
    let making = Making {
        seed: schedule.seed,
        discord: Options {
            guilds: shape.shards * 10,
            session_life: Options::default().session_life,
            ..making.discord
        },
        has_ways: has(Kind::Partition),
        tampered: if has(Kind::WritesLate) { Tampered::Pods } else { Tampered::Nobody },
        ..making
    };
    let world = match World::begin(making).await {
        Ok(world) => world,
        Err(error) => return not_begun(schedule, &error.context("start the fleet")),
    };
    let outcome = weather(&world, schedule).await;
    let ledger = world.ledger();
    let mut run = Run::judge(schedule, &ledger, outcome.err().as_ref());
    run.again = again(schedule);
    if let Some(failure) = &mut run.failure {
        let query =
            LedgerQuery { lost_after_ms: Some(0), events: Some(EventFilter::Lost), ..LedgerQuery::default() };
        let lost = world.ledger_of(query).event_details;
        // Writing to a String cannot fail.
        let _ = lost.iter().take(MOST_LOST).try_for_each(|event| write!(failure, "; lost: {event:?}"));
    }
    Ended { run, sent: sent(&world, &ledger), lasted: world.elapsed() }
}

async fn weather(world: &World, schedule: &Schedule) -> Result<()> {
    let shape = &schedule.shape;
    world.apply(json!({ "shards": shape.shards, "shardsPerPod": shape.shards.div_ceil(shape.pods) })).await?;
    world.online().await.context("come online")?;
    world.talk(RATE / f64::from(TIME_FACTOR))?;
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
    heal(world).await?;
    // Users go on for a moment, so that what came back is seen to work.
    world.online().await.context("come online again")?;
    world.hush();
    world.settled().await.context("answer everything")?;
    world.online().await.context("stay online").map(drop)
}

/// A span of a schedule, which is told in the real time of processes.
fn discords(ms: u64) -> Duration {
    Duration::from_millis(ms * u64::from(TIME_FACTOR))
}

fn discords_ms(ms: u64) -> u64 {
    ms * u64::from(TIME_FACTOR)
}

async fn begin(world: &World, schedule: &Schedule, fault: &Fault) -> Result<()> {
    let Fault { kind, which, for_ms, .. } = *fault;
    let (total, operators) = (schedule.shape.shards, schedule.shape.operators);
    let discord = world.discord.control();
    let shard = ShardOf { id: which % total, total };
    match kind {
        Kind::ContainerKill | Kind::PodDelete | Kind::Partition => {
            let pods = world.kubelet.pods();
            let Some(pod) = pods.get(which as usize % pods.len().max(1)) else { return Ok(()) };
            match kind {
                Kind::ContainerKill => world.kubelet.kill(pod),
                // It may be on its way out already.
                Kind::PodDelete => drop(world.delete(pod).await),
                _ => world.cut(pod),
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
        // It may have ended already.
        Kind::OperatorStop => drop(world.operators.stop(which % operators).await),
        Kind::OperatorsKill => world.operators.kill_all(),
        Kind::WritesLate => world.tampers.iter().for_each(|tamper| {
            tamper.add(Tampering {
                hits: Hits::Writes,
                how: How::Keep,
                count: u64::from(1 + which % MOST_KEPT),
            });
        }),
        Kind::GateAway => world.operators.set_reachable(false),
        Kind::ApiAway => world.set_api(false),
        Kind::Outage => discord
            .begin_outage(Outage { for_ms: discords_ms(for_ms), rest: true, gateway: true })
            .map(drop)?,
        _ => discord.add_fault(rest_fault(kind, discords_ms(for_ms))).map(drop)?,
    }
    Ok(())
}

async fn end(world: &World, schedule: &Schedule, fault: &Fault) -> Result<()> {
    match fault.kind {
        Kind::OperatorKill | Kind::OperatorStop => {
            world.operators.revive(fault.which % schedule.shape.operators).await?;
        }
        Kind::OperatorsKill => world.operators.revive_all().await?,
        Kind::GateAway => world.operators.set_reachable(true),
        Kind::ApiAway => world.set_api(true),
        Kind::Partition => world.join(),
        Kind::WritesLate => land(world).await,
        _ => {}
    }
    Ok(())
}

/// What was kept arrives, whoever still waits.
async fn land(world: &World) {
    for tamper in &world.tampers {
        tamper.clear();
        drop(tamper.release().await);
    }
}

/// Ends every fault that may still be there.
async fn heal(world: &World) -> Result<()> {
    let discord = world.discord.control();
    discord.remove_faults(FaultFilter::default())?;
    discord.begin_outage(Outage { for_ms: 0, rest: true, gateway: true }).map(drop)?;
    world.operators.set_reachable(true);
    world.set_api(true);
    world.join();
    land(world).await;
    world.operators.revive_all().await
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
