//! A fleet's Discord, on threads that other programs do not keep waiting.
//!
//! It stands for machines that are not ours, and should not be late because ours are busy. So all Discords have threads of
//! their own, before what else computes, and whatever takes a Discord's lock is done there: a thread of a test that loses the
//! processor meanwhile would keep them waiting. How late the machine made one all the same is measured, for whoever has to tell
//! its doing from ours. Deliberately absent: the rules, which are the simulator's.

use anyhow::{Context, Result};
use discord_sim::{
    Discord, DropConnections, Ledger, LedgerQuery, Options, Reply, ReplyWait, Simulator, Snowflake,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How it stands to all else that wants the processor: before what computes.
const NICENESS: i32 = -10;
/// Threads for all of them: one that waits for a Discord's lock must not keep what others are sent.
const THREADS: usize = 4;
/// How often its lateness is measured.
const LOOKS: Duration = Duration::from_millis(20);

/// A Discord, and where it runs.
#[derive(Debug)]
pub struct Judge {
    simulator: Simulator,
    runtime: Handle,
    late_ms: Arc<AtomicU64>,
    /// Measures until the end.
    measuring: JoinHandle<()>,
}

/// What all Discords of a ground run on.
///
/// # Errors
/// When there are no threads for it.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("discord")
        .on_thread_start(hurry)
        .enable_all()
        .build()
}

impl Judge {
    /// Starts one.
    ///
    /// # Errors
    /// When its address is taken.
    pub(super) async fn start(runtime: &Handle, options: Options) -> Result<Self> {
        let late_ms = Arc::default();
        let simulator = runtime.spawn(Simulator::start(options)).await??;
        let measuring = runtime.spawn(measure(Arc::clone(&late_ms)));
        Ok(Self { simulator, runtime: runtime.clone(), late_ms, measuring })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.simulator.addr()
    }

    /// Does something with it; nobody's frames wait longer than it takes.
    ///
    /// # Panics
    /// When `what` does.
    pub fn act<T: Send + 'static>(&self, what: impl FnOnce(&Discord) -> T + Send + 'static) -> T {
        let discord = Arc::clone(self.simulator.control());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // Who asked waits, and may be gone.
        drop(self.runtime.spawn(async move { tell.send(what(&discord)) }));
        told.recv().expect("what was asked of Discord panicked")
    }

    /// Ends connections.
    ///
    /// # Errors
    /// When there is no such shard or way.
    pub fn drop_connections(&self, which: DropConnections) -> Result<()> {
        Ok(self.act(move |discord| discord.drop_connection(which)).map(drop)?)
    }

    /// Its ledger, an event without an answer counting as lost at once, with some of its events or none.
    #[must_use]
    pub fn ledger(&self, mut query: LedgerQuery) -> Ledger {
        query.lost_after_ms = Some(0);
        self.act(move |discord| discord.ledger_of(&query))
    }

    /// What the bot replied to a message.
    ///
    /// # Errors
    /// When there is no such message.
    pub async fn replies(&self, message: Snowflake, wait: ReplyWait) -> Result<Vec<Reply>> {
        let discord = Arc::clone(self.simulator.control());
        let replies = self.runtime.spawn(async move { discord.replies(message, &wait).await });
        Ok(replies.await.context("read replies")??)
    }

    /// How late it was at most to do what was due, in milliseconds. IDENTIFYs are booked by the kernel's stamp and not touched by
    /// this; its answers and events were late by as much.
    pub(super) fn late_ms(&self) -> u64 {
        self.late_ms.load(Ordering::Relaxed)
    }

    /// Ends every connection.
    pub(super) async fn stop(self) {
        self.measuring.abort();
        // It may be cut off with its runtime all the same.
        let _ = self.runtime.spawn(self.simulator.stop()).await;
    }
}

async fn measure(late_ms: Arc<AtomicU64>) {
    loop {
        let due = Instant::now() + LOOKS;
        sleep_until(due).await;
        let late = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX);
        late_ms.fetch_max(late, Ordering::Relaxed);
    }
}

/// Puts the calling thread before those of other programs.
fn hurry() {
    // Where it is not allowed, a busy machine is seen in the ledger.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}
