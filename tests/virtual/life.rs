//! A fleet's life: online, answering, in order.

use anyhow::Result;
use shard_tests::thread::{PATIENCE, World};

/// Waits until users have been answered so many more times.
pub async fn answers(fleet: &World, more: u64) -> Result<()> {
    let before = fleet.ledger().events.answered;
    fleet
        .until("answers", PATIENCE, |ledger| {
            let answered = ledger.events.answered - before;
            if answered >= more { Ok(()) } else { Err(format!("{answered} of {more} answered")) }
        })
        .await
        .map(drop)
}

/// Users write no more, everything is answered, every shard is online.
pub async fn quiet(fleet: &World) -> Result<()> {
    fleet.online().await?;
    fleet.hush();
    fleet.settled(PATIENCE).await.map(drop)
}

/// Waits until so many RESUMEs have succeeded in all.
pub async fn resumes(fleet: &World, all: u64) -> Result<()> {
    fleet
        .until("RESUMEs", PATIENCE, |ledger| {
            if ledger.resumes >= all { Ok(()) } else { Err(format!("{} of {all}", ledger.resumes)) }
        })
        .await
        .map(drop)
}
