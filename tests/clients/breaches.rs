//! Breaches: what libraries do that Discord documents as forbidden, held fast, so that nobody takes it for a fault of ours.
//!
//! From: starts in which the identify limit matters. For: everyone who shards with these libraries; each of them comes up in the
//! end, for op 9 makes it try again, but each refused IDENTIFY may count against the day. Time is not made shorter here.
//! Deliberately absent: remedies.

use anyhow::{Result, ensure};
use discord_sim::ledger::ViolationKind;
use discord_sim::{How, Ledger, Options};

use crate::bot::Script;
use crate::library::Library;
use crate::resume::ALL;
use crate::stage::{Stage, play_with_breaches};

/// The buckets are `shard % max_concurrency`; hikari takes the next so many shards of its list, whatever their buckets are.
pub async fn windows_without_buckets(library: Library) -> Result<()> {
    let options = Options { max_concurrency: 2, guilds: 8, ..Options::default() };
    play_with_breaches(options, &[Script::of(library).shards("0,2", 4)], async |stage: &Stage| {
        let ledger = stage.ledger_when("both shards are there", |ledger| ledger.sessions.len() == 2).await?;
        ensure!(is_too_early(&ledger)?, "no IDENTIFY came too early; take this test away");
        Ok(())
    })
    .await
}

/// After op 9 with false it waits by its own measure, a second or two at first, not for the bucket.
pub async fn another_identify_at_once(library: Library) -> Result<()> {
    let options = Options { guilds: 1, ..Options::default() };
    play_with_breaches(options, &[Script::of(library)], async |stage: &Stage| {
        stage.is_up(1).await?;
        stage.drop_connection(ALL, How::Invalid)?;
        let is_new = |ledger: &Ledger| ledger.identifies_accepted == 2 && ledger.sessions.len() == 1;
        let ledger = stage.ledger_when("there is a new session", is_new).await?;
        ensure!(is_too_early(&ledger)?, "no IDENTIFY came too early; take this test away");
        Ok(())
    })
    .await
}

/// The first shard of a process waits for nobody, so two processes that start together are one too many.
pub async fn first_shards_of_two_processes(library: Library) -> Result<()> {
    let options = Options { guilds: 8, ..Options::default() };
    let scripts = ["0", "1"].map(|shard| Script::of(library).shards(shard, 2));
    play_with_breaches(options, &scripts, async |stage: &Stage| {
        let ledger = stage.ledger_when("both shards are there", |ledger| ledger.sessions.len() == 2).await?;
        ensure!(is_too_early(&ledger)?, "no IDENTIFY came too early; take this test away");
        Ok(())
    })
    .await
}

/// Whether any came too early; that nothing else was wrong and one was accepted is certain then.
fn is_too_early(ledger: &Ledger) -> Result<bool> {
    let others =
        ledger.violation_details.iter().find(|violation| violation.kind != ViolationKind::IdentifyRate);
    ensure!(others.is_none(), "another rule was broken: {others:?}");
    ensure!(
        ledger.identifies == ledger.identifies_accepted + ledger.violations,
        "an IDENTIFY is unaccounted for"
    );
    ensure!(ledger.identifies_accepted > 0, "every one was refused");
    Ok(ledger.violations > 0)
}
