//! What all connections of the pod are made from: intents, the token as it is now, and where the gateway is.
//!
//! From a shard's id and what is kept of its session to a [`Link`]. The token is read for each connection, so that
//! every IDENTIFY and RESUME uses the newest; one TLS context serves all connections with one token. twilight's queue
//! is replaced by a [`Slot`] a shard, since it names only the shard's number. Deliberately absent: when to connect
//! ([`super::reconnect`]).

use std::sync::{Arc, Mutex, PoisonError};

use twilight_gateway::{Config, ConfigBuilder, Intents, Shard, ShardId};

use super::{
    Kept,
    link::{Asker, Credentials, Link},
    refusal::RefusedForAll,
    slot::Slot,
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

impl Connector {
    pub(crate) fn new(intents: Intents, token: TokenSource, discord: Arc<Discord>) -> Self {
        Self { intents, token, discord, made: Mutex::new(None), refused: Arc::default() }
    }

    /// What the bot wants Discord to send.
    pub(crate) const fn intents(&self) -> Intents {
        self.intents
    }

    /// Whether another token can come at all.
    pub(crate) const fn token_may_change(&self) -> bool {
        matches!(self.token, TokenSource::File(_))
    }

    /// Waits for another token than this one.
    pub(crate) async fn other_token(&self, refused: &Token) {
        self.token.other_than(refused).await;
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
