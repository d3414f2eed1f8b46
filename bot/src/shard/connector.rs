//! What all connections of the pod are made from: intents, the token as it is now, and where the gateway is.
//!
//! From a shard's id and what is kept of its session to a [`Link`]. The token is read for each connection, so that
//! every IDENTIFY and RESUME uses the newest; one TLS context serves all connections with one token. twilight's queue
//! is replaced by a [`Slot`] a shard, since it names only the shard's number. Deliberately absent: when to connect
//! ([`super::reconnect`]).

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use twilight_gateway::{Config, ConfigBuilder, Intents, Shard, ShardId, queue::Queue};

use super::{
    Kept,
    link::{Asker, Credentials, Link},
    refusal,
};
use crate::{
    discord::{Discord, DiscordError},
    token::{Token, TokenError, TokenSource},
};

/// No connection could be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Gateway(#[from] DiscordError),
}

/// What all connections of the pod are made from.
#[derive(Debug)]
pub(crate) struct Connector {
    intents: Intents,
    token: TokenSource,
    discord: Arc<Discord>,
    /// The last token's configuration. Its clones share one TLS context.
    made: Mutex<Option<(Token, Config<Slot>)>>,
    refused: Arc<RefusedForAll>,
}

/// The refusal of one shard that would be every shard's: nobody spends another IDENTIFY on it.
#[derive(Debug, Default)]
pub(super) struct RefusedForAll(Mutex<Option<(Token, u16)>>);

impl RefusedForAll {
    /// The close code with which this token was refused already, if it was.
    pub(super) fn with(&self, token: &Token) -> Option<u16> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().filter(|(with, _)| with == token).map(|(_, code)| *code)
    }

    /// Discord closed a connection that used this token with a code that forbids a new try.
    pub(super) fn note(&self, token: &Token, code: u16) {
        if refusal::concerns_all(code) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), code));
        }
    }
}

impl Connector {
    pub(crate) fn new(intents: Intents, token: TokenSource, discord: Arc<Discord>) -> Self {
        Self { intents, token, discord, made: Mutex::new(None), refused: Arc::default() }
    }

    /// Whether another token can come at all.
    pub(crate) const fn token_may_change(&self) -> bool {
        matches!(self.token, TokenSource::File(_))
    }

    /// Waits for another token than the one of the last connection.
    pub(crate) async fn other_token(&self) {
        let last =
            self.made.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(token, _)| token.clone());
        if let Some(last) = last {
            self.token.other_than(&last).await;
        }
    }

    /// Begins a connection with the token as it is now. `unreachable`: the last one did not come about, so Discord is
    /// asked anew where its gateway is, and the session's own URL is left out once.
    pub(super) async fn open(
        &self,
        id: ShardId,
        kept: Option<Kept>,
        unreachable: bool,
        asker: Asker,
    ) -> Result<Link, OpenError> {
        let token = self.token.read()?;
        let gateway = self.discord.gateway(unreachable).await?;
        let slot = Slot::default();
        let mut config = ConfigBuilder::from(self.config(&token)).queue(slot.clone());
        if let Some(gateway) = gateway {
            config = config.proxy_url(gateway);
        }
        if let Some(Kept { session, url }) = kept.clone() {
            config = config.session(session);
            if let Some(url) = url.filter(|_| !unreachable) {
                config = config.resume_url(url);
            }
        }
        let shard = Shard::with_config(id, config.build());
        Ok(Link::new(
            shard,
            slot,
            Credentials { token, source: self.token.clone(), refused: Arc::clone(&self.refused) },
            kept,
            asker,
        ))
    }

    fn config(&self, token: &Token) -> Config<Slot> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((known, config)) if known == token => config.clone(),
            _ => {
                let config = ConfigBuilder::new(token.reveal().to_owned(), self.intents)
                    .queue(Slot::default())
                    .build();
                *made = Some((token.clone(), config.clone()));
                config
            }
        }
    }
}

/// twilight's queue of one shard: it only remembers that the shard wants to IDENTIFY.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Queue for Slot {
    fn enqueue(&self, _: u32) -> oneshot::Receiver<()> {
        let (go, wish) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(go);
        wish
    }
}

impl Slot {
    /// The wish, if there is a new one.
    pub(super) fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
