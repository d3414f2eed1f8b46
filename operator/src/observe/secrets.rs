//! The bot's Secrets, each read by its name: the token's one key, and of those with records only which records there are.
//!
//! Sessions do not leave this file, and neither does any value but the token. What was read counts for some seconds, since a large bot has hundreds of Secrets and
//! each change is made only to what was read. Deliberately absent: listing and watching Secrets.

use crate::context::{Context, Key};
use crate::crd::{ShardedBotSpec, TokenSecretRef};
use crate::discord::fingerprint;
use crate::model::{
    Belongs, Child, GatewaySeen, Kind, RecordSeen, SecretFound, SecretSeen, Token, TokenSeen,
};
use crate::names::TOTAL_LABEL;
use crate::reads::{Error, Reads};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde::Deserialize;
use serde_json::value::RawValue;
use shard_contract::layout::MAX_TOTAL;
use shard_contract::layouts::Layouts;
use shard_contract::names::{parse_record_key, sessions_secret};
use shard_contract::record::{PER_SECRET, Record};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The longest UID of an owner that is kept, in bytes; Kubernetes' have 36.
const UID_BYTES: usize = 64;
/// Session groups whose records are kept of one Secret: a bot has one for each total of its layouts, which are three at most.
const GROUPS: usize = 8;
/// The longest value that is read of a Secret, in bytes of base64: a record with its 2,048 skipped sequences is below.
const VALUE_BYTES: usize = 128 << 10;

/// A Secret as text, none of its values taken apart.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    data: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    #[serde(default)]
    immutable: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<&'a RawValue>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    controller: bool,
}

fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", Secret::url_path(&(), Some(namespace)))
}

fn value(raw: &RawValue) -> Option<ByteString> {
    (raw.get().len() <= VALUE_BYTES).then(|| serde_json::from_str(raw.get()).ok())?
}

/// What was read of the token's Secret.
pub(super) struct TokenRead {
    /// What it holds.
    pub(super) seen: TokenSeen,
    /// The token itself.
    pub(super) token: Option<Token>,
    /// When it was made, if it is immutable.
    pub(super) immutable_since: Option<Timestamp>,
}

impl TokenRead {
    fn without(seen: TokenSeen) -> Self {
        Self { seen, token: None, immutable_since: None }
    }
}

/// What the token's Secret holds.
pub(super) async fn token(
    reads: &Reads,
    namespace: &str,
    reference: &TokenSecretRef,
) -> Result<TokenRead, Error> {
    let TokenSecretRef { name, key } = reference;
    // It becomes a part of a path; without a name that would be the path of all Secrets.
    let may_exist = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    if name.is_empty() || !may_exist || name.starts_with('.') {
        return Ok(TokenRead::without(TokenSeen::SecretMissing));
    }
    let found = reads.get(&path(namespace, name), |text| token_in(text, key)).await?;
    Ok(found.unwrap_or_else(|| TokenRead::without(TokenSeen::SecretMissing)))
}

fn token_in(text: &str, key: &str) -> TokenRead {
    let Ok(Stored { metadata, data, immutable }) = serde_json::from_str(text) else {
        return TokenRead::without(TokenSeen::Unusable("the Secret cannot be read"));
    };
    let data = data.unwrap_or_default();
    let Some(raw) = data.get(key) else {
        let keys = data.keys().take(16).map(|key| key.clone().into_owned()).collect();
        return TokenRead::without(TokenSeen::KeyMissing(keys));
    };
    let value = value(raw);
    let typed = value.as_ref().and_then(|value| std::str::from_utf8(&value.0).ok());
    match typed.ok_or("it is not text").and_then(Token::new) {
        Ok(token) => TokenRead {
            seen: TokenSeen::Present(fingerprint(&token)),
            token: Some(token),
            immutable_since: metadata.creation_timestamp.filter(|_| immutable == Some(true)),
        },
        Err(why) => TokenRead::without(TokenSeen::Unusable(why)),
    }
}

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
) -> Result<Vec<SecretSeen>, Error> {
    let firsts = (0..shards.div_ceil(PER_SECRET)).map(|index| index * PER_SECRET);
    let names: Vec<_> = firsts.clone().map(|first| sessions_secret(&key.1, first)).collect();
    if let Some(seen) = ctx.memory.secrets(key, uid, &names) {
        return Ok(seen);
    }
    let each: Vec<_> = names
        .into_iter()
        .zip(firsts)
        .map(|(name, first)| read(&ctx.reads, &key.0, name, first, uid))
        .collect();
    let seen: Vec<_> = stream::iter(each).buffered(8).try_collect().await?;
    ctx.memory.keep_secrets(key.clone(), uid, seen.clone());
    Ok(seen)
}

async fn read(
    reads: &Reads,
    namespace: &str,
    name: String,
    first: u32,
    uid: &str,
) -> Result<SecretSeen, Error> {
    let found = reads.get(&path(namespace, &name), |text| found(text, first, uid)).await?;
    Ok(SecretSeen { name, found: found.transpose().map_err(Error::Unreadable)? })
}

/// Of a Secret that is to have the records of these shards. A bot's pods may write into it what they like: the records of other
/// shards, and of more session groups than there can be, are not kept.
fn found(text: &str, first: u32, uid: &str) -> Result<SecretFound, serde_json::Error> {
    let Stored { metadata, data, .. } = serde_json::from_str(text)?;
    let data = data.unwrap_or_default();
    let record = |raw: &RawValue| {
        let Record { owner, state, session, .. } = serde_json::from_slice(&value(raw)?.0).ok()?;
        let owner = owner.map(|owner| owner.pod_uid).filter(|uid| uid.len() <= UID_BYTES);
        Some(RecordSeen { state, owner, has_session: session.is_some() })
    };
    let mut groups = BTreeSet::new();
    let mut place = |key: &str| {
        let (group, shard) = parse_record_key(key)?;
        let is_known = groups.contains(&group) || (groups.len() < GROUPS && groups.insert(group));
        (is_known && (first..first + PER_SECRET).contains(&shard)).then_some((group, shard))
    };
    let owners = &metadata.owner_references;
    Ok(SecretFound {
        belongs: if owners.iter().any(|owner| owner.controller && owner.uid == uid) {
            Belongs::ToThisBot
        } else if owners.iter().any(|owner| owner.kind == "ShardedBot") {
            Belongs::ToAnotherBot
        } else {
            Belongs::Elsewhere
        },
        deleting: metadata.deletion_timestamp.is_some(),
        bare: data.is_empty(),
        version: metadata.resource_version,
        records: data.iter().filter_map(|(key, raw)| Some((place(key)?, record(raw)))).collect(),
    })
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
        let found = |secret: &Secret, uid| found(&serde_json::to_string(secret).unwrap(), 0, uid).unwrap();
        assert!(found(&secret, "bot").bare);
        let value = |text: &str| ByteString(text.as_bytes().to_vec());
        let long = "x".repeat(VALUE_BYTES);
        secret.data = Some(
            [("0.5", held), ("0.6", "torn"), ("0.7", &long), ("about", "words"), ("0.64", held)]
                .map(|(key, text)| (key.to_owned(), value(text)))
                .into(),
        );
        let seen = found(&secret, "bot");
        let owner = Some("u".to_owned());
        let record = RecordSeen { state: shard_contract::record::State::Held, owner, has_session: true };
        assert_eq!(seen.records, [((0, 5), Some(record)), ((0, 6), None), ((0, 7), None)].into());
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
