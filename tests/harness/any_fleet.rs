//! A fleet of either kind, of processes or in one thread: what tests ask of it and wait for.
//!
//! From a condition to the moment when it holds, or to what was found instead. Each kind says how it is asked, how long a wait may take and
//! at which pace it looks. Deliberately absent: acts that only one kind can do.

use crate::fleet::{BOT, GateSays};
use anyhow::{Context, Result, bail, ensure};
use discord_sim::{Generate, Ledger, LedgerQuery};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use shard_contract::identify::{IDENTIFY_PATH, IdentifyRequest, Priority};
use shard_contract::names::parse_pod;
use shard_operator::crd::ShardedBot;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How a fleet is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest that it may take to come online or to settle.
    pub patience: Duration,
    /// Between two looks.
    pub look: Duration,
    /// The longest that a gate may take to answer.
    pub answer: Duration,
}

/// A fleet.
#[expect(async_fn_in_trait, reason = "only this project's tests implement and call it")]
pub trait AnyFleet: Sync {
    /// How it is waited for.
    fn pace(&self) -> Pace;
    /// A client, as the administrator.
    fn client(&self) -> Client;
    /// Its namespace.
    fn namespace(&self) -> &str;
    /// How many shards were asked for.
    fn shards(&self) -> u32;
    /// Names of its pods that somebody hears of.
    fn pods(&self) -> Vec<String>;
    /// Where each replica's gate is, if it runs.
    fn gates(&self) -> Vec<Option<SocketAddr>>;
    /// A pod, and the token with which it proves to the gate who it is.
    ///
    /// # Errors
    /// When no pod runs, or its token cannot be read.
    fn gate_token(&self) -> Result<(String, String)>;
    /// Discord's ledger.
    fn ledger_of(&self, query: LedgerQuery) -> Ledger;
    /// Users write, until they are stopped.
    ///
    /// # Errors
    /// When the simulator refuses.
    fn generate(&self, talk: Generate) -> Result<()>;
    /// Users write no more.
    fn hush(&self);
    /// What else is known when a wait was in vain.
    fn trouble(&self) -> String;

    /// Discord's ledger; an event without an answer counts at once.
    fn ledger(&self) -> Ledger {
        self.ledger_of(LedgerQuery { lost_after_ms: Some(0), ..LedgerQuery::default() })
    }

    /// Users write messages that ask for an answer, so many a second of the fleet's own time, until they are stopped.
    ///
    /// # Errors
    /// When the simulator refuses.
    fn talk(&self, rate: f64) -> Result<()> {
        self.generate(Generate { rate: Some(rate), ..Generate::default() })
    }

    /// The bots of its namespace.
    fn bots(&self) -> Api<ShardedBot> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// Waits until something is as wanted: asked again and again, it says what it found instead.
    ///
    /// # Errors
    /// After `most`, with what was last found; at once when asking itself fails.
    async fn wait(
        &self,
        what: &str,
        most: Duration,
        mut ask: impl AsyncFnMut() -> Result<Result<(), String>>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Err(found) = ask().await? else { return Ok(()) };
            go_on(self, what, most, begun, &found).await?;
        }
    }

    /// Waits until the ledger is as wanted; returns it.
    ///
    /// # Errors
    /// After `most`, with what was last found.
    async fn until(
        &self,
        what: &str,
        most: Duration,
        mut wanted: impl FnMut(&Ledger) -> Result<(), String>,
    ) -> Result<Ledger> {
        let begun = Instant::now();
        loop {
            let ledger = self.ledger();
            let Err(found) = wanted(&ledger) else { return Ok(ledger) };
            go_on(self, what, most, begun, &found).await?;
        }
    }

    /// Waits until every shard has a connection; the ledger then.
    ///
    /// # Errors
    /// When it takes too long, with what is missing.
    async fn online(&self) -> Result<Ledger> {
        let total = self.shards();
        self.until("every shard to be connected", self.pace().patience, |ledger| {
            let missing = (0..total).filter(|shard| {
                !ledger.sessions.iter().any(|one| one.shard == *shard && one.total == total && one.connected)
            });
            let missing: Vec<_> = missing.collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("shards {missing:?} are not connected")) }
        })
        .await
    }

    /// Waits until every message was answered that any session can still bring.
    ///
    /// # Errors
    /// When it takes too long, with how many were not.
    async fn settled(&self) -> Result<Ledger> {
        self.until("every message to be answered", self.pace().patience, |ledger| {
            let open = ledger.events.lost + ledger.events.waiting;
            if open == 0 { Ok(()) } else { Err(format!("{open} have no answer")) }
        })
        .await
    }

    /// Waits until users have been answered so many more times.
    ///
    /// # Errors
    /// When it takes too long.
    async fn answers(&self, more: u64) -> Result<()> {
        let before = self.ledger().events.answered;
        let wanted = |ledger: &Ledger| {
            let answered = ledger.events.answered - before;
            if answered >= more { Ok(()) } else { Err(format!("{answered} of {more} answered")) }
        };
        self.until("answers", self.pace().patience, wanted).await.map(drop)
    }

    /// Waits until so many RESUMEs have succeeded in all.
    ///
    /// # Errors
    /// When it takes too long.
    async fn resumes(&self, all: u64) -> Result<()> {
        let wanted = |ledger: &Ledger| {
            if ledger.resumes >= all { Ok(()) } else { Err(format!("{} of {all}", ledger.resumes)) }
        };
        self.until("RESUMEs", self.pace().patience, wanted).await.map(drop)
    }

    /// Every shard comes online, users write no more, everything is answered.
    ///
    /// # Errors
    /// When it takes too long.
    async fn quiet(&self) -> Result<()> {
        self.online().await?;
        self.hush();
        self.settled().await.map(drop)
    }

    /// So many IDENTIFYs were all.
    ///
    /// # Errors
    /// When there was another number of them.
    fn no_more_identifies(&self, than: u64) -> Result<()> {
        let identifies = self.ledger().identifies;
        ensure!(identifies == than, "{identifies} IDENTIFYs instead of {than}");
        Ok(())
    }

    /// What events of its namespace say.
    ///
    /// # Errors
    /// When the API server does not answer.
    async fn told(&self) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.client(), self.namespace());
        let events = events.list(&ListParams::default()).await.context("list events")?.items;
        Ok(events.into_iter().filter_map(|event| event.note).collect())
    }

    /// Names and UIDs of the pods that there are.
    ///
    /// # Errors
    /// When the API server does not answer.
    async fn uids(&self) -> Result<BTreeMap<String, String>> {
        let pods: Api<Pod> = Api::namespaced(self.client(), self.namespace());
        let listed = pods.list(&ListParams::default()).await.context("list pods")?;
        Ok(listed.items.iter().map(|pod| (pod.name_any(), pod.uid().unwrap_or_default())).collect())
    }

    /// Waits until another pod of this name stands where one of these UIDs was.
    ///
    /// # Errors
    /// After `most`, or when the API server does not answer.
    async fn replaced(&self, pod: &str, before: &BTreeMap<String, String>, most: Duration) -> Result<()> {
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
    async fn delete(&self, pod: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client(), self.namespace());
        let _ = pods.delete(pod, &DeleteParams::default()).await.context("delete a pod")?;
        Ok(())
    }

    /// Deletes the pod at this place and waits until another stands in its place.
    ///
    /// # Errors
    /// When there is none, or it takes too long.
    async fn replace(&self, place: usize) -> Result<()> {
        let pod = self.pods().into_iter().nth(place).context("no such pod")?;
        let before = self.uids().await?;
        self.delete(&pod).await?;
        self.replaced(&pod, &before, self.pace().patience).await
    }

    /// A condition of the bot: its status, reason and message.
    ///
    /// # Errors
    /// When the API server does not answer.
    async fn condition(&self, name: &str) -> Result<Option<(String, String, String)>> {
        let bot = self.bots().get(BOT).await?;
        let conditions = bot.status.map(|status| status.conditions).unwrap_or_default();
        let found = conditions.into_iter().find(|one| one.type_ == name);
        Ok(found.map(|one| (one.status, one.reason, one.message)))
    }

    /// What each replica's gate says to a pod that asks for what is not its own.
    ///
    /// # Errors
    /// When no pod runs that could ask.
    async fn doors(&self) -> Result<Vec<GateSays>> {
        let (pod, token) = self.gate_token()?;
        let (_, layout, _) = parse_pod(&pod).context("a pod that is none of ours")?;
        let ask = IdentifyRequest { layout, shards: vec![u32::from(u16::MAX)], priority: Priority::Live };
        let http = reqwest::Client::builder().no_proxy().timeout(self.pace().answer).build()?;
        let mut all = Vec::new();
        for gate in self.gates() {
            let Some(gate) = gate else {
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
    async fn leader(&self) -> Result<u32> {
        self.leads(|leading| leading.contains(&true)).await
    }

    /// The same, once it is who is meant. Looks at all gates, from number 0 on, all the time.
    ///
    /// # Errors
    /// When none does in time, or two would grant.
    async fn leads(&self, until: impl Fn(&[bool]) -> bool) -> Result<u32> {
        let mut found = None;
        self.wait("one replica to lead", self.pace().patience, async || {
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

/// Between two looks.
async fn go_on(
    fleet: &(impl AnyFleet + ?Sized),
    what: &str,
    most: Duration,
    begun: Instant,
    found: &str,
) -> Result<()> {
    if begun.elapsed() > most {
        bail!("waited {} s for {what}: {found}; {}", most.as_secs(), fleet.trouble());
    }
    // The pace of asking, not a time that anything depends on.
    tokio::time::sleep(fleet.pace().look).await;
    Ok(())
}

/// A merge patch that takes all labels and annotations away.
#[must_use]
pub fn without_marks(metadata: &ObjectMeta) -> Value {
    let gone = |marks: &Option<BTreeMap<String, String>>| -> Value {
        let marks = marks.iter().flat_map(BTreeMap::keys);
        marks.map(|mark| (mark.clone(), Value::Null)).collect::<serde_json::Map<_, _>>().into()
    };
    json!({ "metadata": { "labels": gone(&metadata.labels), "annotations": gone(&metadata.annotations) } })
}
