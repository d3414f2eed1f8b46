//! The Secrets with records: each read by its name, and of each only which records there are.
//!
//! Sessions do not leave this file. What was read counts for some seconds, since a large bot has hundreds of Secrets and
//! each change is made only to what was read. Deliberately absent: listing and watching Secrets.

use crate::context::{Context, Key};
use crate::crd::ShardedBotSpec;
use crate::model::{Belongs, Child, GatewaySeen, Kind, RecordSeen, SecretFound, SecretSeen};
use crate::names::TOTAL_LABEL;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use shard_contract::layout::MAX_TOTAL;
use shard_contract::layouts::Layouts;
use shard_contract::names::{parse_record_key, sessions_secret};
use shard_contract::record::{PER_SECRET, Record};

/// The most shards that any layout of this bot has, or could be planned to have in this round.
pub(super) fn most_shards(
    spec: &ShardedBotSpec,
    children: &[Child],
    document: Option<&Layouts>,
    answer: Option<&GatewaySeen>,
) -> u32 {
    let sets = children.iter().filter(|child| child.kind == Kind::StatefulSet && child.ours);
    let sets = sets.filter_map(|child| child.label(TOTAL_LABEL)?.parse().ok());
    let told = document.into_iter().flat_map(|document| &document.layouts).map(|layout| layout.total);
    let follow = if spec.shards.is_none() {
        let least = spec.follow.as_ref().map_or(1, |follow| follow.min_shards);
        answer.map_or(0, |answer| answer.shards).max(least)
    } else {
        0
    };
    let most = sets.chain(told).chain([spec.shards.unwrap_or(0), follow]).max().unwrap_or(0);
    most.min(MAX_TOTAL).next_multiple_of(spec.shard_multiple.max(1))
}

/// The Secrets for so many shards, by rising shards.
pub(super) async fn secrets(
    ctx: &Context,
    key: &Key,
    uid: &str,
    shards: u32,
) -> Result<Vec<SecretSeen>, kube::Error> {
    let names: Vec<_> =
        (0..shards.div_ceil(PER_SECRET)).map(|index| sessions_secret(&key.1, index * PER_SECRET)).collect();
    if let Some(seen) = ctx.memory.secrets(key, uid, &names) {
        return Ok(seen);
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.0);
    let reads: Vec<_> = names.into_iter().map(|name| read(api.clone(), name, uid)).collect();
    let seen: Vec<_> = stream::iter(reads).buffered(8).try_collect().await?;
    ctx.memory.keep_secrets(key.clone(), uid, seen.clone());
    Ok(seen)
}

async fn read(api: Api<Secret>, name: String, uid: &str) -> Result<SecretSeen, kube::Error> {
    let found = api.get_opt(&name).await?.map(|secret| found(&secret, uid));
    Ok(SecretSeen { name, found })
}

fn found(secret: &Secret, uid: &str) -> SecretFound {
    let data = secret.data.as_ref();
    let record = |value: &[u8]| {
        let Record { owner, state, .. } = serde_json::from_slice(value).ok()?;
        Some(RecordSeen { state, owner: owner.map(|owner| owner.pod_uid) })
    };
    let owners = secret.owner_references();
    SecretFound {
        belongs: if owners.iter().any(|owner| owner.controller == Some(true) && owner.uid == uid) {
            Belongs::ToThisBot
        } else if owners.iter().any(|owner| owner.kind == "ShardedBot") {
            Belongs::ToAnotherBot
        } else {
            Belongs::Elsewhere
        },
        deleting: secret.metadata.deletion_timestamp.is_some(),
        bare: data.is_none_or(std::collections::BTreeMap::is_empty),
        version: secret.resource_version().unwrap_or_default(),
        records: data
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((parse_record_key(key)?, record(&value.0))))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_secret_only_states_and_owners_are_kept() {
        let held = r#"{"rev":3,"state":"held","owner":{"layout":1,"podUid":"u"},"session":{"id":"hush","intents":1,"guilds":2}}"#;
        let mut secret: Secret = serde_json::from_value(json!({
            "metadata": { "resourceVersion": "7", "ownerReferences": [
                { "apiVersion": "v1", "kind": "ShardedBot", "name": "b", "uid": "bot", "controller": true },
            ] },
        }))
        .unwrap();
        assert!(found(&secret, "bot").bare);
        let value = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
        secret.data = Some(
            [("0.5", held), ("0.6", "torn"), ("about", "words")]
                .map(|(key, text)| (key.to_owned(), value(text)))
                .into(),
        );
        let seen = found(&secret, "bot");
        let owner = Some("u".to_owned());
        let record = RecordSeen { state: shard_contract::record::State::Held, owner };
        assert_eq!(seen.records, [((0, 5), Some(record)), ((0, 6), None)].into());
        assert!(!seen.bare && seen.version == "7" && !format!("{seen:?}").contains("hush"));
        let belongs = |uid| found(&secret, uid).belongs;
        assert_eq!((belongs("bot"), belongs("b2")), (Belongs::ToThisBot, Belongs::ToAnotherBot));
    }

    #[test]
    fn as_many_secrets_are_read_as_a_plan_may_need() {
        let spec = |fields: serde_json::Value| -> ShardedBotSpec {
            let mut body = json!({ "tokenSecretRef": { "name": "t" }, "template": { "spec": {} } });
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            serde_json::from_value(body).unwrap()
        };
        let most = |fields| most_shards(&spec(fields), &[], None, None);
        assert_eq!(most(json!({ "shards": 130 })), 130);
        assert_eq!(most(json!({ "follow": { "minShards": 10, "maxShards": 99 }, "shardMultiple": 16 })), 16);
    }
}
