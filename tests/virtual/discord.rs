//! What Discord does to a fleet: drops, invalid sessions, zombies, closes, faults of REST, outages, budgets.
//!
//! From what Discord does to what its ledger says of it. Deliberately absent: what it says of tokens (`tokens.rs`), sessions (`sessions.rs`) and
//! replies (`replies.rs`).

use anyhow::{Result, ensure};
use discord_sim::{
    Discord, DropConnections, FaultKind, FreezeConnections, How, NewFault, Outage, Scope, SettingsChange,
    ShardOf,
};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{SMALL, Shape};
use shard_tests::thread::stage::on_a_fleet;
use shard_tests::thread::{PATIENCE, World};

fn of(id: u32) -> ShardOf {
    ShardOf { id, total: SMALL.shards }
}

#[test]
fn connection_drop_and_op_7_resume_without_identifies() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        fleet.drop_connections(DropConnections::all(How::Tcp))?;
        fleet.resumes(4).await?;
        fleet.drop_connections(DropConnections::all(How::Reconnect))?;
        fleet.resumes(8).await?;
        let close = DropConnections { code: Some(4000), ..DropConnections::all(How::Close) };
        fleet.drop_connections(close)?;
        fleet.resumes(12).await?;
        fleet.quiet().await?;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 4, "{} IDENTIFYs, 4 of them at the start", ledger.identifies);
        ensure!(ledger.resumes + ledger.resumes_failed <= 16, "{} RESUMEs for 12 drops", ledger.resumes);
        Ok(())
    })
}

#[test]
fn op_9_true_resumes_and_op_9_false_identifies() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        fleet.drop_connections(DropConnections::of(of(0), How::InvalidResumable))?;
        fleet.resumes(1).await?;
        ensure!(fleet.ledger().identifies == 4, "op 9 true cost an IDENTIFY");
        fleet.drop_connections(DropConnections::of(of(1), How::Invalid))?;
        fleet
            .until("the shard to identify", PATIENCE, |ledger| {
                if ledger.identifies == 5 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.quiet().await?;
        ensure!(fleet.ledger().identifies == 5, "op 9 false cost more than one IDENTIFY");
        Ok(())
    })
}

#[test]
fn zombie_connection_is_noticed_and_resumed() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(2.0)?;
        let freeze = FreezeConnections {
            shard: Some(0),
            total: Some(SMALL.shards),
            for_ms: 600_000,
            ..FreezeConnections::default()
        };
        fleet.discord.control().freeze_connections(freeze)?;
        fleet.resumes(1).await?;
        fleet.quiet().await?;
        ensure!(fleet.ledger().identifies == 4, "a zombie cost an IDENTIFY");
        Ok(())
    })
}

#[test]
fn close_codes_that_forbid_a_new_try_make_no_storm_and_are_named() -> Result<()> {
    let shape = Shape { shards: 5, ..SMALL };
    on_a_fleet(&shape, async |fleet| {
        let before = fleet.ledger().identifies;
        // Of several, the condition names the first shard.
        for (id, code, remedy) in [
            (4, 4014, "privileged intents"),
            (3, 4013, "correct its intents"),
            (2, 4011, "raise spec.shards"),
            (1, 4010, "spec.shardMultiple"),
            (0, 4004, "into the Secret"),
        ] {
            let shard = ShardOf { id, total: shape.shards };
            let close = DropConnections { code: Some(code), ..DropConnections::of(shard, How::Close) };
            fleet.drop_connections(close)?;
            named(fleet, &format!("shard {id} was closed with {code}")).await?;
            named(fleet, remedy).await?;
        }
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == before, "{} IDENTIFYs after closes that forbid them", ledger.identifies);
        Ok(())
    })
}

/// So many IDENTIFYs are left of the day's.
pub(super) fn remaining(discord: &Discord, remaining: u32) -> Result<()> {
    let change = SettingsChange { remaining: Some(remaining), ..SettingsChange::default() };
    Ok(discord.settle(&change).map(drop)?)
}

/// Waits until some condition of the bot has this in its message.
pub(super) async fn named(fleet: &World, what: &str) -> Result<()> {
    fleet
        .wait(&format!("a condition that names {what}"), PATIENCE, async || {
            let mut said = Vec::new();
            for name in ["Ready", "Available", "Reconciling", "Stalled"] {
                said.extend(fleet.condition(name).await?);
            }
            let named = said.iter().any(|(_, _, message)| message.contains(what));
            Ok(if named { Ok(()) } else { Err(format!("{said:?}")) })
        })
        .await
}

#[test]
fn discord_rest_faults_make_no_storm_of_invalid_requests() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(0.5)?;
        fleet.answers(3).await?;
        let messages = |kind| NewFault {
            kind,
            method: None,
            route: Some("/channels/{channel}/messages".to_owned()),
            status: None,
            scope: None,
            retry_after_ms: None,
            delay_ms: None,
            count: Some(3),
            for_ms: None,
            executes: false,
        };
        let limited = |scope| NewFault {
            scope: Some(scope),
            retry_after_ms: Some(5_000),
            ..messages(FaultKind::RateLimit)
        };
        for fault in [
            limited(Scope::User),
            limited(Scope::Shared),
            limited(Scope::Global),
            NewFault { status: Some(503), ..messages(FaultKind::Status) },
            // Posted, but the bot is not told so: it must not post again.
            NewFault { executes: true, ..messages(FaultKind::Garbage) },
            NewFault { executes: true, ..messages(FaultKind::Cut) },
            NewFault { executes: true, ..messages(FaultKind::Timeout) },
        ] {
            met(fleet, fault).await?;
            fleet.answers(3).await?;
        }
        // A fresh operator asks how many IDENTIFYs are left, and hears that its token is no good.
        let route = Some("/gateway/bot".to_owned());
        let refused = NewFault { status: Some(401), route, count: Some(2), ..messages(FaultKind::Status) };
        fleet.operators.kill_all();
        let refused = fleet.discord.control().add_fault(refused)?.id;
        fleet.operators.revive_all().await?;
        used_up(fleet, refused).await?;
        named(fleet, "401").await?;
        fleet.online().await?;
        fleet.quiet().await?;
        let invalid = fleet.ledger().invalid_requests;
        ensure!(invalid <= 16, "{invalid} requests that Discord counts as invalid");
        ensure!(fleet.ledger().identifies == 4, "faults of REST cost IDENTIFYs");
        Ok(())
    })
}

/// Lets calls go wrong, and waits until they did.
async fn met(fleet: &World, fault: NewFault) -> Result<()> {
    let id = fleet.discord.control().add_fault(fault)?.id;
    used_up(fleet, id).await
}

async fn used_up(fleet: &World, id: u64) -> Result<()> {
    fleet
        .wait("the fault to be met by all the calls that it is for", PATIENCE, async || {
            let left = fleet.discord.control().faults().into_iter().find(|fault| fault.id == id);
            Ok(left.filter(|fault| fault.left != Some(0)).map_or(Ok(()), |fault| Err(format!("{fault:?}"))))
        })
        .await
}

#[test]
fn discord_gone_for_a_while_everything_resumes() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.discord.control().begin_outage(Outage { for_ms: 40_000, rest: true, gateway: true })?;
        fleet.resumes(4).await?;
        fleet.talk(2.0)?;
        fleet.answers(10).await?;
        fleet.quiet().await?;
        ensure!(fleet.ledger().identifies == 4, "an outage shorter than a session cost IDENTIFYs");
        Ok(())
    })
}

#[test]
fn budget_spent_waits_and_says_so() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let discord = fleet.discord.control();
        remaining(discord, 0)?;
        // The gate's own count is more than there is, until it asks again; a fresh one asks first.
        fleet.operators.kill_all();
        fleet.operators.revive_all().await?;
        fleet.leader().await?;
        fleet.drop_connections(DropConnections::of(of(2), How::Invalid))?;
        named(fleet, "budget").await?;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 4 && ledger.token_resets == 0, "{} IDENTIFYs", ledger.identifies);
        remaining(discord, 500)?;
        fleet.online().await.map(drop)
    })
}

#[test]
fn budget_nearly_spent_live_shards_may_use_the_reserve() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let discord = fleet.discord.control();
        // Of 1,000: below the fifth that is kept for shards that had been online.
        remaining(discord, 150)?;
        fleet.operators.kill_all();
        fleet.operators.revive_all().await?;
        fleet.leader().await?;
        fleet.drop_connections(DropConnections::of(of(2), How::Invalid))?;
        fleet
            .until("the shard to identify from the reserve", PATIENCE, |ledger| {
                if ledger.identifies == 5 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        fleet.quiet().await?;
        ensure!(fleet.ledger().identifies == 5, "{} IDENTIFYs", fleet.ledger().identifies);
        Ok(())
    })
}
