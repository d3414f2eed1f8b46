//! Whole fleets in one thread: what takes minutes at Discord takes milliseconds here, whatever else the machine does.
//!
//! A test by name for each row of the fault table that needs no hand-over and no threads of its own, and runs by seed. Deliberately
//! absent: what only a process, a file system or a real API server can show (`fleet`, `loop`, `kubernetes`).

mod admission;
mod cuts;
mod discord;
mod each;
mod handlers;
mod installations;
mod leaders;
mod objects;
mod operators;
mod pods;
mod records;
mod replies;
mod requests;
mod sessions;
mod tokens;

use anyhow::{Result, anyhow, ensure};
use discord_sim::Options;
use serde_json::json;
use shard_operator::crd::ShardedBot;
use shard_tests::any_fleet::AnyFleet as _;
use shard_tests::fleet::row::Ends;
use shard_tests::fleet::schedule::{Schedule, seed_of};
use shard_tests::fleet::verdict::Run;
use shard_tests::thread::{Making, World, row, run, storm};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A quarter of the time went into the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MINUTE: Duration = Duration::from_mins(1);
/// Runs by seed; the cluster level has two thousand others beside it, `cargo soak` as many as one likes.
const RUNS: u64 = 100;
/// What they are made from.
const SEED: u64 = 11;

/// Whether the bot says that it is ready with so many shards.
fn is_ready(shards: u32) -> impl Fn(&ShardedBot) -> bool {
    move |bot| {
        let Some(status) = &bot.status else { return false };
        let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        ready && status.shards == Some(shards)
    }
}

#[test]
fn a_fleet_comes_online_loses_a_container_and_an_operator_and_changes_its_shards() -> Result<()> {
    run(1, async {
        let discord = Options { guilds: 40, ..Options::default() };
        let world = World::begin(Making { seed: 1, operators: 2, discord, ..Making::default() }).await?;
        world.apply(json!({ "shards": 4, "shardsPerPod": 2 })).await?;
        let online = world.until_status(5 * MINUTE, is_ready(4)).await?;
        println!("online after {online:?}");
        world.kubelet.kill(&world.kubelet.pods()[0]);
        let resumed = world.discord.wait_for(MINUTE, |ledger| ledger.resumes == 2).await;
        let resumed = resumed.map_err(|ledger| anyhow!("{} RESUMEs within a minute", ledger.resumes))?;
        assert_eq!(resumed.identifies, 4, "a killed container resumes");
        assert_eq!(world.kubelet.restarts(), 1);
        world.operators.stop(0).await?;
        world.apply(json!({ "shards": 6, "shardsPerPod": 2 })).await?;
        world.until_status(5 * MINUTE, is_ready(6)).await?;
        let ledger = world.ledger();
        assert_eq!((ledger.identifies, ledger.violations, ledger.token_resets), (10, 0, 0));
        println!("{:?} of Discord's time", world.elapsed());
        Ok(())
    })
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let different: Vec<_> = (0..20)
        .map(|run| Schedule::of(seed_of(1, run)))
        .filter_map(|schedule| {
            let [first, second] = [storm::run(&schedule), storm::run(&schedule)];
            Some((schedule.seed, first.first_difference(&second)?))
        })
        .collect();
    assert!(different.is_empty(), "{different:#?}");
}

#[test]
fn a_hundred_runs_by_seed_end_well() -> Result<()> {
    let threads = available_parallelism().map_or(1, usize::from);
    let summary = row::run(SEED, Ends { runs: Some(RUNS), after: None }, threads, &|line| {
        if line.contains("FAILED") {
            eprintln!("  {line}");
        }
    });
    eprintln!("  {}", summary.line());
    let failed: Vec<_> = summary.report.failed.iter().map(Run::line).collect();
    ensure!(failed.is_empty() && summary.report.runs == RUNS, "{}", failed.join("\n"));
    Ok(())
}

/// What all stories stand on; not so in every version of tokio.
#[test]
fn on_a_paused_clock_what_a_socket_wakes_counts_as_work() -> Result<()> {
    run(1, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await
        });
        let mut stream = TcpStream::connect(address).await?;
        for _ in 0..1_000 {
            let mut byte = [0];
            stream.write_all(b"a").await?;
            // The least time that tokio knows.
            tokio::time::timeout(Duration::from_millis(1), stream.read_exact(&mut byte)).await??;
        }
        Ok(())
    })
}
