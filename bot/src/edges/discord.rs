//! Discord over REST: the client that replies use, where the gateway is, how many IDENTIFYs are left, and what time it is there.
//!
//! From the token and the layouts document (which may name another base than Discord's own) to a twilight client that
//! is made anew when either changes: one 401 makes a client refuse everything afterwards, which protects from a storm
//! of invalid requests and ends with the new token, or when Discord takes this one again ([`again`]). Deliberately absent: a limit shared by the pods; each client
//! keeps its own 50 a second.

mod again;
mod reading;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::de::DeserializeOwned;
use shard_contract::layouts::Layouts;
use shard_discord::{Answer, AskError, Request, Rest, Route};
use shard_machine::Random;
use tokio::sync::watch;
use twilight_http::Client;
use twilight_model::{
    channel::message::AllowedMentions,
    gateway::connection_info::{BotConnectionInfo, ConnectionInfo},
    user::CurrentUser,
};

use self::again::Again;
pub(crate) use self::reading::Reading;
use crate::edges::{
    token::{Token, TokenError, TokenSource},
    trouble::chain,
};

/// Discord did not tell what is needed to connect.
#[derive(Debug, thiserror::Error)]
pub enum DiscordError {
    /// The request failed.
    #[error("could not ask Discord ({base}) for {path}")]
    Ask {
        /// Where Discord is.
        base: String,
        /// What was asked for.
        path: &'static str,
        /// Why it failed.
        source: AskError,
    },
    /// The token is not (any more) a bot's.
    #[error("Discord ({base}) refused the token (401): check DISCORD_TOKEN, or the Secret's key")]
    TokenRefused {
        /// Where Discord is.
        base: String,
    },
    /// The gateway's address is none.
    #[error("Discord ({base}) named {found:?} as its gateway: expected ws:// or wss:// and a host")]
    NoGateway {
        /// Where Discord is.
        base: String,
        /// What it named.
        found: String,
    },
}

/// What Discord allows, as it says itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// IDENTIFYs allowed in 24 hours.
    pub(crate) total: u32,
    /// Those of them that are left.
    pub(crate) remaining: u32,
    /// When the count begins anew.
    pub(crate) reset_after: Duration,
    /// The number of buckets.
    pub(crate) max_concurrency: u16,
    /// Its clock at that moment; none: the answer had no `Date` that can be read.
    pub(crate) reading: Option<Reading>,
}

/// Discord, with the token and at the address that hold now.
#[derive(Debug)]
pub(crate) struct Discord {
    token: TokenSource,
    layouts: watch::Receiver<Layouts>,
    made: Mutex<Made>,
    gateway: Mutex<Option<(String, String)>>,
    again: Again,
}

/// A client and what it was made from.
#[derive(Debug)]
struct Made {
    token: Token,
    api: Option<String>,
    rest: Arc<Rest>,
    /// The author's, within the same limits.
    client: Arc<Client>,
}

impl Made {
    fn new(token: Token, api: Option<String>) -> Self {
        let rest = Rest::new(api.as_deref(), token.reveal());
        let client = shard_discord::client(api.as_deref(), token.reveal().to_owned())
            .default_allowed_mentions(AllowedMentions::default())
            .ratelimiter(Some(rest.limiter()))
            .build();
        Self { token, api, rest: Arc::new(rest), client: Arc::new(client) }
    }
}

impl Discord {
    pub(crate) fn new(
        token: TokenSource,
        layouts: watch::Receiver<Layouts>,
        random: Random,
    ) -> Result<Self, TokenError> {
        let made = Made::new(token.read()?, layouts.borrow().discord.api.clone());
        let again = Again::new(random);
        Ok(Self { token, layouts, made: Mutex::new(made), gateway: Mutex::new(None), again })
    }

    /// The REST client as it is now. Not to be kept.
    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.made.lock().unwrap_or_else(PoisonError::into_inner).client)
    }

    /// What sends replies, as it is now. Not to be kept.
    pub(crate) fn rest(&self) -> Arc<Rest> {
        Arc::clone(&self.made.lock().unwrap_or_else(PoisonError::into_inner).rest)
    }

    /// Keeps the client in step with the token and the address, and asks about a token that was refused, for as long as the pod
    /// runs.
    pub(crate) async fn keep_current(self: Arc<Self>) {
        let mut layouts = self.layouts.clone();
        loop {
            let token = self.token();
            tokio::select! {
                biased;
                () = self.token.other_than(&token) => {
                    tracing::info!("the token was replaced");
                    self.renew();
                    self.again.over(true);
                }
                changed = layouts.changed() => match changed {
                    Ok(()) => self.renew(),
                    Err(_) => std::future::pending::<()>().await,
                },
                () = self.again.is_due() => self.ask_about(token).await,
            }
        }
    }

    /// Asks whether Discord takes a token again that it refused, with a client that has not been refused.
    async fn ask_about(&self, token: Token) {
        let made = Made::new(token, self.layouts.borrow().discord.api.clone());
        match self.ask::<CurrentUser>(&made.rest, "GET /users/@me", &Route::GetCurrentUser).await {
            Ok(_) => {
                tracing::info!("Discord takes the token again");
                *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
                self.again.over(false);
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "asked in vain whether Discord takes the token again");
                self.again.still_refused();
            }
        }
    }

    /// Discord refused this token: waits until it takes it again, or there is another one.
    pub(crate) async fn usable_again(&self, refused: &Token) {
        let mut taken = self.again.taken();
        self.again.refused(refused);
        if self.token.differs_from(refused) {
            return self.renew();
        }
        // The sender lives as long as this.
        let _ = taken.changed().await;
    }

    /// How often a refused token was taken again, or replaced: what was refused before it may be tried.
    pub(crate) fn taken(&self) -> u64 {
        *self.again.taken().borrow()
    }

    /// The token of the client as it is now.
    pub(crate) fn token(&self) -> Token {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).token.clone()
    }

    /// Makes the client anew if the token or the address is another one.
    fn renew(&self) {
        let api = self.layouts.borrow().discord.api.clone();
        // A file that cannot be read is no other token.
        let read = self.token.read();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let token = read.unwrap_or_else(|_| made.token.clone());
        if made.token != token || made.api != api {
            *made = Made::new(token, api);
        }
    }

    /// Whether Discord is somewhere else than twilight knows.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.layouts.borrow().discord.api.is_some()
    }

    /// Where the gateway was, when it was asked last at this address.
    pub(crate) fn known_gateway(&self) -> Option<String> {
        let api = self.layouts.borrow().discord.api.clone()?;
        let known = self.gateway.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|(of, _)| *of == api).map(|(_, url)| url)
    }

    /// Where the gateway is, asked once per address and when `anew`; none: Discord's own, which twilight knows.
    pub(crate) async fn gateway(&self, anew: bool) -> Result<Option<String>, DiscordError> {
        let Some(api) = self.layouts.borrow().discord.api.clone() else { return Ok(None) };
        if let Some(url) = self.known_gateway()
            && !anew
        {
            return Ok(Some(url));
        }
        let (info, _) = self.asked::<ConnectionInfo>("GET /gateway", &Route::GetGateway).await?;
        let url = info.url.trim_end_matches('/').to_owned();
        let usable =
            reqwest::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.has_host());
        if !usable {
            return Err(DiscordError::NoGateway { base: api, found: url });
        }
        *self.gateway.lock().unwrap_or_else(PoisonError::into_inner) = Some((api, url.clone()));
        Ok(Some(url))
    }

    /// What Discord allows, and its clock.
    pub(crate) async fn limits(&self) -> Result<Limits, DiscordError> {
        let (info, reading) =
            self.asked::<BotConnectionInfo>("GET /gateway/bot", &Route::GetGatewayBot).await?;
        let limit = info.session_start_limit;
        Ok(Limits {
            total: limit.total,
            remaining: limit.remaining,
            reset_after: Duration::from_millis(limit.reset_after),
            max_concurrency: limit.max_concurrency,
            reading,
        })
    }

    /// Discord's clock, asked in a way that costs nobody's limit; none: the answer had no `Date` that can be read.
    pub(crate) async fn clock(&self) -> Result<Option<Reading>, DiscordError> {
        self.asked::<ConnectionInfo>("GET /gateway", &Route::GetGateway).await.map(|(_, reading)| reading)
    }

    /// Asks as it is now.
    async fn asked<T: DeserializeOwned>(
        &self,
        path: &'static str,
        route: &Route<'_>,
    ) -> Result<(T, Option<Reading>), DiscordError> {
        let (token, rest) = (self.token(), self.rest());
        let asked = self.ask(&rest, path, route).await;
        if matches!(asked, Err(DiscordError::TokenRefused { .. })) {
            self.again.refused(&token);
        }
        asked
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        rest: &Rest,
        path: &'static str,
        route: &Route<'_>,
    ) -> Result<(T, Option<Reading>), DiscordError> {
        let base = || self.layouts.borrow().discord.api.clone().unwrap_or_else(|| "discord.com".to_owned());
        let asked = rest.ask(&Request::from_route(route)).await;
        let Answer { said, dated } = asked.map_err(|error| match error {
            AskError::TokenRefused => DiscordError::TokenRefused { base: base() },
            source => DiscordError::Ask { base: base(), path, source },
        })?;
        let pace = self.layouts.borrow().discord.time_factor;
        Ok((said, dated.map(|dated| Reading::new(dated, pace))))
    }
}

#[cfg(test)]
mod tests;
