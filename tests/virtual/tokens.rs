//! Tokens: shared with somebody else, replaced, refused for a moment and for hours.
//!
//! From what becomes of a token to what the fleet does and says. Deliberately absent: Secrets that are missing (`each.rs`).

use super::discord::{named, remaining};
use anyhow::{Context, Result, ensure};
use discord_sim::{ChangeToken, Discord, FAKE_TOKEN, SettingsChange};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::SMALL;
use shard_tests::thread::stage::on_a_fleet;
use shard_tests::thread::{NAMESPACE, PATIENCE, World};
use std::time::Duration;

/// Another token of the same bot.
const NEXT_TOKEN: &str = "MTAwMDAwMDAwMDAwMDAwMDAwMA.sim.next";

fn change_token(discord: &Discord, token: &str, refused: bool) -> Result<()> {
    let change = ChangeToken { token: token.to_owned(), refused };
    Ok(discord.change_token(&change).map(drop)?)
}

/// Somebody else identifies with the token: Discord's count falls faster than the gate's.
#[test]
fn token_shared_with_somebody_else_is_told_with_its_remedy() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        fleet.talk(0.5)?;
        // Until then nobody knows: pods may have been on the fallback schedule, and what is missing might be theirs.
        is(fleet, "TokenExclusive", "True").await?;
        let discord = fleet.discord.control();
        remaining(discord, 900)?;
        is(fleet, "TokenExclusive", "False").await?;
        let told = fleet.condition("TokenExclusive").await?;
        let (_, reason, message) = told.context("no such condition")?;
        ensure!(reason == "TokenShared" && message.contains("somebody else uses this token"), "{message}");
        ensure!(message.contains("into the Secret"), "no remedy in {message:?}");
        // It is said; who is online stays so.
        fleet.answers(5).await?;
        fleet.quiet().await?;
        ensure!(fleet.ledger().identifies == 4 && fleet.ledger().resumes == 0, "the fleet was disturbed");
        Ok(())
    })
}

/// Waits until a condition of the bot has this status.
async fn is(fleet: &World, name: &str, status: &str) -> Result<()> {
    fleet
        // What needs two more answers of Discord takes two minutes by itself.
        .wait(&format!("{name} to be {status}"), 2 * PATIENCE, async || {
            let said = fleet.condition(name).await?;
            let so = said.as_ref().is_some_and(|(now, ..)| now == status);
            Ok(if so { Ok(()) } else { Err(format!("{said:?}")) })
        })
        .await
}

#[test]
fn token_rotated_is_picked_up_without_replacing_pods() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let before = fleet.uids().await?;
        let discord = fleet.discord.control();
        change_token(discord, NEXT_TOKEN, false)?;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let next = json!({ "stringData": { "token": NEXT_TOKEN } });
        secrets.patch("token", &PatchParams::default(), &Patch::Merge(next)).await?;
        fleet.kubelet.refresh().await?;
        change_token(discord, FAKE_TOKEN, true)?;
        fleet
            .until("every shard to come back with the new token", Duration::from_secs(180), |ledger| {
                let connected = ledger.sessions.iter().filter(|session| session.connected).count();
                if connected == 4 { Ok(()) } else { Err(format!("{connected} connected")) }
            })
            .await?;
        fleet.talk(2.0)?;
        fleet.answers(10).await?;
        fleet.quiet().await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

/// A kubelet that is left alone takes a minute or more.
#[test]
fn token_that_was_reset_and_replaced_reaches_every_shard_within_seconds() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let before = fleet.uids().await?;
        let discord = fleet.discord.control();
        change_token(discord, FAKE_TOKEN, true)?;
        change_token(discord, NEXT_TOKEN, false)?;
        named(fleet, "goes on by itself").await?;
        // As long as a person takes.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
        let next = json!({ "stringData": { "token": NEXT_TOKEN } });
        secrets.patch("token", &PatchParams::default(), &Patch::Merge(next)).await?;
        fleet
            .until("every shard to come back with the new token", Duration::from_secs(45), |ledger| {
                let connected = ledger.sessions.iter().filter(|session| session.connected).count();
                if connected == 4 { Ok(()) } else { Err(format!("{connected} connected")) }
            })
            .await?;
        fleet.quiet().await?;
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

#[test]
fn token_that_discord_refuses_for_a_moment_and_takes_again_needs_nobody() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let before = fleet.uids().await?;
        let discord = fleet.discord.control();
        let settle = |refuse_token| {
            let change = SettingsChange { refuse_token: Some(refuse_token), ..SettingsChange::default() };
            discord.settle(&change).map(drop)
        };
        settle(true)?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let refused = fleet.ledger();
        ensure!(refused.bad_tokens <= 4, "{} connections with a token that was refused", refused.bad_tokens);
        settle(false)?;
        fleet.online().await?;
        fleet.talk(2.0)?;
        fleet.answers(10).await?;
        fleet.quiet().await?;
        // The sessions were ended by Discord itself.
        let identifies = fleet.ledger().identifies;
        ensure!(identifies == 8, "{identifies} IDENTIFYs, 4 of them at the start");
        ensure!(fleet.uids().await? == before, "pods were replaced");
        Ok(())
    })
}

#[test]
fn token_that_discord_refuses_for_hours_is_asked_about_ever_later_and_costs_no_identify() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let discord = fleet.discord.control();
        let refused = SettingsChange { refuse_token: Some(true), ..SettingsChange::default() };
        discord.settle(&refused)?;
        named(fleet, "goes on by itself").await?;
        tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
        let ledger = fleet.ledger();
        ensure!(ledger.identifies == 4, "{} IDENTIFYs, 4 of them at the start", ledger.identifies);
        // Of the operator 13 an hour, of each of two pods 15 in three hours.
        ensure!(ledger.invalid_requests <= 80, "{} refused requests", ledger.invalid_requests);
        let good = SettingsChange { refuse_token: Some(false), ..SettingsChange::default() };
        discord.settle(&good)?;
        fleet
            .until("every shard to come back", Duration::from_secs(1_500), |ledger| {
                let connected = ledger.sessions.iter().filter(|session| session.connected).count();
                if connected == 4 { Ok(()) } else { Err(format!("{connected} connected")) }
            })
            .await?;
        fleet.online().await.map(drop)
    })
}
