//! Discord over REST: the client that replies use, where the gateway is, how many IDENTIFYs are left, and what time it is there.
//!
//! From the token and the layouts document (which may name another base than Discord's own) to a twilight client that
//! is made anew when either changes: one 401 makes a client refuse everything afterwards, which protects from a storm
//! of invalid requests and ends with the new token. Deliberately absent: a limit shared by the pods; each client
//! keeps its own 50 a second.

mod reading;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shard_contract::layouts::Layouts;
use shard_discord::{Answer, AskError};
use tokio::sync::watch;
use twilight_http::{Client, Response, response::ResponseFuture};
use twilight_model::channel::message::AllowedMentions;

pub(crate) use self::reading::Reading;
use crate::token::{Token, TokenError, TokenSource};

/// How long one question to Discord may take, tries after 429 included.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How often one request is sent when Discord answers 429.
const TRIES: u32 = 3;

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
        source: Box<twilight_http::Error>,
    },
    /// The token is not (any more) a bot's.
    #[error("Discord ({base}) refused the token (401): check DISCORD_TOKEN, or the Secret's key")]
    TokenRefused {
        /// Where Discord is.
        base: String,
    },
    /// The answer cannot be read.
    #[error("could not read the answer of Discord ({base}) to {path}")]
    Read {
        /// Where Discord is.
        base: String,
        /// What was asked for.
        path: &'static str,
        /// Why it cannot.
        source: Box<twilight_http::response::DeserializeBodyError>,
    },
    /// There was no answer in time.
    #[error("Discord ({base}) did not answer {path} within {ANSWER_WITHIN:?}")]
    Late {
        /// Where Discord is.
        base: String,
        /// What was asked for.
        path: &'static str,
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
}

/// A client and what it was made from.
#[derive(Debug)]
struct Made {
    token: Token,
    api: Option<String>,
    client: Arc<Client>,
}

impl Made {
    fn new(token: Token, api: Option<String>) -> Self {
        let client = shard_discord::client(api.as_deref(), token.reveal().to_owned())
            .default_allowed_mentions(AllowedMentions::default())
            .build();
        Self { token, api, client: Arc::new(client) }
    }
}

impl Discord {
    pub(crate) fn new(token: TokenSource, layouts: watch::Receiver<Layouts>) -> Result<Self, TokenError> {
        let made = Made::new(token.read()?, layouts.borrow().discord.api.clone());
        Ok(Self { token, layouts, made: Mutex::new(made), gateway: Mutex::new(None) })
    }

    /// The REST client as it is now. Not to be kept.
    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.made.lock().unwrap_or_else(PoisonError::into_inner).client)
    }

    /// Keeps the client in step with the token and the address, for as long as the pod runs.
    pub(crate) async fn keep_current(self: Arc<Self>) {
        let mut layouts = self.layouts.clone();
        loop {
            let token = self.token();
            tokio::select! {
                biased;
                () = self.token.other_than(&token) => tracing::info!("the token was replaced"),
                changed = layouts.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
            self.renew();
        }
    }

    /// The token of the client as it is now.
    pub(crate) fn token(&self) -> Token {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).token.clone()
    }

    /// Waits until the client has another token than this one.
    pub(crate) async fn other_token(&self, used: &Token) {
        self.token.other_than(used).await;
        self.renew();
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

    /// Where the gateway is, asked once per address and when `anew`; none: Discord's own, which twilight knows.
    pub(crate) async fn gateway(&self, anew: bool) -> Result<Option<String>, DiscordError> {
        let Some(api) = self.layouts.borrow().discord.api.clone() else { return Ok(None) };
        let known = self.gateway.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, url)) = known
            && of == api
            && !anew
        {
            return Ok(Some(url));
        }
        let request = self.client().gateway().into_future();
        let (info, _) = self.ask("GET /gateway", request).await?;
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
        let request = self.client().gateway().authed().into_future();
        let (info, reading) = self.ask("GET /gateway/bot", request).await?;
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
        let request = self.client().gateway().into_future();
        self.ask("GET /gateway", request).await.map(|(_, reading)| reading)
    }

    async fn ask<T>(
        &self,
        path: &'static str,
        request: ResponseFuture<T>,
    ) -> Result<(T, Option<Reading>), DiscordError>
    where
        T: serde::de::DeserializeOwned + Unpin,
    {
        let base = || self.layouts.borrow().discord.api.clone().unwrap_or_else(|| "discord.com".to_owned());
        let asked = tokio::time::timeout(ANSWER_WITHIN, shard_discord::ask(request, TRIES)).await;
        let Answer { said, dated } =
            asked.map_err(|_| DiscordError::Late { base: base(), path })?.map_err(|error| match error {
                AskError::TokenRefused => DiscordError::TokenRefused { base: base() },
                AskError::Failed(error) => DiscordError::Ask { base: base(), path, source: Box::new(error) },
                AskError::Unreadable(error) => {
                    DiscordError::Read { base: base(), path, source: Box::new(error) }
                }
            })?;
        let pace = self.layouts.borrow().discord.time_factor;
        Ok((said, dated.map(|dated| Reading::new(dated, pace))))
    }
}

/// Sends a request, and gives up after a few answers with 429: `RequestCanceled`.
pub(crate) async fn few_tries<T: Unpin>(
    request: ResponseFuture<T>,
) -> Result<Response<T>, twilight_http::Error> {
    shard_discord::few_tries(request, TRIES).await
}

#[cfg(test)]
mod tests;
