//! Each field of the spec set to another value and back: the world ends as it began.
//!
//! From a table, which a test holds to the CRD, to what differs at the end. Each is told twice: the way back begins when the other value is
//! carried out, and while it is being carried out. Deliberately absent: which values are valid (the CRD's rules, the stories).

use super::change::ends;
use super::standing::Standing;
use super::{World, stage};
use crate::any_fleet::AnyFleet as _;
use crate::fleet::schedule::{SMALL, Shape};
use crate::fleet::stage::rules_were_kept;
use Makes::{AnotherTotal, AnotherTotalForGood, NoIdentify, Refused, Unsupported};
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// So long after the other value comes the way back, where it does not wait.
const AT_ONCE: Duration = Duration::from_secs(3);

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its place below `spec`.
    pub name: &'static str,
    /// The spec before and after.
    pub before: Value,
    /// The spec meanwhile.
    pub meanwhile: Value,
    /// What follows.
    pub makes: Makes,
}

/// What follows from a field's other value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// Nothing that costs an IDENTIFY.
    NoIdentify,
    /// Another total, and back.
    AnotherTotal,
    /// Another total, and the way back changes nothing: who follows Discord keeps a total that is within bounds.
    AnotherTotalForGood,
    /// The API server refuses it.
    Refused,
    /// It is taken, and the status says that this version does not support it.
    Unsupported,
}

/// All fields; what is below `template.spec` by examples, since all of it is carried out in one way.
#[must_use]
pub fn all() -> Vec<Field> {
    let plain = json!({ "shards": 4, "shardsPerPod": 2 });
    let followed = json!({ "shardsPerPod": 2, "follow": {} });
    let of = |name, before: &Value, (at, value): (&str, Value), makes| {
        let mut meanwhile = before.clone();
        meanwhile[at] = value;
        Field { name, before: before.clone(), meanwhile, makes }
    };
    let container = |more: Value| {
        let mut container = json!({ "name": "bot", "image": "shard-bot" });
        if let (Some(container), Value::Object(more)) = (container.as_object_mut(), more) {
            container.extend(more);
        }
        ("template", json!({ "spec": { "containers": [container] } }))
    };
    let pod = |more: Value| {
        let mut spec = json!({ "containers": [{ "name": "bot", "image": "shard-bot" }] });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        ("template", json!({ "spec": spec }))
    };
    let labelled = |metadata: Value| {
        let containers = json!([{ "name": "bot", "image": "shard-bot" }]);
        ("template", json!({ "metadata": metadata, "spec": { "containers": containers } }))
    };
    vec![
        of("tokenSecretRef.name", &plain, ("tokenSecretRef", json!({ "name": "other" })), Refused),
        of(
            "tokenSecretRef.key",
            &plain,
            ("tokenSecretRef", json!({ "name": "token", "key": "other" })),
            Refused,
        ),
        of("shards", &plain, ("shards", json!(6)), AnotherTotal),
        of("shards", &plain, ("shards", json!(0)), AnotherTotal),
        of("shards", &plain, ("shards", Value::Null), NoIdentify),
        of("shardMultiple", &plain, ("shardMultiple", json!(2)), NoIdentify),
        of("shardsPerPod", &plain, ("shardsPerPod", json!(1)), NoIdentify),
        of("follow.minShards", &followed, ("follow", json!({ "minShards": 6 })), AnotherTotalForGood),
        of("follow.maxShards", &followed, ("follow", json!({ "maxShards": 2 })), AnotherTotalForGood),
        of(
            "follow.reshardAboveGuildsPerShard",
            &followed,
            ("follow", json!({ "reshardAboveGuildsPerShard": 3 })),
            NoIdentify,
        ),
        of("update.type", &plain, ("update", json!({ "type": "Recreate" })), NoIdentify),
        of("update.handover", &plain, ("update", json!({ "handover": { "maxSurge": 1 } })), Unsupported),
        of("identify.reservePercent", &plain, ("identify", json!({ "reservePercent": 90 })), NoIdentify),
        of("paused", &plain, ("paused", json!(true)), NoIdentify),
        of("restartedAt", &plain, ("restartedAt", json!("2026-12-01")), NoIdentify),
        of("template.metadata.labels", &plain, labelled(json!({})), NoIdentify),
        of("template.metadata.labels", &plain, labelled(json!({ "labels": { "a": "b" } })), NoIdentify),
        of(
            "template.metadata.annotations",
            &plain,
            labelled(json!({ "annotations": { "a": "b" } })),
            NoIdentify,
        ),
        of("template.spec", &plain, container(json!({ "image": "another" })), NoIdentify),
        of("template.spec", &plain, container(json!({ "env": [{ "name": "A", "value": "b" }] })), NoIdentify),
        of(
            "template.spec",
            &plain,
            container(json!({ "resources": { "limits": { "cpu": "2" } } })),
            NoIdentify,
        ),
        of("template.spec", &plain, pod(json!({ "nodeSelector": { "a": "b" } })), NoIdentify),
        of("template.spec", &plain, pod(json!({ "terminationGracePeriodSeconds": 90 })), NoIdentify),
    ]
}

/// What goes wrong with any of them, by its name.
#[must_use]
pub fn wrong() -> Vec<String> {
    let stories: Vec<_> =
        all().into_iter().flat_map(|field| [true, false].map(|waits| (field.clone(), waits))).collect();
    let told = |(field, waits): &(Field, bool)| {
        let how = if *waits { "when it is carried out" } else { "at once" };
        there_and_back(field, *waits)
            .err()
            .map(|error| format!("{} {}, back {how}: {error:#}", field.name, field.meanwhile))
    };
    stories.par_iter().filter_map(told).collect()
}

fn there_and_back(field: &Field, waits: bool) -> Result<()> {
    let shape = Shape { shards: 4, ..SMALL };
    super::run(shape.seed, async {
        let world = World::begin(stage::making(&shape)).await?;
        world.apply(field.before.clone()).await?;
        ends(&world, None).await.context("begin")?;
        let before = Standing::of(&world.api).without_numbers();
        let identifies = world.ledger().identifies;
        let applied = world.apply(field.meanwhile.clone()).await;
        match field.makes {
            Makes::Refused => ensure!(applied.is_err(), "it was taken"),
            Makes::Unsupported => {
                applied?;
                if waits {
                    is_said(&world).await?;
                }
            }
            _ => {
                applied?;
                if waits {
                    ends(&world, None).await.context("there")?;
                }
            }
        }
        if !waits {
            tokio::time::sleep(AT_ONCE).await;
        }
        let there = Standing::of(&world.api).without_numbers();
        world.apply(field.before.clone()).await?;
        let end = match (field.makes, waits) {
            (Makes::AnotherTotalForGood, true) => Some(there.with_spec_of(&before)),
            (Makes::AnotherTotalForGood, false) => None,
            _ => Some(before),
        };
        ends(&world, end.as_ref()).await.context("back")?;
        let more = world.ledger().identifies - identifies;
        let may_identify = matches!(field.makes, Makes::AnotherTotal | Makes::AnotherTotalForGood);
        ensure!(may_identify || more == 0, "{more} IDENTIFYs");
        rules_were_kept(&world.ledger())
    })
}

/// Waits until the status says that something does not go.
async fn is_said(world: &World) -> Result<()> {
    world
        .wait("the status to say it", super::PATIENCE, async || {
            Ok(if world.is_ready().await? { Err("it is ready".to_owned()) } else { Ok(()) })
        })
        .await
}
