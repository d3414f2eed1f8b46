//! Cuts in Discord's time, as pods heed them: before the decision, after it, and without one.
//!
//! The document is written as a leader would; what divides events is `bot/contract/src/whose.rs`, held still by tests of its own. Deliberately absent: a second
//! fleet.

use anyhow::{Context as _, Result, ensure};
use discord_sim::{EventFilter, EventRecord, LedgerQuery};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use reqwest::Client;
use serde_json::json;
use shard_contract::env::HEALTH_PORT;
use shard_contract::layouts::{Cut, CutState, Layouts};
use shard_contract::names::{LAYOUTS_KEY, layouts_config_map};
use shard_contract::whose::UNDECIDED_MS;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::schedule::ONE;
use shard_tests::thread::stage::{making, on_a_fleet};
use shard_tests::thread::{BOT, NAMESPACE, World, run};
use std::time::Duration;

/// From the document to the cut: time in which a watch brings it.
const AHEAD: Duration = Duration::from_secs(5);
/// From the cut to the end: several times as long as who has duty waits for a word.
const AFTER: Duration = Duration::from_secs(20);
/// The most that a message and its answer take to and from a pod that has nothing else to do, in milliseconds.
const AT_ONCE_MS: u64 = 500;

/// The most that the answers take where a hundred begin at once, and Discord limits what a channel takes.
const IN_A_ROW_MS: u64 = 5_000;
/// The session groups of the fleet that there is and of one that is not.
const FLEETS: (u32, u32) = (0, 1);

/// Writes the bot's only cut into the document.
async fn write(fleet: &World, (from, to): (u32, u32), at_ms: i64, state: CutState) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let name = layouts_config_map(BOT);
    let data = maps.get(&name).await?.data.context("no data")?;
    let mut document: Layouts = serde_json::from_str(&data[LAYOUTS_KEY])?;
    document.generation += 1;
    ensure!(document.layouts[0].session_group == FLEETS.0, "{document:?}");
    document.cuts = vec![Cut { number: 1, from, to, at_ms, state }];
    let data = json!({ "data": { LAYOUTS_KEY: serde_json::to_string(&document)? } });
    maps.patch(&name, &PatchParams::default(), &Patch::Merge(data)).await?;
    Ok(())
}

/// A figure of the only pod's.
async fn figure(fleet: &World, name: &str) -> Result<u64> {
    let pod = fleet.kubelet.address(&fleet.kubelet.pods()[0]).context("it runs")?;
    let metrics = Client::builder().no_proxy().build()?.get(format!("http://{pod}:{HEALTH_PORT}/metrics"));
    let metrics = metrics.send().await?.text().await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.context("no such figure")?.parse()?)
}

/// Every message of the story, with what became of it.
fn messages(fleet: &World) -> Vec<EventRecord> {
    let all = LedgerQuery { events: Some(EventFilter::All), limit: Some(10_000), ..LedgerQuery::default() };
    fleet.ledger_of(all).event_details
}

/// From the making of a message to its answer, in milliseconds; none: it has none.
fn took(message: &EventRecord) -> Option<u64> {
    message.acts.first().map(|act| act.at_ms.saturating_sub(message.made_at_ms))
}

/// A fleet of one pod is talked to over a cut that is in this state at first; returns its time since the start, in milliseconds.
async fn over(fleet: &World, state: CutState) -> Result<u64> {
    fleet.talk(5.0)?;
    let ledger = fleet.ledger();
    let ahead = u64::try_from(AHEAD.as_millis())?;
    write(fleet, FLEETS, ledger.now.as_millisecond() + i64::try_from(ahead)?, state).await?;
    tokio::time::sleep(AHEAD + AFTER).await;
    Ok(ledger.now_ms + ahead)
}

#[test]
fn without_a_decision_events_are_held_back_for_a_second_and_who_has_duty_goes_on() -> Result<()> {
    on_a_fleet(&ONE, async |fleet| {
        let cut = over(fleet, CutState::Prepared).await?;
        fleet.quiet().await?;
        let undecided = u64::try_from(UNDECIDED_MS)?;
        let all = messages(fleet);
        let of = |from, until| all.iter().filter(move |one| (from..until).contains(&one.made_at_ms));
        ensure!(of(cut, cut + undecided).count() > 0, "no message to be held back");
        for message in of(cut, cut + undecided) {
            let answered = took(message).map(|took| message.made_at_ms + took);
            let in_time = cut + undecided..cut + undecided + AT_ONCE_MS;
            ensure!(
                answered.is_some_and(|at| in_time.contains(&at)),
                "not answered in its time: {message:?}"
            );
        }
        for message in of(0, cut).chain(of(cut + undecided, u64::MAX)) {
            ensure!(took(message).is_some_and(|took| took < AT_ONCE_MS), "not answered at once: {message:?}");
        }
        ensure!(figure(fleet, "shard_bot_events_held_back_total").await? > 0, "none was held back");
        ensure!(figure(fleet, "shard_bot_events_ignored_total").await? == 0, "some were ignored");
        let marked = figure(fleet, r#"shard_bot_events_redelivered_total{shard="0"}"#).await?;
        ensure!(marked >= of(cut, u64::MAX).count() as u64, "{marked} said that they may come again");
        Ok(())
    })
}

#[test]
fn what_was_held_back_goes_on_at_once_when_the_cut_is_aborted() -> Result<()> {
    on_a_fleet(&ONE, async |fleet| {
        fleet.talk(5.0)?;
        let ledger = fleet.ledger();
        let ahead = u64::try_from(AHEAD.as_millis())?;
        let at_ms = ledger.now.as_millisecond() + i64::try_from(ahead)?;
        write(fleet, FLEETS, at_ms, CutState::Prepared).await?;
        let (most, held_back) =
            (Duration::from_millis(UNDECIDED_MS.unsigned_abs()), "shard_bot_events_held_back_total");
        fleet
            .wait("an event to be held back", AHEAD + most, async || {
                let held = figure(fleet, held_back).await?;
                Ok(if held > 0 { Ok(()) } else { Err("none yet".to_owned()) })
            })
            .await?;
        write(fleet, FLEETS, at_ms, CutState::Aborted).await?;
        let aborted = fleet.ledger().now_ms;
        ensure!(
            aborted < ledger.now_ms + ahead + UNDECIDED_MS.unsigned_abs() - AT_ONCE_MS / 2,
            "too late to tell"
        );
        fleet.answers(100).await?;
        fleet.quiet().await?;
        let is_late = |one: &EventRecord| {
            let at_once = one.made_at_ms.max(aborted) + AT_ONCE_MS / 2;
            took(one).is_none_or(|took| one.made_at_ms + took >= at_once)
        };
        let late = messages(fleet).into_iter().find(is_late);
        ensure!(late.is_none(), "aborted at {aborted} ms: {late:?}");
        Ok(())
    })
}

#[test]
fn from_a_committed_cut_on_events_are_the_next_fleets() -> Result<()> {
    // Not on the stage of others: nobody answers what the next fleet would.
    run(ONE.seed, async {
        let world = World::begin(making(&ONE)).await?;
        let fleet = &world;
        fleet.apply(json!({ "shards": ONE.shards })).await?;
        fleet.online().await?;
        let cut = over(fleet, CutState::Committed).await?;
        fleet.hush();
        tokio::time::sleep(AFTER).await;
        let all = messages(fleet);
        let wrong = all.iter().find(|one| (one.made_at_ms < cut) != (one.acts.len() == 1));
        ensure!(wrong.is_none(), "the cut was at {cut} ms: {wrong:?}");
        let after = all.iter().filter(|one| one.made_at_ms >= cut).count() as u64;
        ensure!(after > 0 && figure(fleet, "shard_bot_events_held_back_total").await? == 0, "{after}");
        let ignored = figure(fleet, "shard_bot_events_ignored_total").await?;
        ensure!(ignored >= after, "{ignored} of {after} were ignored");
        Ok(())
    })
}

#[test]
fn who_has_duty_from_a_cut_on_waits_for_the_decision_however_long_and_then_answers_at_once() -> Result<()> {
    run(ONE.seed, async {
        let world = World::begin(making(&ONE)).await?;
        let fleet = &world;
        fleet.apply(json!({ "shards": ONE.shards })).await?;
        fleet.online().await?;
        let (ours, theirs) = FLEETS;
        let ledger = fleet.ledger();
        let ahead = u64::try_from(AHEAD.as_millis())?;
        let (at_ms, cut) = (ledger.now.as_millisecond() + i64::try_from(ahead)?, ledger.now_ms + ahead);
        write(fleet, (theirs, ours), at_ms, CutState::Prepared).await?;
        tokio::time::sleep(AHEAD).await;
        fleet.talk(5.0)?;
        tokio::time::sleep(AFTER).await;
        ensure!(messages(fleet).iter().all(|one| one.acts.is_empty()), "answered without a decision");
        write(fleet, (theirs, ours), at_ms, CutState::Committed).await?;
        let decided = fleet.ledger().now_ms;
        fleet.answers(100).await?;
        fleet.quiet().await?;
        let is_late = |one: &EventRecord| {
            let at_once = one.made_at_ms.max(decided) + IN_A_ROW_MS;
            took(one).is_none_or(|took| one.made_at_ms + took >= at_once)
        };
        let all = messages(fleet);
        ensure!(all.iter().all(|one| one.made_at_ms >= cut), "nobody talked before the cut");
        let late = all.iter().find(|one| is_late(one));
        ensure!(late.is_none(), "decided at {decided} ms: {late:?}");
        Ok(())
    })
}
