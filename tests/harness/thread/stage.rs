//! The stage of tests by name: a world for each, with a fleet that is online.
//!
//! From a shape to a test's outcome and to what Discord's ledger says of it. Deliberately absent: the tests.

use super::{Making, Tampered, World, run};
use crate::any_fleet::AnyFleet as _;
use crate::fleet::TIME_FACTOR;
use crate::fleet::schedule::Shape;
use crate::fleet::stage::rules_were_kept;
use anyhow::{Context, Result};
use discord_sim::Options;
use serde_json::json;
use std::time::Duration;

/// How a world of this shape is made.
#[must_use]
pub fn making(shape: &Shape) -> Making {
    Making {
        seed: shape.seed,
        operators: shape.operators,
        installations: shape.installations,
        discord: Options {
            // Many, so that in no channel more is asked at a time than is handled.
            guilds: shape.shards * 40,
            shards: Some(shape.shards),
            max_concurrency: shape.buckets,
            heartbeat_interval: Duration::from_millis(shape.heartbeat_ms * u64::from(TIME_FACTOR)),
            session_life: Duration::from_mins(3),
            ..Options::default()
        },
        ..Making::default()
    }
}

/// Runs a test on a fleet of this shape that is online.
///
/// # Errors
/// When the fleet does not come online, the test fails, or Discord's ledger shows what is never right.
pub fn on_a_fleet(shape: &Shape, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    in_a_world(shape, making(shape), test)
}

/// The same, with hosts that may be cut off from each other.
///
/// # Errors
/// The same.
pub fn on_a_fleet_with_ways(shape: &Shape, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    in_a_world(shape, Making { has_ways: true, ..making(shape) }, test)
}

/// The same, with somebody who tampers with what is asked of the API server.
///
/// # Errors
/// The same.
pub fn on_a_tampered_fleet(
    shape: &Shape,
    tampered: Tampered,
    test: impl AsyncFnOnce(&World) -> Result<()>,
) -> Result<()> {
    in_a_world(shape, Making { tampered, ..making(shape) }, test)
}

fn in_a_world(shape: &Shape, making: Making, test: impl AsyncFnOnce(&World) -> Result<()>) -> Result<()> {
    run(shape.seed, async {
        let world = World::begin(making).await?;
        world
            .apply(json!({ "shards": shape.shards, "shardsPerPod": shape.shards.div_ceil(shape.pods) }))
            .await?;
        world.online().await.context("come online")?;
        test(&world).await?;
        world.handled_once()?;
        rules_were_kept(&world.ledger())
    })
}
