//! How many shards there should be.
//!
//! From the checked wish, Discord's recommendation and how full the shards are, to one total, or what is waited for.
//! Following never goes down by itself and goes up only when the fullest shard passes its bound, so that a
//! recommendation that wavers moves nothing. Deliberately absent: layouts and pods.

use super::spec::{Spec, Wish};
use crate::model::{GatewaySeen, Note, Reason};

/// What is known of the running fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Its total.
    pub total: u32,
    /// Guilds on its fullest shard, as far as reported.
    pub fullest: u32,
}

/// The total that should run.
///
/// # Errors
/// What must be known first.
pub fn wanted(spec: &Spec, running: Option<Running>, answer: Option<&GatewaySeen>) -> Result<u32, Note> {
    let follow = match &spec.wish {
        Wish::Fixed(total) => return Ok(*total),
        Wish::Follow(follow) => follow,
    };
    let least = follow.min_shards.div_ceil(spec.multiple) * spec.multiple;
    let most = (follow.max_shards / spec.multiple * spec.multiple).max(least);
    let fit = |total: u32| (total.div_ceil(spec.multiple) * spec.multiple).clamp(least, most);
    let recommended = answer.map(|gateway| fit(gateway.shards));
    match (running, recommended) {
        (Some(running), Some(recommended))
            if running.fullest > follow.reshard_above_guilds_per_shard && recommended > running.total =>
        {
            Ok(recommended)
        }
        (Some(running), _) if running.total > 0 => Ok(fit(running.total)),
        (_, Some(recommended)) => Ok(recommended),
        (_, None) => Err(Note::new(
            Reason::AskingDiscord,
            "spec.shards is left out, so Discord is asked for the recommended number first",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::check;
    use super::*;
    use crate::crd::ShardedBot;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    fn spec(fields: &serde_json::Value) -> Spec {
        let mut body = json!({
            "tokenSecretRef": { "name": "t" },
            "template": { "spec": { "containers": [{ "name": "bot" }] } },
        });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        check(&ShardedBot::new("b", serde_json::from_value(body).unwrap())).unwrap()
    }

    fn answer(shards: u32) -> GatewaySeen {
        let never = Timestamp::UNIX_EPOCH;
        GatewaySeen {
            shards,
            total: 1_000,
            remaining: 1_000,
            resets_at: never,
            max_concurrency: 1,
            asked_at: never,
        }
    }

    #[test]
    fn the_total_follows_the_table() {
        let follow = |min: u32, max: u32| json!({ "follow": { "minShards": min, "maxShards": max } });
        let running = |total, fullest| Some(Running { total, fullest });
        let table = [
            ("fixed", json!({ "shards": 7 }), running(3, 2_400), 9, 7),
            ("stopped", json!({ "shards": 0 }), running(3, 0), 9, 0),
            ("first", follow(1, 256), None, 9, 9),
            ("first, bounded below", follow(12, 256), None, 9, 12),
            ("first, bounded above", follow(1, 4), None, 9, 4),
            ("a higher recommendation alone moves nothing", follow(1, 256), running(9, 1_900), 12, 9),
            ("a full shard moves up", follow(1, 256), running(9, 2_001), 12, 12),
            ("a full shard cannot pass the bound", follow(1, 10), running(9, 2_001), 12, 10),
            ("never down", follow(1, 256), running(9, 2_400), 4, 9),
            ("a bound that was lowered counts", follow(1, 6), running(9, 100), 9, 6),
        ];
        for (name, fields, running, recommended, expected) in table {
            assert_eq!(wanted(&spec(&fields), running, Some(&answer(recommended))), Ok(expected), "{name}");
        }
        let multiple = json!({ "shardMultiple": 16, "follow": { "minShards": 10, "maxShards": 100 } });
        assert_eq!(wanted(&spec(&multiple), None, Some(&answer(17))), Ok(32));
        assert_eq!(wanted(&spec(&multiple), None, Some(&answer(500))), Ok(96));
    }

    #[test]
    fn without_discord_a_running_fleet_stays_and_a_new_one_waits() {
        let follow = spec(&json!({}));
        assert_eq!(wanted(&follow, Some(Running { total: 5, fullest: 2_400 }), None), Ok(5));
        assert_eq!(wanted(&follow, None, None).unwrap_err().reason, Reason::AskingDiscord);
    }
}
