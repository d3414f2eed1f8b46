//! One run: a fleet comes online, users talk, faults come by a schedule, everything is healed, and Discord's ledger judges.
//!
//! From a [`Schedule`] to a [`Run`]. Waits are for conditions; only the faults' own times are times. Deliberately absent:
//! what is right (`verdict.rs`).

use super::Fleet;
use super::ground::Ground;
use super::judge::Judge;
use super::schedule::{Fault, Kind, Schedule};
use super::verdict::Run;
use crate::any_fleet::AnyFleet as _;
use anyhow::{Context, Result};
use discord_sim::{
    DropConnections, FaultFilter, FaultKind, FreezeConnections, How, NewFault, Outage, Scope, ShardOf,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Messages that users write in a second.
pub(crate) const RATE: f64 = 20.0;
/// What bots answer with.
const MESSAGES: &str = "/channels/{channel}/messages";

/// The longest that the simulated Discord delays an answer.
const LONGEST_DELAY_MS: u64 = 60_000;

/// What begins or ends at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Begin(Fault),
    End(Fault),
}

/// Runs a schedule to its verdict. What fails is in the verdict; nothing of the fleet is left. Until it is online it has a
/// permit of those that are `starting`.
pub async fn run(ground: &Arc<Ground>, schedule: &Schedule, starting: &Semaphore) -> Run {
    let start = starting.acquire().await.ok();
    let fleet = match Fleet::start(ground, schedule.shape.clone()).await {
        Ok(fleet) => fleet,
        Err(error) => return Run::not_begun(schedule, &error.context("start the fleet")),
    };
    let mut outcome = fleet.online().await.context("come online").map(|_| ());
    drop(start);
    if outcome.is_ok() {
        outcome = weather(&fleet, schedule).await;
    }
    let mut run = Run::judge(schedule, &fleet.ledger(), outcome.err().as_ref());
    if run.failure.is_some() {
        run.kept = fleet.keep(&format!("seed-{}", schedule.seed)).ok();
    }
    fleet.stop().await;
    run
}

async fn weather(fleet: &Fleet, schedule: &Schedule) -> Result<()> {
    fleet.talk(RATE)?;
    let begun = Instant::now();
    for (at_ms, act) in acts(&schedule.faults) {
        tokio::time::sleep_until(begun + Duration::from_millis(at_ms)).await;
        match act {
            Act::Begin(fault) => begin(fleet, &fault).await?,
            Act::End(fault) => end(fleet, &fault)?,
        }
    }
    heal(fleet)?;
    // Users go on for a moment, so that what came back is seen to work.
    fleet.online().await.context("come online again")?;
    fleet.hush();
    fleet.settled().await.context("answer everything")?;
    fleet.online().await.context("stay online")?;
    Ok(())
}

/// Begins and ends in the order of their times.
pub(crate) fn acts(faults: &[Fault]) -> Vec<(u64, Act)> {
    let both = |fault: &Fault| {
        let begin = (fault.at_ms, Act::Begin(fault.clone()));
        let end = (fault.at_ms + fault.for_ms, Act::End(fault.clone()));
        [Some(begin), fault.kind.lasts().then_some(end)]
    };
    let mut acts: Vec<_> = faults.iter().flat_map(both).flatten().collect();
    acts.sort_by_key(|(at_ms, _)| *at_ms);
    acts
}

async fn begin(fleet: &Fleet, fault: &Fault) -> Result<()> {
    let Fault { kind, which, for_ms, .. } = *fault;
    let discord = &fleet.discord;
    let shard = ShardOf { id: fleet.shape.shard(which), total: fleet.shape.shards };
    if let Some(drop) = connection_fault(kind, shard) {
        return discord.drop_connections(drop);
    }
    match kind {
        Kind::ContainerKill | Kind::PodDelete | Kind::Partition => {
            let killed = kind == Kind::ContainerKill;
            let pods = if killed { fleet.kubelet.staying() } else { fleet.kubelet.pods() };
            let Some(pod) = pods.get(which as usize % pods.len().max(1)) else { return Ok(()) };
            match kind {
                Kind::ContainerKill => fleet.kubelet.kill(pod),
                // It may be on its way out already.
                Kind::PodDelete => drop_result(fleet.delete(pod).await),
                _ => drop_result(fleet.kubelet.cut(pod, true)),
            }
        }
        Kind::Freeze => {
            let freeze = FreezeConnections {
                shard: Some(shard.id),
                total: Some(shard.total),
                // Long enough to be a zombie.
                for_ms: 10_000 + for_ms,
                ..FreezeConnections::default()
            };
            discord.act(move |discord| discord.freeze_connections(freeze)).map(drop)?;
        }
        Kind::OperatorKill => fleet.replicas.kill(which as usize % fleet.replicas.count()),
        Kind::OperatorStop => fleet.replicas.stop_one(which as usize % fleet.replicas.count()),
        Kind::OperatorsKill => (0..fleet.replicas.count()).for_each(|place| fleet.replicas.kill(place)),
        Kind::GateAway => fleet.replicas.open(false),
        Kind::ApiAway => fleet.api.set(false),
        Kind::Outage => {
            outage(discord, for_ms)?;
        }
        _ => discord.act(move |discord| discord.add_fault(rest_fault(kind, for_ms))).map(drop)?,
    }
    Ok(())
}

/// Discord is gone for a while, or back.
fn outage(discord: &Judge, for_ms: u64) -> Result<()> {
    let outage = Outage { for_ms, rest: true, gateway: true };
    Ok(discord.act(move |discord| discord.begin_outage(outage)).map(drop)?)
}

/// What is not there any more cannot be hit.
fn drop_result<T>(result: Result<T>) {
    drop(result);
}

/// How connections end by this kind of fault, the shard's or all; none: it ends none.
pub(crate) fn connection_fault(kind: Kind, shard: ShardOf) -> Option<DropConnections> {
    let drop = match kind {
        Kind::Drop => DropConnections::of(shard, How::Tcp),
        Kind::DropAll => DropConnections::all(How::Tcp),
        Kind::InvalidAll => DropConnections::all(How::Invalid),
        Kind::Reconnect => DropConnections::of(shard, How::Reconnect),
        Kind::InvalidResumable => DropConnections::of(shard, How::InvalidResumable),
        Kind::Invalid => DropConnections::of(shard, How::Invalid),
        _ => return None,
    };
    Some(drop)
}

/// What REST does for a while. A reply is sent again where Discord said that it did not take it, or may not have.
pub(crate) fn rest_fault(kind: Kind, for_ms: u64) -> NewFault {
    let base = NewFault {
        kind: FaultKind::Status,
        method: None,
        route: None,
        status: None,
        scope: None,
        retry_after_ms: None,
        delay_ms: None,
        count: Some(20),
        for_ms: Some(for_ms),
        executes: false,
    };
    let limited = |scope| NewFault {
        kind: FaultKind::RateLimit,
        scope: Some(scope),
        retry_after_ms: Some(200 + for_ms / 4),
        count: Some(5),
        ..base.clone()
    };
    let gateway = Some("/gateway/bot".to_owned());
    match kind {
        Kind::RestLimitedUser => NewFault { route: Some(MESSAGES.into()), ..limited(Scope::User) },
        Kind::RestLimitedShared => NewFault { route: Some(MESSAGES.into()), ..limited(Scope::Shared) },
        Kind::RestLimitedGlobal => limited(Scope::Global),
        Kind::RestAnswersLost => NewFault {
            kind: FaultKind::Timeout,
            delay_ms: Some(for_ms.min(LONGEST_DELAY_MS)),
            route: Some(MESSAGES.into()),
            count: Some(5),
            executes: true,
            ..base
        },
        Kind::RestTimeout => NewFault {
            kind: FaultKind::Timeout,
            delay_ms: Some(for_ms.min(LONGEST_DELAY_MS)),
            route: gateway,
            ..base
        },
        Kind::RestGarbage => NewFault { kind: FaultKind::Garbage, route: gateway, ..base },
        Kind::RestCut => NewFault { kind: FaultKind::Cut, route: gateway, ..base },
        _ => NewFault { status: Some(502), route: gateway, ..base },
    }
}

fn end(fleet: &Fleet, fault: &Fault) -> Result<()> {
    match fault.kind {
        Kind::OperatorKill | Kind::OperatorStop => {
            fleet.replicas.revive(fault.which as usize % fleet.replicas.count())
        }
        Kind::OperatorsKill => (0..fleet.replicas.count()).try_for_each(|place| fleet.replicas.revive(place)),
        Kind::GateAway => {
            fleet.replicas.open(true);
            Ok(())
        }
        Kind::ApiAway => {
            fleet.api.set(true);
            Ok(())
        }
        // Whichever pod it was: all are joined again.
        Kind::Partition => fleet.kubelet.heal(),
        _ => Ok(()),
    }
}

/// Ends every fault that may still be there.
fn heal(fleet: &Fleet) -> Result<()> {
    let discord = &fleet.discord;
    discord.act(|discord| discord.remove_faults(FaultFilter::default()))?;
    outage(discord, 0)?;
    fleet.replicas.open(true);
    fleet.api.set(true);
    fleet.kubelet.heal()?;
    (0..fleet.replicas.count()).try_for_each(|place| fleet.replicas.revive(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_ended_and_acts_come_in_the_order_of_their_times() {
        let fault = |at_ms, kind, for_ms| Fault { at_ms, kind, which: 0, for_ms };
        let faults = [fault(10, Kind::ApiAway, 50), fault(20, Kind::Drop, 50), fault(30, Kind::Partition, 5)];
        let acts: Vec<_> = acts(&faults)
            .into_iter()
            .map(|(at_ms, act)| match act {
                Act::Begin(fault) => (at_ms, fault.kind, true),
                Act::End(fault) => (at_ms, fault.kind, false),
            })
            .collect();
        let expected = [
            (10, Kind::ApiAway, true),
            (20, Kind::Drop, true),
            (30, Kind::Partition, true),
            (35, Kind::Partition, false),
            (60, Kind::ApiAway, false),
        ];
        assert_eq!(acts, expected);
    }
}
