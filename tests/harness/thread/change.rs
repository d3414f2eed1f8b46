//! What somebody changes on a fleet, and how one sees that it is carried out.
//!
//! From a [`Change`] to a world in which it was made and has come to its end, with or without an [`Injection`] at one of its moments, and to what
//! stands then. Deliberately absent: what is right (`each.rs` compares), and faults that last (`storm.rs`).

use super::inject::{Injection, Injector, Moments};
use super::standing::Standing;
use super::{BOT, Making, NAMESPACE, World, stage};
use crate::any_fleet::AnyFleet as _;
use crate::fleet::schedule::{Shape, TWO_OPERATORS};
use crate::fleet::stage::rules_were_kept;
use anyhow::{Context, Result, bail, ensure};
use discord_sim::{FAKE_TOKEN, SettingsChange};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use shard_contract::names::{layouts_config_map, sessions_secret, shards};
use std::time::Duration;
use strum::{Display, EnumIter, EnumString};
use tokio::time::Instant;

/// What stands is the end when it has stood for so long: what is done once in a minute was done.
const STANDS: Duration = Duration::from_mins(2);
/// And so long where it is known.
const STANDS_AS_KNOWN: Duration = Duration::from_secs(20);
/// The longest that a change may take, with a fault in the midst of it.
const PATIENCE: Duration = Duration::from_mins(20);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Messages a second that ask for an answer.
const RATE: f64 = 0.5;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumIter, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Change {
    /// The bot is made.
    FirstStart,
    /// `spec.shards` is raised.
    MoreShards,
    /// It is lowered.
    FewerShards,
    /// The same total on other pods.
    OtherPods,
    /// `spec.restartedAt`.
    RestartedAt,
    /// The template's environment.
    Template,
    /// `spec.shards: 0`.
    Stop,
    /// It was 0.
    StartAgain,
    /// `spec.shards` is left out: Discord's recommendation is followed.
    Follow,
    /// Discord recommends more, and that is followed.
    Recommendation,
    /// A change while `spec.paused` holds it, which is then set free.
    Unpause,
    /// The token's Secret is deleted and made again.
    Token,
    /// The Secret with the records is deleted.
    Records,
    /// ConfigMap, StatefulSet and Service are deleted.
    Objects,
    /// A pod is deleted.
    PodReplaced,
    /// A node is lost with its pod.
    NodeLost,
    /// The bot is deleted.
    Deleted,
}

/// A change that has come to its end.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What stands, without numbers: that of a layout is spent when somebody dies between announcing and making it.
    pub standing: Standing,
    /// IDENTIFYs in all.
    pub identifies: u64,
    /// How many shards were asked for last.
    pub shards: u64,
    /// How many moments there were at which somebody could have been struck.
    pub moments: Moments,
}

/// Runs a story of its own: a fleet, a change, perhaps an injected fault, the end; where an end is known already, that one is waited for.
///
/// # Errors
/// When the change does not come to that end, or Discord's ledger shows what is never right.
pub fn run(change: Change, injection: Option<Injection>, end: Option<&Standing>) -> Result<Changed> {
    let shape = shape(change);
    super::run(shape.seed, async {
        let world = World::begin(making(change, &shape)).await?;
        let injector = Injector::new(injection);
        change.prepare(&world).await.context("prepare")?;
        if change.keeps_sessions() {
            world.talk(RATE)?;
        }
        let story = async {
            change.make(&world).await.context("make the change")?;
            // Its moment may come when all stands already.
            injector.met(PATIENCE).await?;
            ends(&world, end).await
        };
        injector.during(&world, story).await?;
        world.hush();
        world.settled().await?;
        let ledger = world.ledger();
        rules_were_kept(&ledger)?;
        let standing = Standing::of(&world.api).without_numbers();
        let shards = u64::from(world.shards());
        Ok(Changed { standing, identifies: ledger.identifies, shards, moments: injector.moments() })
    })
}

fn shape(change: Change) -> Shape {
    match change {
        Change::Follow | Change::Recommendation => Shape { shards: 2, pods: 1, ..TWO_OPERATORS },
        _ => TWO_OPERATORS,
    }
}

fn making(change: Change, shape: &Shape) -> Making {
    Making { has_ways: change == Change::NodeLost, ..stage::making(shape) }
}

/// Waits until what is to stand does so for a while; any that is ready if it is not known.
pub(super) async fn ends(world: &World, end: Option<&Standing>) -> Result<()> {
    let begun = Instant::now();
    let stands = if end.is_some() { STANDS_AS_KNOWN } else { STANDS };
    let mut since = Instant::now();
    let (mut seen, mut last) = (Standing::versions(&world.api), Standing::of(&world.api).without_numbers());
    loop {
        let versions = Standing::versions(&world.api);
        let mut is_end = end.is_none_or(|end| last == *end);
        if versions != seen {
            let now = Standing::of(&world.api).without_numbers();
            is_end = end.map_or(now == last, |end| now == *end);
            (seen, last) = (versions, now);
        }
        let is_end = is_end && (end.is_some() || world.is_ready().await?);
        if !is_end {
            since = Instant::now();
        }
        if is_end && since.elapsed() >= stands {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let differs = end.map(|end| last.difference(end)).unwrap_or_default();
            bail!("after {} s: {}; {}", PATIENCE.as_secs(), differs.join("; "), world.trouble());
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl World {
    /// Whether the bot says that all is as its spec wants it, or there is none.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn is_ready(&self) -> Result<bool> {
        let Some(bot) = self.bots().get_opt(BOT).await? else { return Ok(true) };
        let generation = bot.metadata.generation;
        let Some(status) = bot.status else { return Ok(false) };
        let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        Ok(ready && Some(status.observed_generation) == generation)
    }
}

fn spec(shards: u32) -> Value {
    json!({ "shards": shards, "shardsPerPod": 2 })
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

impl Change {
    /// Whether every session goes on in it: users may talk, and nothing may be lost.
    fn keeps_sessions(self) -> bool {
        matches!(
            self,
            Self::OtherPods
                | Self::RestartedAt
                | Self::Template
                | Self::Token
                | Self::Records
                | Self::Objects
                | Self::PodReplaced
                | Self::NodeLost
        )
    }

    /// The fleet before it.
    async fn prepare(self, world: &World) -> Result<()> {
        let before = match self {
            Self::FirstStart => return Ok(()),
            Self::FewerShards => spec(6),
            Self::StartAgain => spec(0),
            Self::Recommendation => {
                json!({ "shardsPerPod": 2, "follow": { "reshardAboveGuildsPerShard": 3 } })
            }
            _ => spec(4),
        };
        world.apply(before).await?;
        let begun = Instant::now();
        while !world.is_ready().await? {
            ensure!(begun.elapsed() < PATIENCE, "it is not ready; {}", world.trouble());
            tokio::time::sleep(LOOK).await;
        }
        if self == Self::Unpause {
            world.apply(with(spec(6), "paused", true.into())).await?;
            world
                .wait("the change to be held", PATIENCE, async || {
                    let ready = world.condition("Ready").await?;
                    let is_held = ready.as_ref().is_some_and(|(_, reason, _)| reason == "Paused");
                    Ok(if is_held { Ok(()) } else { Err(format!("{ready:?}")) })
                })
                .await?;
        }
        Ok(())
    }

    /// What somebody does.
    async fn make(self, world: &World) -> Result<()> {
        let namespaced = DeleteParams::default();
        match self {
            Self::FirstStart | Self::StartAgain | Self::FewerShards => world.apply(spec(4)).await,
            Self::MoreShards | Self::Unpause => world.apply(spec(6)).await,
            Self::OtherPods => world.apply(json!({ "shards": 4, "shardsPerPod": 1 })).await,
            Self::RestartedAt => world.apply(with(spec(4), "restartedAt", "now".into())).await,
            Self::Template => {
                let container =
                    json!({ "name": "bot", "image": "shard-bot", "env": [{ "name": "A", "value": "b" }] });
                world.apply(with(spec(4), "template", json!({ "spec": { "containers": [container] } }))).await
            }
            Self::Stop => world.apply(spec(0)).await,
            Self::Follow => world.apply(json!({ "shardsPerPod": 2 })).await,
            Self::Recommendation => {
                let more = SettingsChange { recommended_shards: Some(4), ..SettingsChange::default() };
                world.discord.control().settle(&more)?;
                world
                    .wait("the recommendation to be read", PATIENCE, async || {
                        let status = world.bots().get(BOT).await?.status;
                        let read = status.and_then(|status| status.recommended_shards);
                        Ok(if read == Some(4) { Ok(()) } else { Err(format!("{read:?}")) })
                    })
                    .await
            }
            Self::Token => {
                let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
                let _ = secrets.delete("token", &namespaced).await?;
                world
                    .wait("the token to be missed", PATIENCE, async || {
                        Ok(if world.is_ready().await? { Err("it is not".to_owned()) } else { Ok(()) })
                    })
                    .await?;
                let token = json!({ "metadata": { "name": "token" }, "stringData": { "token": FAKE_TOKEN } });
                secrets.create(&PostParams::default(), &serde_json::from_value(token)?).await?;
                Ok(())
            }
            Self::Records => {
                let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
                let _ = secrets.delete(&sessions_secret(BOT, 0), &namespaced).await?;
                Ok(())
            }
            Self::Objects => {
                let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
                let services: Api<Service> = Api::namespaced(world.client.clone(), NAMESPACE);
                let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), NAMESPACE);
                let _ = maps.delete(&layouts_config_map(BOT), &namespaced).await?;
                let _ = services.delete(&shards(BOT), &namespaced).await?;
                for set in sets.list(&ListParams::default()).await?.items {
                    let _ = sets.delete(&set.name_any(), &namespaced).await?;
                }
                Ok(())
            }
            Self::PodReplaced => world.delete(&first(world)?).await,
            Self::NodeLost => world.lose(&first(world)?, true).await,
            Self::Deleted => {
                let _ = world.bots().delete(BOT, &namespaced).await?;
                Ok(())
            }
        }
    }
}

fn first(world: &World) -> Result<String> {
    world.kubelet.pods().into_iter().next().context("no pod runs")
}
