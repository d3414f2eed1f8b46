//! All reads of a round: the API server, Discord, the gate's figures, pods' reports, the clock.
//!
//! After planning starts nobody reads again. Reads are live, not from a cache: a round that took a stale list for the
//! world could make a second layout. Secrets are read by name and never listed. Deliberately absent: decisions; a read
//! that fails ends the round, except Discord's, which is an observation like any other.

mod nodes;
mod pods;
mod secrets;

use crate::context::{Context, Found, Key, Standing};
use crate::crd::ShardedBot;
use crate::discord::fingerprint;
use crate::model::{Child, DiscordProblem, DiscordSeen, Fingerprint, Kind, Observed, Token, TokenSeen};
use crate::names::api_version;
use crate::world::{Apis, names_of};
use k8s_openapi::api::core::v1::{Event, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use kube::{Resource, ResourceExt};
use nodes::nodes;
use pods::pods;
use secrets::secrets;
use shard_contract::layouts::Layouts;
use shard_contract::names::{BOT_LABEL, LAYOUTS_KEY};
use std::time::Duration;
use strum::IntoEnumIterator;

/// How long a fresh leader waits for the reports of pods that run: three report times.
const HEARS_FOR: Duration = Duration::from_secs(45);

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object has no namespace or name.
    #[error("a ShardedBot without namespace, name or UID")]
    Nameless,
    /// The Secret with the token.
    #[error("read Secret {0}")]
    ReadSecret(String, #[source] kube::Error),
    /// An object of the bot.
    #[error("read {0} of the bot")]
    ReadChildren(&'static str, #[source] kube::Error),
    /// Events of a set.
    #[error("list events of the bot's StatefulSet")]
    ListEvents(#[source] kube::Error),
    /// The pods.
    #[error("list the bot's pods")]
    ListPods(#[source] kube::Error),
    /// A Secret with records.
    #[error("read the Secrets with the bot's records")]
    ReadRecords(#[source] kube::Error),
}

/// Reads everything that a plan needs.
///
/// # Errors
/// The first read that the API server refused or failed.
pub async fn observe(ctx: &Context, bot: &ShardedBot) -> Result<Observed, Error> {
    let (Some(namespace), Some(name), Some(uid)) = (bot.namespace(), bot.meta().name.clone(), bot.uid())
    else {
        return Err(Error::Nameless);
    };
    let key = (namespace, name);
    let created = bot.creation_timestamp().map_or(Timestamp::MAX, |time| time.0);
    let read = read_token(ctx, bot, &key.0).await;
    if read.is_err() {
        // Looked at, in vain: younger bots need not wait for it.
        let _ = ctx.memory.hold_token(&key, created, Found::Nothing);
    }
    let (seen, token) = read?;
    let pods = async { pods(ctx, &key).await.map_err(Error::ListPods) };
    let (children, pods) = tokio::try_join!(children(ctx, &key, &uid), pods)?;
    let discord = match &token {
        Some(token) => ctx.discord.gateway(token).await,
        None => DiscordSeen::default(),
    };
    let fingerprint = if let TokenSeen::Present(token) = seen { Some(token) } else { None };
    let (rival, waits_for_others) = match ctx.memory.hold_token(&key, created, found(fingerprint, &discord)) {
        Standing::Alone => (None, false),
        Standing::After(rival) => (Some(rival), false),
        Standing::Unknown => (None, true),
    };
    // A token that is refused, or another bot's, says nothing of this bot.
    let own = fingerprint.filter(|_| discord.answer.is_some() && rival.is_none());
    let gate = own.and_then(|token| ctx.gate.figures(token));
    let refusals = refusals(ctx, &key, &children).await?;
    let document = document(&children);
    let most = secrets::most_shards(&bot.spec, &children, document.as_ref(), discord.answer.as_ref());
    let secrets = secrets(ctx, &key, &uid, most).await.map_err(Error::ReadRecords)?;
    Ok(Observed {
        now: Timestamp::now(),
        addresses: ctx.addresses.clone(),
        token: seen,
        rival,
        waits_for_others,
        refusals,
        discord,
        document,
        children,
        secrets,
        nodes: nodes(&ctx.client, &pods).await,
        heard: ctx.leading_since.elapsed() >= HEARS_FOR
            || pods.iter().all(|pod| !pod.runs || pod.report.is_some()),
        pods,
        gate,
    })
}

/// What Discord says makes of a token.
fn found(token: Option<Fingerprint>, discord: &DiscordSeen) -> Found {
    match token {
        None => Found::Nothing,
        Some(_) if discord.problem == Some(DiscordProblem::TokenRefused) => Found::Refused,
        Some(token) if discord.answer.is_some() => Found::Accepted(token),
        Some(token) => Found::Untried(token),
    }
}

async fn read_token(
    ctx: &Context,
    bot: &ShardedBot,
    namespace: &str,
) -> Result<(TokenSeen, Option<Token>), Error> {
    let reference = &bot.spec.token_secret_ref;
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let secret = secrets
        .get_opt(&reference.name)
        .await
        .map_err(|source| Error::ReadSecret(reference.name.clone(), source))?;
    let Some(data) = secret.map(|secret| secret.data.unwrap_or_default()) else {
        return Ok((TokenSeen::SecretMissing, None));
    };
    let Some(value) = data.get(&reference.key) else {
        return Ok((TokenSeen::KeyMissing(data.keys().take(16).cloned().collect()), None));
    };
    let typed = std::str::from_utf8(&value.0).map_err(|_| "it is not text").and_then(Token::new);
    Ok(match typed {
        Ok(token) => (TokenSeen::Present(fingerprint(&token)), Some(token)),
        Err(why) => (TokenSeen::Unusable(why), None),
    })
}

/// Everything with the bot's label, and whatever stands at the names that it needs.
async fn children(ctx: &Context, key: &Key, uid: &str) -> Result<Vec<Child>, Error> {
    let mut children = Vec::new();
    for kind in Kind::iter().filter(|kind| *kind != Kind::Secret) {
        let api = Apis::of(&ctx.client, &key.0, kind);
        let failed = |source| Error::ReadChildren(kind.into(), source);
        let found = if let Some(name) = names_of(kind, &key.1) {
            api.get_opt(&name).await.map_err(failed)?.into_iter().collect()
        } else {
            let labelled = ListParams::default().labels(&format!("{BOT_LABEL}={}", key.1));
            api.list(&labelled).await.map_err(failed)?.items
        };
        children.extend(found.iter().map(|object| child(kind, object, uid)));
    }
    Ok(children)
}

fn child(kind: Kind, object: &DynamicObject, uid: &str) -> Child {
    let ours =
        object.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid);
    let mut live = serde_json::to_value(object).unwrap_or_default();
    // The API server leaves these two out of the items of a list.
    live["apiVersion"] = api_version(kind).into();
    live["kind"] = <&str>::from(kind).into();
    Child {
        kind,
        name: object.name_any(),
        ours,
        deleting: object.metadata.deletion_timestamp.is_some(),
        live,
    }
}

fn document(children: &[Child]) -> Option<Layouts> {
    let map = children.iter().find(|child| child.kind == Kind::ConfigMap && child.ours)?;
    serde_json::from_str(map.live["data"][LAYOUTS_KEY].as_str()?).ok()
}

/// Why pods of a set could not even be made: quota, admission, a missing account.
async fn refusals(ctx: &Context, key: &Key, children: &[Child]) -> Result<Vec<String>, Error> {
    let short = |set: &&Child| {
        let count = |path: &str| set.live.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or(0);
        set.kind == Kind::StatefulSet && set.ours && count("/status/replicas") < count("/spec/replicas")
    };
    let mut refusals = Vec::new();
    for set in children.iter().filter(short) {
        let api: Api<Event> = Api::namespaced(ctx.client.clone(), &key.0);
        let uid = set.live["metadata"]["uid"].as_str().unwrap_or_default();
        let of_it =
            ListParams::default().fields(&format!("involvedObject.uid={uid},reason=FailedCreate")).limit(20);
        let events = api.list(&of_it).await.map_err(Error::ListEvents)?;
        let latest =
            events.items.into_iter().max_by_key(|event| event.last_timestamp.as_ref().map(|at| at.0));
        refusals.extend(latest.and_then(|event| event.message));
    }
    Ok(refusals)
}
