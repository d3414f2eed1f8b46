//! What goes with a session from pod to pod, and when it is given up.
//!
//! From pods that are replaced and connections that end to what the next one resumes. Deliberately absent: records (`records.rs`).

use anyhow::{Context, Result, ensure};
use discord_sim::{DropConnections, FaultKind, How, JoinGuilds, LeaveGuilds, NewFault, Outage};
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::{ONE, SMALL};
use shard_tests::thread::PATIENCE;
use shard_tests::thread::stage::on_a_fleet;
use std::time::Duration;
use tokio::time::Instant;

#[test]
fn guilds_are_counted_on_by_the_next_pod_and_what_joins_and_leaves_too() -> Result<()> {
    on_a_fleet(&ONE, async |fleet| {
        let discord = fleet.discord.control();
        let are = async |guilds| {
            let counted = fleet.until_status(Duration::from_secs(120), |bot| {
                bot.status.as_ref().is_some_and(|status| status.guilds == Some(guilds))
            });
            counted.await.with_context(|| format!("{guilds} guilds")).map(drop)
        };
        let replace = async || {
            let (before, resumes) = (fleet.uids().await?, fleet.ledger().resumes);
            fleet.replace(0).await?;
            fleet.resumes(resumes + 1).await?;
            ensure!(fleet.uids().await? != before, "the pod is the same");
            anyhow::Ok(())
        };
        let join = |count| discord.join_guilds(JoinGuilds { count }).map(|joined| joined.guild_ids);
        join(1_860)?;
        are(1_900).await?;
        let joined = join(300)?;
        are(2_200).await?;
        replace().await?;
        are(2_200).await?;
        join(300)?;
        are(2_500).await?;
        discord.leave_guilds(&LeaveGuilds { guild_ids: joined[..100].to_vec() })?;
        are(2_400).await?;
        // As a container that is killed: it goes on by its file.
        fleet.kubelet.kill(&fleet.kubelet.pods()[0]);
        fleet.resumes(2).await?;
        are(2_400).await?;
        ensure!(fleet.ledger().identifies == 1, "an IDENTIFY was wasted");
        Ok(())
    })
}

#[test]
fn session_that_discord_closes_after_each_resume_is_given_up() -> Result<()> {
    on_a_fleet(&ONE, async |fleet| {
        let begun = Instant::now();
        let close = DropConnections { code: Some(4000), ..DropConnections::all(How::Close) };
        fleet.drop_connections(close)?;
        for resumes in 1.. {
            let ledger = fleet
                .until("a RESUME or an IDENTIFY", PATIENCE, |ledger| {
                    let is_there = ledger.resumes == resumes || ledger.identifies == 2;
                    if is_there { Ok(()) } else { Err(format!("{} RESUMEs", ledger.resumes)) }
                })
                .await?;
            if ledger.identifies == 2 {
                break;
            }
            ensure!(resumes <= 10, "{resumes} RESUMEs of one session");
            tokio::time::sleep(Duration::from_millis(100)).await;
            fleet.drop_connections(close)?;
        }
        let ledger = fleet.online().await?;
        ensure!(ledger.resumes >= 5, "{} RESUMEs before it was given up", ledger.resumes);
        let took = begun.elapsed();
        ensure!((30..=90).contains(&took.as_secs()), "{took:?}");
        Ok(())
    })
}

#[test]
fn sessions_are_resumed_while_discord_does_not_say_where_its_gateway_is() -> Result<()> {
    on_a_fleet(&SMALL, async |fleet| {
        let discord = fleet.discord.control();
        let fails = NewFault {
            kind: FaultKind::Status,
            method: Some("GET".to_owned()),
            route: Some("/gateway".to_owned()),
            status: Some(503),
            scope: None,
            retry_after_ms: None,
            delay_ms: None,
            count: None,
            for_ms: Some(3_600_000),
            executes: false,
        };
        discord.add_fault(fails)?;
        for (place, resumes) in [(0, 2), (1, 4)] {
            fleet.replace(place).await?;
            fleet
                .until("the next pod to resume", Duration::from_secs(60), |ledger| {
                    if ledger.resumes >= resumes { Ok(()) } else { Err(format!("{}", ledger.resumes)) }
                })
                .await?;
        }
        // Out of reach for a moment, so that everybody would rather ask where it is.
        discord.begin_outage(Outage { for_ms: 20_000, rest: false, gateway: true })?;
        fleet.drop_connections(DropConnections::all(How::Tcp))?;
        fleet.resumes(8).await?;
        ensure!(fleet.ledger().identifies == 4, "an IDENTIFY was wasted");
        Ok(())
    })
}
