//! What all connections of the pod are made from: intents, the token as it is now, and where the gateway is.
//!
//! From a shard's id and what is kept of its session to a [`Link`]. The token is read for each connection, so that
//! every IDENTIFY and RESUME uses the newest; one TLS context serves all connections with one token. twilight's queue
//! is replaced by a [`Slot`] a shard, since it names only the shard's number. Deliberately absent: when to connect
//! ([`super::reconnect`]).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use twilight_gateway::{Config, ConfigBuilder, Intents, Shard, ShardId};

use super::{
    Kept,
    link::{Asker, Credentials, Link},
    refusal::RefusedForAll,
    slot::Slot,
};
use crate::edges::{
    discord::{Discord, DiscordError},
    token::{Token, TokenError, TokenSource},
};

/// How long to wait for a better address than one that is known.
const IMPROVES_WITHIN: Duration = Duration::from_secs(3);

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

    /// Discord refused this token: waits until it takes it again, or there is another one.
    pub(crate) async fn usable_again(&self, refused: &Token) {
        self.discord.usable_again(refused).await;
    }

    /// Whether there is another token by now than this one.
    pub(crate) fn has_other_token(&self, than: &Token) -> bool {
        self.token.differs_from(than)
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
        let own = kept.as_ref().and_then(|kept| kept.url.as_deref());
        let gateway = self.gateway(own, unreachable).await?;
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
            Credentials {
                token,
                source: self.token.clone(),
                refused: Arc::clone(&self.refused),
                taken: self.discord.taken(),
            },
            kept,
            asker,
        ))
    }

    /// Where the gateway is. A session that has a URL of its own needs no answer, and what was known before stands in for one that
    /// does not come soon.
    async fn gateway(&self, own: Option<&str>, unreachable: bool) -> Result<Option<String>, DiscordError> {
        let known = self.discord.known_gateway();
        let Some(instead) = known.or_else(|| own.map(str::to_owned)) else {
            return self.discord.gateway(unreachable).await;
        };
        if own.is_some() && !unreachable {
            return Ok(self.discord.is_elsewhere().then_some(instead));
        }
        match timeout(IMPROVES_WITHIN, self.discord.gateway(unreachable)).await {
            Ok(Ok(gateway)) => Ok(gateway),
            Ok(Err(_)) | Err(_) => Ok(Some(instead)),
        }
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
