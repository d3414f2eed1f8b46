//! All reads of a round: the API server, Discord, the gate's figures, pods' reports, the clock.
//!
//! After planning starts nobody reads again. What leads to a step is read live, not from a cache: a round that took a stale list for the
//! world could make a second layout. Secrets are read by name and never listed. What others may write is looked at as text, within
//! bounds, before it is parsed ([`crate::reads`]). Deliberately absent: decisions; a read
//! that fails ends the round, except Discord's, which is an observation like any other.

pub mod admission;
mod bot;
mod children;
mod hands;
mod nodes;
mod pods;
mod secrets;

use crate::context::{Context, Found, Key, Standing, TokenFound};
use crate::crd::{Listed, ShardedBot, TokenSecretRef};
use crate::discord::whole;
use crate::model::{
    Answers, Child, Contest, DiscordProblem, DiscordSeen, Fingerprint, Kind, Note, Observed, Phase, PodSeen,
    Refusal, Token, TokenSeen,
};
use crate::reads;
use bot::Read;
use children::{children, document};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use nodes::nodes;
use pods::pods;
use secrets::{TokenRead, secrets, token};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long a fresh leader waits for the reports of pods that run: three report times.
const HEARS_FOR: Duration = Duration::from_secs(45);

/// The close code by which Discord refuses a token.
const AUTHENTICATION_FAILED: u16 = 4004;

/// Events of a set that are looked at.
const EVENTS: u32 = 64;

/// How this installation keeps a bot.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Since when.
    pub since: Instant,
    /// Whether another installation would.
    pub contest: Contest,
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object has no namespace or name.
    #[error("a ShardedBot without namespace, name or UID")]
    Nameless,
    /// The bot itself.
    #[error("read the ShardedBot")]
    ReadBot(#[source] reads::Error),
    /// The Secret with the token.
    #[error("read Secret {0}")]
    ReadSecret(String, #[source] reads::Error),
    /// An object of the bot.
    #[error("read {0} of the bot")]
    ReadChildren(&'static str, #[source] reads::Error),
    /// Events of a set.
    #[error("list events of the bot's StatefulSet")]
    ListEvents(#[source] reads::Error),
    /// The pods.
    #[error("list the bot's pods")]
    ListPods(#[source] reads::Error),
    /// A Secret with records.
    #[error("read the Secrets with the bot's records")]
    ReadRecords(#[source] reads::Error),
}

/// The bot as it is now, as far as it can be read; none when it is gone.
///
/// # Errors
/// When the API server refused or failed the read.
pub async fn current(ctx: &Context, listed: &Listed<ShardedBot>) -> Result<Option<Read>, Error> {
    let (Some(namespace), Some(name)) = (listed.namespace(), listed.meta().name.as_ref()) else {
        return Err(Error::Nameless);
    };
    let path = format!("{}/{name}", ShardedBot::url_path(&(), Some(&namespace)));
    let metadata = || listed.meta().clone();
    match ctx.reads.get(&path, bot::read).await {
        Ok(read) => Ok(read.map(|read| read.unwrap_or_else(|error| bot::unreadable(metadata(), &error)))),
        Err(error @ reads::Error::TooLong) => Ok(Some(bot::unreadable(metadata(), &error))),
        Err(error) => Err(Error::ReadBot(error)),
    }
}

/// Whether there is a Secret of this name.
///
/// # Errors
/// When the API server refused or failed the read.
pub async fn is_there(ctx: &Context, namespace: &str, secret: &TokenSecretRef) -> Result<bool, Error> {
    let read = token(&ctx.reads, namespace, secret)
        .await
        .map_err(|source| Error::ReadSecret(secret.name.clone(), source))?;
    Ok(read.seen != TokenSeen::SecretMissing)
}

/// Whether there is nothing of this bot but its object, and no Secret with its token.
#[must_use]
pub fn is_bare(observed: &Observed) -> bool {
    observed.token == TokenSeen::SecretMissing
        && observed.unreadable.is_none()
        && observed.children.is_empty()
        && observed.pods.is_empty()
        && observed.secrets.iter().all(|secret| secret.found.is_none())
}

/// Reads everything that a plan needs, but for objects that are `known` from a round before.
///
/// # Errors
/// The first read that the API server refused or failed.
pub async fn observe(
    ctx: &Context,
    bot: &ShardedBot,
    unreadable: Option<Note>,
    kept: Kept,
    known: Option<&[Child]>,
) -> Result<Observed, Error> {
    let (Some(namespace), Some(name), Some(uid)) = (bot.namespace(), bot.meta().name.clone(), bot.uid())
    else {
        return Err(Error::Nameless);
    };
    let key = (namespace, name);
    // Since when this process can have heard the bot's pods.
    let since = kept.since.max(ctx.leading_since);
    let TokenRead { seen, token, immutable_since } = secret(ctx, bot, &key).await?;
    let pods = async { pods(ctx, &key, since).await.map_err(Error::ListPods) };
    let children = async {
        let Some(known) = known else {
            let read = children(&ctx.reads, &key, &uid).await;
            return read.map_err(|(kind, source)| Error::ReadChildren(kind, source));
        };
        Ok(known.to_vec())
    };
    let (children, pods) = tokio::try_join!(children, pods)?;
    let now = ctx.machine.wall.now();
    let (discord, standing) = holder(ctx, bot, &key, &seen, token.as_ref()).await;
    let is_refused = discord.problem == Some(DiscordProblem::TokenRefused) || pods.iter().any(is_refused);
    let found = TokenFound { token: token.as_ref().map(whole), is_good: token.is_some() && !is_refused };
    let past = ctx.memory.tokens.note(&key, found, pods.iter().map(|pod| pod.uid.as_str()));
    let fingerprint = if let TokenSeen::Present(token) = seen { Some(token) } else { None };
    let (rival, waits_for_others) = match standing {
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
    let told = document.as_ref().map(|document| document.gone.as_slice()).unwrap_or_default();
    let named = ctx.memory.named.note(&key, told, |uid| pods.iter().any(|pod| pod.uid == uid));
    let secrets = secrets(ctx, &key, &uid, most).await.map_err(Error::ReadRecords)?;
    Ok(Observed {
        now,
        addresses: ctx.addresses.clone(),
        unreadable,
        token: seen,
        token_immutable_since: immutable_since,
        token_untold: past.untold,
        token_bad_for: past.bad_for,
        rival,
        waits_for_others,
        refusals,
        discord,
        document,
        children,
        secrets,
        nodes: nodes(&ctx.client, &ctx.machine.random, &pods, &named).await,
        named,
        heard: since.elapsed() >= HEARS_FOR
            || pods.iter().all(|pod| pod.phase != Phase::Running || pod.report.is_some()),
        pods,
        contest: kept.contest,
        gate,
        answers: Answers::default(),
    })
}

/// Sees which token a bot holds that another installation keeps: no bot that this one keeps may go beside it with the same.
///
/// # Errors
/// When the API server refused or failed the read.
pub async fn look_on(ctx: &Context, bot: &ShardedBot) -> Result<(), Error> {
    let (Some(namespace), Some(name)) = (bot.namespace(), bot.meta().name.clone()) else {
        return Err(Error::Nameless);
    };
    let key = (namespace, name);
    let TokenRead { seen, token, .. } = secret(ctx, bot, &key).await?;
    holder(ctx, bot, &key, &seen, token.as_ref()).await;
    Ok(())
}

/// Whether Discord refuses the token of this pod.
fn is_refused(pod: &PodSeen) -> bool {
    let shards = pod.report.iter().flat_map(|report| &report.shards);
    shards.filter_map(|shard| shard.fatal_close).any(|code| code == AUTHENTICATION_FAILED)
}

async fn secret(ctx: &Context, bot: &ShardedBot, key: &Key) -> Result<TokenRead, Error> {
    let reference = &bot.spec.token_secret_ref;
    let seen = token(&ctx.reads, &key.0, reference).await;
    seen.map_err(|source| Error::ReadSecret(reference.name.clone(), source))
}

/// What Discord says of a bot's token, and where the bot stands among those that hold it.
async fn holder(
    ctx: &Context,
    bot: &ShardedBot,
    key: &Key,
    seen: &TokenSeen,
    token: Option<&Token>,
) -> (DiscordSeen, Standing) {
    let discord = match token {
        Some(token) => {
            let answered = bot.status.as_ref().is_some_and(|status| status.recommended_shards.is_some());
            ctx.discord.gateway(key, token, answered).await
        }
        None => DiscordSeen::default(),
    };
    let created = bot.creation_timestamp().map_or(Timestamp::MAX, |time| time.0);
    let fingerprint = if let TokenSeen::Present(token) = *seen { Some(token) } else { None };
    let standing = ctx.memory.hold_token(key, created, found(fingerprint, &discord));
    (discord, standing)
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

/// Why pods of a set could not even be made: quota, admission, a missing account.
async fn refusals(ctx: &Context, key: &Key, children: &[Child]) -> Result<Vec<Refusal>, Error> {
    let short = |set: &&Child| {
        let count = |path: &str| set.live.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or(0);
        set.kind == Kind::StatefulSet && set.ours && count("/status/replicas") < count("/spec/replicas")
    };
    let mut refusals = Vec::new();
    for set in children.iter().filter(short) {
        let events = Event::url_path(&(), Some(&key.0));
        let of_it = format!("involvedObject.uid%3D{},reason%3DFailedCreate", set.uid);
        let path = format!("{events}?fieldSelector={of_it}&limit={EVENTS}");
        match ctx.reads.get(&path, latest).await {
            Ok(latest) => refusals.extend(latest.flatten().zip(set.layout()).map(|(said, layout)| Refusal {
                layout,
                lacks_room: admission::lacks_room(&said),
                said: said.chars().take(pods::QUOTED).collect(),
            })),
            // Anybody in the namespace may write such events, as long as he likes.
            Err(reads::Error::TooLong) => {}
            Err(error) => return Err(Error::ListEvents(error)),
        }
    }
    Ok(refusals)
}

/// What the latest of some events says.
fn latest(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Events {
        items: Vec<Told>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        last_timestamp: Option<Timestamp>,
        message: Option<String>,
    }
    let Events { items } = serde_json::from_str(text).ok()?;
    items.into_iter().max_by_key(|event| event.last_timestamp)?.message
}
