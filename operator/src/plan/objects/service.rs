//! The headless Service that gives pods their names in DNS.

use super::with_hash;
use crate::model::{Kind, Object};
use crate::names::Owner;
use serde_json::json;
use shard_contract::env::HEALTH_PORT;
use shard_contract::names::BOT_LABEL;

/// `<bot>-shards`, over all layouts.
#[must_use]
pub fn service(owner: &Owner) -> Object {
    let mut body = owner.head(Kind::Service, &owner.shards(), &owner.labels());
    body["spec"] = json!({
        "clusterIP": "None",
        // A pod must find the others before its shards are connected.
        "publishNotReadyAddresses": true,
        "selector": { BOT_LABEL: owner.name },
        "ports": [{ "name": "health", "port": HEALTH_PORT, "protocol": "TCP", "targetPort": HEALTH_PORT }],
    });
    with_hash(Kind::Service, owner.shards(), body)
}
