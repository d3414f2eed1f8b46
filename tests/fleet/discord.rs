//! What Discord does to a fleet: drops, invalid sessions, zombies, closes, faults of REST, outages, budgets, tokens.

use crate::life::{SMALL, answers, quiet, resumes};
use anyhow::{Result, ensure};
use discord_sim::{
    ChangeToken, DropConnections, FAKE_TOKEN, FaultFilter, FaultKind, FreezeConnections, How, NewFault,
    Outage, Scope, SettingsChange, ShardOf,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use shard_tests::fleet::stage::{Stage, Way};
use shard_tests::fleet::{Fleet, PATIENCE};
use std::time::Duration;

/// Another token of the same bot.
const NEXT_TOKEN: &str = "MTAwMDAwMDAwMDAwMDAwMDAwMA.sim.next";

fn of(id: u32) -> ShardOf {
    ShardOf { id, total: SMALL.shards }
}

pub fn drops(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("drops", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        let discord = fleet.discord.control();
        discord.drop_connection(DropConnections::all(How::Tcp))?;
        resumes(fleet, 4).await?;
        discord.drop_connection(DropConnections::all(How::Reconnect))?;
        resumes(fleet, 8).await?;
        let close = DropConnections { code: Some(4000), ..DropConnections::all(How::Close) };
        discord.drop_connection(close)?;
        resumes(fleet, 12).await?;
        quiet(fleet).await?;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 4, "{} IDENTIFYs, 4 of them at the start", ledger.identifies);
        ensure!(ledger.resumes + ledger.resumes_failed <= 16, "{} RESUMEs for 12 drops", ledger.resumes);
        Ok(())
    })
}

pub fn invalid_sessions(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("invalid", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        let discord = fleet.discord.control();
        discord.drop_connection(DropConnections::of(of(0), How::InvalidResumable))?;
        resumes(fleet, 1).await?;
        ensure!(fleet.ledger().identifies == 4, "op 9 true cost an IDENTIFY");
        discord.drop_connection(DropConnections::of(of(1), How::Invalid))?;
        fleet
            .until("the shard to identify", PATIENCE, |ledger| {
                if ledger.identifies == 5 { Ok(()) } else { Err(format!("{}", ledger.identifies)) }
            })
            .await?;
        quiet(fleet).await?;
        ensure!(fleet.ledger().identifies == 5, "op 9 false cost more than one IDENTIFY");
        Ok(())
    })
}

pub fn zombie(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("zombie", &SMALL, Way::Straight, async |fleet| {
        fleet.talk(20.0)?;
        let freeze = FreezeConnections {
            shard: Some(0),
            total: Some(SMALL.shards),
            for_ms: 60_000,
            ..FreezeConnections::default()
        };
        fleet.discord.control().freeze_connections(freeze)?;
        resumes(fleet, 1).await?;
        quiet(fleet).await?;
        ensure!(fleet.ledger().identifies == 4, "a zombie cost an IDENTIFY");
        Ok(())
    })
}

pub fn fatal_closes(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("fatal", &SMALL, Way::Straight, async |fleet| {
        let discord = fleet.discord.control();
        let close = DropConnections { code: Some(4014), ..DropConnections::of(of(0), How::Close) };
        discord.drop_connection(close)?;
        named(fleet, "4014").await?;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies <= 5, "{} IDENTIFYs after a close that forbids them", ledger.identifies);
        Ok(())
    })
}

/// Waits until some condition of the bot has this in its message.
async fn named(fleet: &Fleet, what: &str) -> Result<()> {
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

pub fn rest_faults(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("rest", &SMALL, Way::Straight, async |fleet| {
        let discord = fleet.discord.control();
        fleet.talk(5.0)?;
        answers(fleet, 3).await?;
        let fault = NewFault {
            kind: FaultKind::Status,
            method: None,
            route: Some("/gateway/bot".to_owned()),
            status: None,
            scope: None,
            retry_after_ms: None,
            delay_ms: None,
            count: Some(20),
            for_ms: Some(1_500),
            executes: false,
        };
        let limited = |scope| NewFault {
            kind: FaultKind::RateLimit,
            scope: Some(scope),
            retry_after_ms: Some(500),
            route: Some("/channels/{channel}/messages".to_owned()),
            ..fault.clone()
        };
        for one in [
            limited(Scope::User),
            limited(Scope::Shared),
            limited(Scope::Global),
            NewFault { status: Some(503), ..fault.clone() },
            NewFault { kind: FaultKind::Garbage, ..fault.clone() },
            NewFault { kind: FaultKind::Cut, ..fault.clone() },
        ] {
            discord.add_fault(one)?;
            answers(fleet, 3).await?;
        }
        discord.remove_faults(FaultFilter::default())?;
        quiet(fleet).await?;
        let invalid = fleet.ledger().invalid_requests;
        ensure!(invalid <= 60, "{invalid} requests that Discord counts as invalid");
        ensure!(fleet.ledger().identifies == 4, "faults of REST cost IDENTIFYs");
        Ok(())
    })
}

pub fn outage(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("outage", &SMALL, Way::Straight, async |fleet| {
        fleet.discord.control().begin_outage(Outage { for_ms: 4_000, rest: true, gateway: true })?;
        resumes(fleet, 4).await?;
        fleet.talk(20.0)?;
        answers(fleet, 10).await?;
        quiet(fleet).await?;
        ensure!(fleet.ledger().identifies == 4, "an outage shorter than a session cost IDENTIFYs");
        Ok(())
    })
}

pub fn budget_spent(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("budget", &SMALL, Way::Straight, async |fleet| {
        let discord = fleet.discord.control();
        discord.settle(&SettingsChange { remaining: Some(0), ..SettingsChange::default() })?;
        // The gate's own count is more than there is, until it asks again; a fresh one asks first.
        (0..fleet.replicas.count()).for_each(|place| fleet.replicas.kill(place));
        (0..fleet.replicas.count()).try_for_each(|place| fleet.replicas.revive(place))?;
        crate::operators::leader(fleet).await?;
        discord.drop_connection(DropConnections::of(of(2), How::Invalid))?;
        named(fleet, "budget").await?;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 4 && ledger.token_resets == 0, "{} IDENTIFYs", ledger.identifies);
        discord.settle(&SettingsChange { remaining: Some(500), ..SettingsChange::default() })?;
        fleet.online().await.map(drop)
    })
}

pub fn token_rotated(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("token", &SMALL, Way::Straight, async |fleet| {
        let before = fleet.uids().await?;
        let discord = fleet.discord.control();
        discord.change_token(&ChangeToken { token: NEXT_TOKEN.to_owned(), refused: false })?;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), &fleet.namespace);
        let next = json!({ "stringData": { "token": NEXT_TOKEN } });
        secrets.patch("mybot-token", &PatchParams::default(), &Patch::Merge(next)).await?;
        fleet.kubelet.refresh().await?;
        discord.change_token(&ChangeToken { token: FAKE_TOKEN.to_owned(), refused: true })?;
        fleet
            .until("every shard to come back with the new token", Duration::from_secs(180), |ledger| {
                let connected = ledger.sessions.iter().filter(|session| session.connected).count();
                if connected == 4 { Ok(()) } else { Err(format!("{connected} connected")) }
            })
            .await?;
        fleet.talk(20.0)?;
        answers(fleet, 10).await?;
        quiet(fleet).await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}
