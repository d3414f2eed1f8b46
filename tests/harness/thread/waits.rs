//! What a story asks of its world, and waits for.
//!
//! From a condition to the moment when it holds, or to what was found instead; by the names that fleets of processes have for the same.
//! Deliberately absent: acts.

use super::{BOT, NAMESPACE, World};
use crate::fleet::{GateSays, PATIENCE as REAL, TIME_FACTOR};
use anyhow::{Context, Result, bail, ensure};
use discord_sim::{DropConnections, EventFilter, Generate, Ledger, LedgerQuery};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use shard_contract::identify::{IDENTIFY_PATH, IdentifyRequest, Priority};
use shard_contract::names::parse_pod;
use shard_operator::crd::ShardedBot;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a fleet may take to come online or to settle: that of processes, in Discord's time.
pub const PATIENCE: Duration = REAL.saturating_mul(TIME_FACTOR);
/// Between two looks.
const LOOKS: Duration = Duration::from_millis(500);

impl World {
    /// Discord's ledger, an event without an answer counting as lost at once.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.discord.control().ledger_of(&LedgerQuery { lost_after_ms: Some(0), ..LedgerQuery::default() })
    }

    /// The same, with some of its events.
    #[must_use]
    pub fn ledger_with(&self, events: EventFilter) -> Ledger {
        let query = LedgerQuery { lost_after_ms: Some(0), events: Some(events), ..LedgerQuery::default() };
        self.discord.control().ledger_of(&query)
    }

    /// Waits until something is as wanted: asked again and again, it says what it found instead.
    ///
    /// # Errors
    /// After `most`, with what was last found; at once when asking itself fails.
    pub async fn wait(
        &self,
        what: &str,
        most: Duration,
        mut ask: impl AsyncFnMut() -> Result<Result<(), String>>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Err(found) = ask().await? else { return Ok(()) };
            self.go_on(what, most, begun, &found).await?;
        }
    }

    /// Waits until the ledger is as wanted; returns it.
    ///
    /// # Errors
    /// After `most`, with what was last found.
    pub async fn until(
        &self,
        what: &str,
        most: Duration,
        mut wanted: impl FnMut(&Ledger) -> Result<(), String>,
    ) -> Result<Ledger> {
        let begun = Instant::now();
        loop {
            let ledger = self.ledger();
            let Err(found) = wanted(&ledger) else { return Ok(ledger) };
            self.go_on(what, most, begun, &found).await?;
        }
    }

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

    /// Between two looks.
    async fn go_on(&self, what: &str, most: Duration, begun: Instant, found: &str) -> Result<()> {
        if begun.elapsed() > most {
            let status = self.bots().get_opt(BOT).await?.and_then(|bot| bot.status);
            bail!(
                "waited {} s for {what}: {found}; {}; the status is {}",
                most.as_secs(),
                self.kubelet.describe(),
                serde_json::to_string(&status)?
            );
        }
        tokio::time::sleep(LOOKS).await;
        Ok(())
    }

    /// Waits until every shard has a connection; the ledger then.
    ///
    /// # Errors
    /// After [`PATIENCE`], with what is missing.
    pub async fn online(&self) -> Result<Ledger> {
        let total = self.shards.load(Ordering::Relaxed);
        self.until("every shard to be connected", PATIENCE, |ledger| {
            let missing = (0..total).filter(|shard| {
                !ledger.sessions.iter().any(|one| one.shard == *shard && one.total == total && one.connected)
            });
            let missing: Vec<_> = missing.collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("shards {missing:?} are not connected")) }
        })
        .await
    }

    /// Users write messages that ask for an answer, so many a second, until they are stopped.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub fn talk(&self, rate: f64) -> Result<()> {
        let talk = Generate { rate: Some(rate), ..Generate::default() };
        Ok(self.discord.control().generate(&talk).map(drop)?)
    }

    /// Users write no more.
    pub fn hush(&self) {
        self.discord.control().stop_generating();
    }

    /// Waits until every message was answered that any session can still bring.
    ///
    /// # Errors
    /// After `most`, with how many were not.
    pub async fn settled(&self, most: Duration) -> Result<Ledger> {
        self.until("every message to be answered", most, |ledger| {
            let open = ledger.events.lost + ledger.events.waiting;
            if open == 0 { Ok(()) } else { Err(format!("{open} have no answer")) }
        })
        .await
    }

    /// Ends connections.
    ///
    /// # Errors
    /// When there is no such shard or way.
    pub fn drop_connections(&self, which: DropConnections) -> Result<()> {
        Ok(self.discord.control().drop_connection(which).map(drop)?)
    }

    /// Names and UIDs of the pods that there are.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn uids(&self) -> Result<BTreeMap<String, String>> {
        let listed = self.pods().list(&ListParams::default()).await.context("list pods")?;
        Ok(listed.items.iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect())
    }

    /// Waits until another pod of this name stands where one of these UIDs was.
    ///
    /// # Errors
    /// After `most`, or when the API server does not answer.
    pub async fn replaced(&self, pod: &str, before: &BTreeMap<String, String>, most: Duration) -> Result<()> {
        self.wait("another pod in its place", most, async || {
            let now = self.uids().await?;
            let is_new = now.contains_key(pod) && now.get(pod) != before.get(pod);
            Ok(if is_new { Ok(()) } else { Err(format!("{now:?}")) })
        })
        .await
    }

    /// Deletes a pod, as a user or a drain does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self, pod: &str) -> Result<()> {
        let _ = self.pods().delete(pod, &DeleteParams::default()).await.context("delete a pod")?;
        Ok(())
    }

    /// The pods of the namespace.
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// A condition of the bot: its status, reason and message.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn condition(&self, name: &str) -> Result<Option<(String, String, String)>> {
        let bot = self.bots().get(BOT).await?;
        let conditions = bot.status.map(|status| status.conditions).unwrap_or_default();
        let found = conditions.into_iter().find(|one| one.type_ == name);
        Ok(found.map(|one| (one.status, one.reason, one.message)))
    }

    /// What each replica's gate says to a pod that asks for what is not its own.
    ///
    /// # Errors
    /// When no pod runs that could ask.
    pub async fn doors(&self) -> Result<Vec<GateSays>> {
        let (pod, token) = self.kubelet.gate_token()?;
        let (_, layout, _) = parse_pod(&pod).context("a pod that is none of ours")?;
        let ask = IdentifyRequest { layout, shards: vec![u32::from(u16::MAX)], priority: Priority::Live };
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let mut all = Vec::new();
        for number in 0..self.operators.count() {
            let Some(gate) = self.operators.gate(number) else {
                all.push(GateSays::Nothing);
                continue;
            };
            let call = http.post(format!("http://{gate}{IDENTIFY_PATH}")).bearer_auth(&token).json(&ask);
            all.push(match call.send().await.map(|answer| answer.status().as_u16()) {
                Ok(403) => GateSays::NotYours,
                Ok(421) => GateSays::AskTheLeader,
                Ok(status) => GateSays::Else(status),
                Err(_) => GateSays::Nothing,
            });
        }
        Ok(all)
    }

    /// The number of the replica that leads, once one does; never do two.
    ///
    /// # Errors
    /// When none does in time, or two would grant.
    pub async fn leader(&self) -> Result<u32> {
        self.leads(|leading| leading.contains(&true)).await
    }

    /// The same, once it is who is meant. Looks at all gates, from number 0 on, all the time.
    ///
    /// # Errors
    /// When none does in time, or two would grant.
    pub async fn leads(&self, until: impl Fn(&[bool]) -> bool) -> Result<u32> {
        let mut found = None;
        self.wait("one replica to lead", PATIENCE, async || {
            let doors = self.doors().await?;
            let leading: Vec<bool> = doors.iter().map(|door| door.leads()).collect();
            ensure!(leading.iter().filter(|leads| **leads).count() <= 1, "both would grant: {doors:?}");
            found = leading.iter().position(|leads| *leads).filter(|_| until(&leading));
            Ok(if found.is_some() { Ok(()) } else { Err(format!("{doors:?}")) })
        })
        .await?;
        Ok(u32::try_from(found.context("nobody leads")?)?)
    }
}
