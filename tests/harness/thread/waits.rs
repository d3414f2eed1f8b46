//! A world as a fleet that tests ask and wait for.
//!
//! Everything lasts as long as it does at Discord. Deliberately absent: acts.

use super::{BOT, NAMESPACE, World};
use crate::any_fleet::{AnyFleet, Pace};
use crate::fleet::{PATIENCE as REAL, TIME_FACTOR};
use anyhow::Result;
use discord_sim::{DropConnections, Generate, Ledger, LedgerQuery};
use kube::Client;
use shard_operator::crd::ShardedBot;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a fleet may take to come online or to settle: that of processes, in Discord's time.
pub const PATIENCE: Duration = REAL.saturating_mul(TIME_FACTOR);

impl AnyFleet for World {
    fn pace(&self) -> Pace {
        Pace { patience: PATIENCE, look: Duration::from_millis(500), answer: Duration::from_secs(10) }
    }

    fn client(&self) -> Client {
        self.client.clone()
    }

    fn namespace(&self) -> &str {
        NAMESPACE
    }

    fn shards(&self) -> u32 {
        self.shards.load(Ordering::Relaxed)
    }

    fn pods(&self) -> Vec<String> {
        self.kubelet.pods()
    }

    fn gates(&self) -> Vec<Option<SocketAddr>> {
        (0..self.operators.count()).map(|number| self.operators.gate(number)).collect()
    }

    fn gate_token(&self) -> Result<(String, String)> {
        self.kubelet.gate_token()
    }

    fn ledger_of(&self, query: LedgerQuery) -> Ledger {
        self.discord.control().ledger_of(&query)
    }

    fn generate(&self, talk: Generate) -> Result<()> {
        Ok(self.discord.control().generate(&talk).map(drop)?)
    }

    fn hush(&self) {
        self.discord.control().stop_generating();
    }

    fn trouble(&self) -> String {
        let bot = self.api.object("shardedbots.shard-operator.dev", NAMESPACE, BOT);
        let status = bot.map(|bot| bot["status"].to_string()).unwrap_or_default();
        format!("{}; the status is {status}", self.kubelet.describe())
    }
}

impl World {
    /// Waits until the bot's status satisfies a condition; the time that it took.
    ///
    /// # Errors
    /// When it does not within that time.
    pub async fn until_status(
        &self,
        within: Duration,
        holds: impl Fn(&ShardedBot) -> bool,
    ) -> Result<Duration> {
        let begun = Instant::now();
        let asked = async || {
            let bot = self.bots().get(BOT).await?;
            Ok(if holds(&bot) { Ok(()) } else { Err("not yet".to_owned()) })
        };
        self.wait("a status", within, asked).await?;
        Ok(begun.elapsed())
    }

    /// Ends connections.
    ///
    /// # Errors
    /// When there is no such shard or way.
    pub fn drop_connections(&self, which: DropConnections) -> Result<()> {
        Ok(self.discord.control().drop_connection(which).map(drop)?)
    }
}
