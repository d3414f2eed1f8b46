//! Breaches: what libraries do that Discord documents as forbidden, held fast, so that nobody takes it for a fault of ours.
//!
//! From: starts in which the identify limit matters. For: everyone who shards with these libraries; each of them comes up in the
//! end, for op 9 makes it try again, but each refused IDENTIFY may count against the day. Time is not made shorter here.
//! Deliberately absent: remedies.

use anyhow::{Result, ensure};
use discord_sim::ledger::ViolationKind;
use discord_sim::{How, Ledger, MoveTime, Options};

use crate::bot::Script;
use crate::library::Library;
use crate::resume::ALL;
use crate::stage::{Stage, play_with_breaches};

/// More tries than a bucket's 5 s have room for with any pause worth the name; far from the 120 frames of a minute.
const FLOOD: u64 = 8;

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

/// discordgo spaces nothing: a plain loop of `Open` over the shards, as its users write it, identifies all of them at once.
pub async fn loop_of_open(library: Library) -> Result<()> {
    let options = Options { guilds: 8, ..Options::default() };
    let script = Script::of(library).shards("0,1", 2).variable("UNSPACED", "1");
    play_with_breaches(options, &[script], async |stage: &Stage| floods_until_the_bucket_is_free(stage).await)
        .await
}

/// Refused for a bucket that is used up, discordgo and oceanic.js identify again on the same connection, at once, over and over.
pub async fn flood(library: Library) -> Result<()> {
    play_with_breaches(
        Options { guilds: 1, ..Options::default() },
        &[Script::of(library)],
        async |stage: &Stage| {
            stage.ledger_when("there is a session", |ledger| ledger.sessions.len() == 1).await?;
            stage.drop_connection(ALL, How::Invalid)?;
            floods_until_the_bucket_is_free(stage).await
        },
    )
    .await
}

/// Waits for the flood and moves Discord's time on before it becomes one of frames; the next IDENTIFY is taken then.
async fn floods_until_the_bucket_is_free(stage: &Stage) -> Result<()> {
    let refused = |ledger: &Ledger| ledger.identifies - ledger.identifies_accepted;
    let is_over = |ledger: &Ledger| refused(ledger) >= FLOOD || ledger.identifies_accepted == 2;
    let ledger = stage.ledger_when("it is refused often or not any more", is_over).await?;
    ensure!(refused(&ledger) >= FLOOD, "{} were refused in 5 s; take this test away", refused(&ledger));
    stage.simulator.control().move_time(MoveTime { advance_ms: Some(5_000), factor: None })?;
    let is_taken = |ledger: &Ledger| ledger.identifies_accepted == 2;
    let ledger = stage.ledger_when("there is another session", is_taken).await?;
    is_too_early(&ledger).map(drop)
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
