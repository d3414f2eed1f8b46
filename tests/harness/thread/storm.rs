//! One run by seed: a fleet comes online, users talk, faults come by a schedule, everything is healed, Discord's ledger judges.
//!
//! From a [`Schedule`] to a [`Run`]: the same schedules as those of processes (`fleet/storm.rs`), at Discord's own pace, so that each of
//! their times lasts ten times as long, and longer in a slow run. Deliberately absent: what is right (`verdict.rs`).

use super::row::again;
use super::{Making, Tampered, World, stage};
use crate::any_fleet::AnyFleet as _;
use crate::fleet::TIME_FACTOR;
use crate::fleet::proxy::{Fault as Tampering, Hits, How};
use crate::fleet::schedule::{Fault, Kind, Schedule};
use crate::fleet::storm::{Act, RATE, acts, connection_fault, rest_fault};
use crate::fleet::verdict::Run;
use anyhow::{Context, Result, ensure};
use discord_sim::{
    EventFilter, FaultFilter, FreezeConnections, Ledger, LedgerQuery, Options, Outage, ShardOf,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// One deaf leader of so many keeps its lease, and hears nothing by its watches, for five minutes since nothing ends them.
const ONLY_WATCHES_ONE_OF: u32 = 3;
/// Writes that come late at once, at most.
const MOST_KEPT: u32 = 3;
/// Long enough that a connection that is dead is taken for a zombie, in milliseconds.
const ZOMBIE_MS: u64 = 100_000;
/// How much later things come at most where hosts are slow to reach, in milliseconds.
const MOST_LATE_MS: u64 = 2_500;
/// The same of what passes to Discord: below the 120 ms by which travel times may vary from one IDENTIFY to the next, since
/// that is how far the spacing of IDENTIFYs is promised.
const MOST_LATE_AT_DISCORD: Duration = Duration::from_millis(100);
/// Where nothing begins or ends for longer, users write less for the rest of it: it costs most of a story's time.
const LULL: Duration = Duration::from_mins(1);
/// That much of what they write otherwise.
const LULLED: f64 = 0.1;
/// Lines on either side of the first in which two runs of a seed differ.
const AROUND: usize = 6;
/// Events lost, and events answered twice, that a failure tells of.
const MOST_TOLD: usize = 3;

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
        discord: Options { session_life: Options::default().session_life, ..making.discord },
        has_ways: [Kind::Partition, Kind::NodeLost, Kind::NetworkSlow, Kind::OperatorsBlind]
            .into_iter()
            .any(has),
        tampered: Tampered {
            operators: has(Kind::OperatorDeaf) || has(Kind::ApiAnswersLost),
            pods: has(Kind::WritesLate) || has(Kind::ApiAnswersLost),
        },
        ..making
    };
    let world = match World::begin(making).await {
        Ok(world) => world,
        Err(error) => return not_begun(schedule, &error.context("start the fleet")),
    };
    let outcome = weather(&world, schedule).await;
    let ledger = world.ledger();
    let most = schedule.most_identifies();
    let outcome = outcome.and_then(|()| {
        ensure!(ledger.identifies <= most, "{} IDENTIFYs, at most {most} were needed", ledger.identifies);
        world.handled_once()?;
        Ok(())
    });
    let mut run = Run::judge(schedule, &ledger, outcome.err().as_ref());
    run.again = again(schedule);
    if let Some(failure) = &mut run.failure {
        for (what, events) in [("lost", EventFilter::Lost), ("answered twice", EventFilter::Doubled)] {
            let query =
                LedgerQuery { lost_after_ms: Some(0), events: Some(events), ..LedgerQuery::default() };
            for event in world.ledger_of(query).event_details.iter().take(MOST_TOLD) {
                // Writing to a String cannot fail.
                let _ = write!(failure, "; {what}: {event:?}");
            }
        }
    }
    Ended { run, sent: sent(&world, &ledger), lasted: world.elapsed() }
}

impl UnderWay {
    fn has(&self, kind: Kind) -> bool {
        self.lasting.iter().any(|fault| fault.kind == kind)
    }

    /// Whether a fault that goes on keeps this replica of so many from running.
    fn stops(&self, number: u32, operators: u32) -> bool {
        self.lasting.iter().any(|fault| stops(fault, number, operators))
    }
}

/// Whether a fault keeps this replica of so many from running.
fn stops(fault: &Fault, number: u32, operators: u32) -> bool {
    match fault.kind {
        Kind::OperatorKill | Kind::OperatorStop | Kind::NodeDrained => fault.which % operators == number,
        Kind::OperatorsKill => true,
        _ => false,
    }
}

/// What of a schedule goes on.
#[derive(Debug, Default)]
struct UnderWay {
    /// Faults that have to be ended.
    lasting: Vec<Fault>,
    /// Where the pod is that is cut off from everything.
    cut: Option<IpAddr>,
}

async fn weather(world: &World, schedule: &Schedule) -> Result<()> {
    let shape = &schedule.shape;
    world.apply(json!({ "shards": shape.shards, "shardsPerPod": shape.shards.div_ceil(shape.pods) })).await?;
    world.online().await.context("come online")?;
    let rate = RATE / f64::from(TIME_FACTOR * schedule.slowness);
    world.talk(rate)?;
    let (begun, mut under_way) = (Instant::now(), UnderWay::default());
    for (at_ms, act) in acts(&schedule.slowed()) {
        let at = begun + Duration::from_millis(discords_ms(at_ms));
        if at.saturating_duration_since(Instant::now()) > LULL {
            tokio::time::sleep(LULL).await;
            world.talk(rate * LULLED)?;
            tokio::time::sleep_until(at).await;
            world.talk(rate)?;
        }
        tokio::time::sleep_until(at).await;
        match act {
            Act::Begin(fault) => {
                tracing::info!(kind = %fault.kind, which = fault.which, for_ms = discords_ms(fault.for_ms), "a fault begins");
                if fault.kind.lasts() {
                    under_way.lasting.push(fault.clone());
                }
                begin(world, schedule, &fault, &mut under_way).await?;
            }
            Act::End(fault) => {
                under_way.lasting.retain(|one| *one != fault);
                end(world, schedule, &fault, &under_way).await?;
            }
        }
    }
    heal(world, &under_way).await?;
    // Users go on for a moment, so that what came back is seen to work.
    world.online().await.context("come online again")?;
    world.hush();
    world.settled().await.context("answer everything")?;
    world.online().await.context("stay online").map(drop)
}

/// A span of a schedule, which is told in the real time of processes.
fn discords_ms(ms: u64) -> u64 {
    ms * u64::from(TIME_FACTOR)
}

async fn begin(world: &World, schedule: &Schedule, fault: &Fault, under_way: &mut UnderWay) -> Result<()> {
    let Fault { kind, which, .. } = *fault;
    let for_ms = discords_ms(fault.for_ms);
    let (total, operators) = (schedule.shape.shards, schedule.shape.operators);
    let discord = world.discord.control();
    let shard = ShardOf { id: schedule.shape.shard(which), total };
    if let Some(ends) = connection_fault(kind, shard) {
        return Ok(discord.drop_connection(ends).map(drop)?);
    }
    match kind {
        Kind::ContainerKill
        | Kind::PodDelete
        | Kind::Partition
        | Kind::NodeLost
        | Kind::KubeletLost
        | Kind::NodeDrained => {
            if kind == Kind::NodeDrained {
                world.operators.begin_to_stop(which % operators);
            }
            let killed = kind == Kind::ContainerKill;
            let pods = if killed { world.kubelet.staying() } else { world.kubelet.pods() };
            let Some(pod) = pods.get(which as usize % pods.len().max(1)) else { return Ok(()) };
            match kind {
                Kind::ContainerKill => world.kubelet.kill(pod),
                // It may be on its way out already.
                Kind::PodDelete | Kind::NodeDrained => drop(world.delete(pod).await),
                // Its node may be lost already.
                Kind::KubeletLost => drop(world.lose_kubelet(pod).await),
                Kind::NodeLost => drop(world.lose_together(std::slice::from_ref(pod)).await),
                _ => under_way.cut = world.cut(pod),
            }
        }
        Kind::Freeze => {
            let freeze = FreezeConnections {
                shard: Some(shard.id),
                total: Some(shard.total),
                for_ms: ZOMBIE_MS + for_ms,
                ..FreezeConnections::default()
            };
            discord.freeze_connections(freeze).map(drop)?;
        }
        Kind::OperatorKill => world.operators.kill(which % operators),
        Kind::OperatorStop => world.operators.begin_to_stop(which % operators),
        Kind::OperatorsKill => world.operators.kill_all(),
        Kind::OperatorDeaf => {
            if let Some(tamper) = world.tampers.of_operators.get((which % operators) as usize) {
                let hits = if which % ONLY_WATCHES_ONE_OF == 0 { Hits::Watches } else { Hits::All };
                tamper.add(Tampering { hits, how: How::Hang, count: u64::MAX });
                tamper.cut();
            }
        }
        Kind::WritesLate => {
            if let Some(tamper) = &world.tampers.of_pods {
                let count = u64::from(1 + which % MOST_KEPT);
                tamper.add(Tampering { hits: Hits::Writes, how: How::Keep, count });
            }
        }
        Kind::ApiAnswersLost => {
            let count = u64::from(1 + which % MOST_KEPT);
            for tamper in world.tampers.of_operators.iter().chain(&world.tampers.of_pods) {
                tamper.add(Tampering { hits: Hits::Writes, how: How::Lose, count });
            }
        }
        Kind::NetworkSlow => {
            let late = Duration::from_millis(1 + u64::from(which) % MOST_LATE_MS);
            world.delay(late, late.min(MOST_LATE_AT_DISCORD));
        }
        Kind::OperatorsBlind => world.set_operators_to_discord(false),
        Kind::GateAway => world.operators.set_reachable(false),
        Kind::ApiAway => world.set_api(false),
        Kind::Outage => discord.begin_outage(Outage { for_ms, rest: true, gateway: true }).map(drop)?,
        _ => discord.add_fault(rest_fault(kind, for_ms)).map(drop)?,
    }
    Ok(())
}

/// Ends a fault, as far as no other that goes on does the same.
async fn end(world: &World, schedule: &Schedule, fault: &Fault, under_way: &UnderWay) -> Result<()> {
    let operators = schedule.shape.operators;
    let is_last = !under_way.has(fault.kind);
    match fault.kind {
        Kind::OperatorKill | Kind::OperatorStop | Kind::OperatorsKill | Kind::NodeDrained => {
            for number in 0..operators {
                if stops(fault, number, operators) && !under_way.stops(number, operators) {
                    world.operators.revive(number).await?;
                }
            }
        }
        // It may have ended by itself, and was started again then.
        Kind::OperatorDeaf => {
            let number = fault.which % operators;
            let is_deaf = |one: &Fault| one.kind == Kind::OperatorDeaf && one.which % operators == number;
            if under_way.lasting.iter().any(is_deaf) {
                return Ok(());
            }
            if let Some(tamper) = world.tampers.of_operators.get(number as usize) {
                tamper.clear();
            }
        }
        Kind::Partition => under_way.cut.into_iter().for_each(|host| world.join(host)),
        Kind::GateAway if is_last => world.operators.set_reachable(true),
        Kind::ApiAway if is_last => world.set_api(true),
        Kind::NodeLost | Kind::KubeletLost
            if !under_way.has(Kind::NodeLost) && !under_way.has(Kind::KubeletLost) =>
        {
            world.find_again().await?;
        }
        Kind::WritesLate if is_last => land(world).await,
        Kind::NetworkSlow if is_last => world.delay(Duration::ZERO, Duration::ZERO),
        Kind::OperatorsBlind if is_last => world.set_operators_to_discord(true),
        _ => {}
    }
    Ok(())
}

/// What was kept arrives, whoever still waits.
async fn land(world: &World) {
    if let Some(tamper) = &world.tampers.of_pods {
        tamper.clear();
        drop(tamper.release().await);
    }
}

/// Ends every fault that may still be there.
async fn heal(world: &World, under_way: &UnderWay) -> Result<()> {
    let discord = world.discord.control();
    discord.remove_faults(FaultFilter::default())?;
    discord.begin_outage(Outage { for_ms: 0, rest: true, gateway: true }).map(drop)?;
    world.operators.set_reachable(true);
    world.set_api(true);
    world.set_operators_to_discord(true);
    if under_way.has(Kind::NetworkSlow) {
        world.delay(Duration::ZERO, Duration::ZERO);
    }
    world.find_again().await?;
    under_way.cut.into_iter().for_each(|host| world.join(host));
    world.tampers.of_operators.iter().for_each(|tamper| tamper.clear());
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

    /// Where another run of the same seed went another way: the first line, and as it is in both with what is around it.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<(usize, [Vec<String>; 2])> {
        let longest = self.sent.len().max(other.sent.len());
        let differs = |number: &usize| self.sent.get(*number) != other.sent.get(*number);
        let first = (0..longest).find(differs)?;
        let around = |sent: &[String]| -> Vec<String> {
            sent.iter().skip(first.saturating_sub(AROUND)).take(2 * AROUND + 1).cloned().collect()
        };
        Some((first, [around(&self.sent), around(&other.sent)]))
    }
}
