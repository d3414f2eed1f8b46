//! How an operator reads what is there when it begins.
//!
//! From the API server's own metrics. Deliberately absent: where it cannot stream lists, which `operator/src/watches.rs` tests.

use anyhow::{Result, ensure};
use axum::http::Request;
use shard_tests::fleet::schedule::ONE;
use shard_tests::fleet::stage::{Stage, Way};

/// Counts lists that were streamed to their end.
const STREAMED: &str = "apiserver_watch_list_duration_seconds_count{";

pub fn streamed(stage: &Stage) -> Result<()> {
    stage.on_a_fleet("streamed", &ONE, Way::Straight, async |fleet| {
        let metrics = fleet.client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
        let lists: Vec<_> = metrics.lines().filter(|line| line.starts_with(STREAMED)).collect();
        // Nobody else here watches these.
        for resource in ["shardedbots", "statefulsets"] {
            let named = format!("resource=\"{resource}\"");
            ensure!(
                lists.iter().any(|line| line.contains(&named)),
                "{resource} were not streamed: {lists:?}"
            );
        }
        Ok(())
    })
}
