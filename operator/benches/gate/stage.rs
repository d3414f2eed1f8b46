//! A gate that leads, a bot that it grants to, and the pods that call.
//!
//! From a total, pods and a `max_concurrency`. For all measurements. Deliberately absent: the plan that sets a gate.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use shard_contract::pace::Pace;
use shard_machine::Machine;
use shard_operator::gate::{Caller, Gate};
use shard_operator::lease::Leadership;
use shard_operator::model::{Fingerprint, GateLayout, GateSetting, GatewaySeen};
use tokio::sync::watch;
use tokio::time::Instant;

/// A gate past its opening.
pub async fn open(total: u32, pods: u32, max_concurrency: u32) -> (Gate, watch::Sender<Leadership>) {
    let since = Instant::now();
    let until = since + Duration::from_hours(1_000);
    let (sender, leadership) = watch::channel(Leadership::Leading { since, until });
    let gate = Gate::new(Pace::REAL, leadership, |_| true, &Machine::this());
    let now = Timestamp::now();
    let setting = GateSetting::Open {
        token: Fingerprint([7; 16]),
        reserve_percent: 0,
        gateway: GatewaySeen {
            shards: total,
            total: 100_000,
            remaining: 100_000,
            resets_at: now + SignedDuration::from_hours(24),
            max_concurrency,
            asked_at: now,
        },
        layouts: BTreeMap::from([(1, GateLayout { total, pods, fallback_slot: 0 })]),
        pods: Vec::new(),
    };
    gate.set("bots", "bench", setting).await;
    tokio::time::sleep(Duration::from_millis(9_100)).await;
    (gate, sender)
}

/// The pod with this ordinal.
pub fn pod(ordinal: u32) -> Caller {
    Caller {
        namespace: "bots".into(),
        bot: "bench".into(),
        layout: 1,
        ordinal,
        pod: format!("bench-1-{ordinal}"),
        uid: format!("00000000-0000-4000-8000-{ordinal:012}"),
    }
}
