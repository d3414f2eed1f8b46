//! Discord over REST: the client that replies use, where the gateway is, how many IDENTIFYs are left, and what time it is there.
//!
//! From the token and the layouts document (which may name another base than Discord's own) to a twilight client that
//! is made anew when either changes: one 401 makes a client refuse everything afterwards, which protects from a storm
//! of invalid requests and ends with the new token. Deliberately absent: a limit shared by the pods; each client
//! keeps its own 50 a second.

mod reading;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use k8s_openapi::jiff::fmt::rfc2822;
use shard_contract::layouts::Layouts;
use tokio::{sync::watch, time::Instant};
use twilight_http::{Client, Response, error::ErrorType, response::ResponseFuture};
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
        let mut builder = Client::builder()
            .token(token.reveal().to_owned())
            .default_allowed_mentions(AllowedMentions::default());
        if let Some(api) = &api {
            let (host, plain) = match api.strip_prefix("http://") {
                Some(host) => (host, true),
                None => (api.trim_start_matches("https://"), false),
            };
            builder = builder.proxy(host.trim_end_matches('/').to_owned(), plain);
        }
        Self { token, api, client: Arc::new(builder.build()) }
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
        let asked = Instant::now();
        let asking = async {
            match few_tries(request).await {
                Ok(response) => {
                    let reading = self.reading(&response, asked);
                    let model = response.model().await;
                    model.map(|model| (model, reading)).map_err(|error| DiscordError::Read {
                        base: base(),
                        path,
                        source: Box::new(error),
                    })
                }
                Err(error) if is_unauthorized(&error) => Err(DiscordError::TokenRefused { base: base() }),
                Err(error) => Err(DiscordError::Ask { base: base(), path, source: Box::new(error) }),
            }
        };
        let answered = tokio::time::timeout(ANSWER_WITHIN, asking).await;
        answered.unwrap_or_else(|_| Err(DiscordError::Late { base: base(), path }))
    }

    /// Discord's clock as an answer that just came shows it.
    fn reading<T>(&self, response: &Response<T>, asked: Instant) -> Option<Reading> {
        let (_, date) = response.headers().find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
        let pace = self.layouts.borrow().discord.time_factor;
        Some(Reading::new(read_date(date)?, asked, Instant::now(), pace))
    }
}

/// A `Date`, in milliseconds since 1970.
fn read_date(date: &[u8]) -> Option<u64> {
    let read = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    u64::try_from(read.as_millisecond()).ok()
}

/// Sends a request, and gives up after a few answers with 429.
///
/// twilight tries again at once and without end when an answer does not say whose limit it is, which alone could use
/// up the 10,000 invalid requests after which Discord bans the address. Given up, the error is `RequestCanceled`.
pub(crate) async fn few_tries<T: Unpin>(
    mut request: ResponseFuture<T>,
) -> Result<Response<T>, twilight_http::Error> {
    let tries = AtomicU32::new(0);
    request.set_pre_flight(move || tries.fetch_add(1, Ordering::Relaxed) < TRIES);
    request.await
}

pub(crate) fn is_unauthorized(error: &twilight_http::Error) -> bool {
    match error.kind() {
        ErrorType::Unauthorized => true,
        ErrorType::Response { status, .. } => status.get() == 401,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
