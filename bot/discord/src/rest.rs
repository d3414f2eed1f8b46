//! One request to Discord's REST API, and what came of it.
//!
//! From twilight's [`Request`] to an answer's body and Discord's clock, or to an [`AskError`]. By hand rather than by twilight's client,
//! which sends a request again at once and without end when it is answered with 429, and hands nobody the answer: neither whose limit it
//! is nor for how long. The limiter is twilight's, so that its client may share it. Guarantees: one request for one call, none at all
//! after a 401; at most [`LONGEST`] bytes are read; the token stands in no error. Deliberately absent: trying again.

use std::{
    error::Error as StdError,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited as Bounded};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT},
};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use twilight_http::{API_VERSION, request::Request};
use twilight_http_ratelimiting::{Endpoint, RateLimitHeaders, RateLimiter};

use crate::{
    Answer, AskError, Dated, date,
    limited::{Limited, Scope},
    words::first_line,
};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Requests in a second, over all routes but those of interactions: Discord's global limit.
const GLOBAL_LIMIT: u16 = 50;
/// Who asks, in the form that Discord wants.
const AGENT: &str =
    concat!("DiscordBot (https://github.com/shard-operator/shard-operator, ", env!("CARGO_PKG_VERSION"), ")");

/// Discord's REST API, for one token.
#[derive(Debug)]
pub struct Rest {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    /// None: the token has characters that no header can carry.
    authorization: Option<HeaderValue>,
    limiter: RateLimiter,
    is_refused: AtomicBool,
}

/// A body that came, and when.
#[derive(Clone, Debug)]
pub struct Sent {
    /// It.
    pub body: Bytes,
    /// Discord's clock; none: the answer had no `Date` that can be read.
    pub dated: Option<Dated>,
}

impl Rest {
    /// Discord itself, or what is at this base URL. To be called in a runtime.
    #[must_use]
    pub fn new(base: Option<&str>, token: &str) -> Self {
        let tls = ClientConfig::builder().with_webpki_roots().with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let mut authorization = HeaderValue::from_str(&format!("Bot {token}")).ok();
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        let base = base.unwrap_or("https://discord.com").trim_end_matches('/');
        let scheme = if base.contains("://") { "" } else { "https://" };
        Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            base: format!("{scheme}{base}/api/v{API_VERSION}"),
            authorization,
            limiter: RateLimiter::new(GLOBAL_LIMIT),
            is_refused: AtomicBool::new(false),
        }
    }

    /// The limits as they are known here, for a client that shares them.
    #[must_use]
    pub fn limiter(&self) -> RateLimiter {
        self.limiter.clone()
    }

    /// Sends a request once its route has room, and reads the answer as JSON.
    ///
    /// # Errors
    /// [`AskError`] says why there is no answer.
    pub async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<Answer<T>, AskError> {
        let Sent { body, dated } = self.send(request).await?;
        let said = serde_json::from_slice(&body).map_err(AskError::Unreadable)?;
        Ok(Answer { said, dated })
    }

    /// Sends a request once its route has room.
    ///
    /// # Errors
    /// [`AskError`] says why there is no success.
    pub async fn send(&self, request: &Request) -> Result<Sent, AskError> {
        if self.is_refused.load(Ordering::Relaxed) {
            return Err(AskError::TokenRefused);
        }
        let path = request.path().split('?').next().unwrap_or_default().to_owned();
        let permit = self.limiter.acquire(Endpoint { method: request.method(), path }).await;
        let asked_at = Instant::now();
        // Dropped, it is given back.
        let response = timeout(WITHIN, self.http.request(self.built(request)?)).await;
        let response =
            response.map_err(|_| AskError::Late)?.map_err(|error| AskError::Failed(Box::new(error)))?;
        let answered_at = Instant::now();
        permit.complete(limits(response.status(), response.headers()));
        let dated = date(response.headers()).map(|said_ms| Dated { said_ms, asked_at, answered_at });
        let (status, headers, body) = timeout(WITHIN, read(response)).await.map_err(|_| AskError::Late)??;
        match status {
            StatusCode::UNAUTHORIZED => {
                self.is_refused.store(true, Ordering::Relaxed);
                Err(AskError::TokenRefused)
            }
            StatusCode::TOO_MANY_REQUESTS => Err(AskError::Limited(Limited::of(&headers, &body))),
            status if status.is_success() => Ok(Sent { body, dated }),
            status => Err(AskError::Refused { status: status.as_u16(), says: first_line(&body) }),
        }
    }

    fn built(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, AskError> {
        let mut built = hyper::Request::builder()
            .method(request.method().name())
            .uri(format!("{}/{}", self.base, request.path()))
            .header(USER_AGENT, AGENT);
        if request.use_authorization_token() {
            let authorization = self.authorization.clone().ok_or(AskError::NoHeader)?;
            built = built.header(AUTHORIZATION, authorization);
        }
        if request.body().is_some() {
            built = built.header(CONTENT_TYPE, "application/json");
        }
        let body = Bytes::copy_from_slice(request.body().unwrap_or_default());
        built.body(Full::new(body)).map_err(|error| AskError::Failed(Box::new(error)))
    }
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, HeaderMap, Bytes), AskError> {
    let (head, body) = response.into_parts();
    let failed = |error: Box<dyn StdError + Send + Sync>| AskError::Failed(error);
    let body = Bounded::new(body, LONGEST).collect().await.map_err(failed)?.to_bytes();
    Ok((head.status, head.headers, body))
}

/// What an answer says of its route's limit. twilight's own client reads it off answers with a scope alone, which Discord documents for
/// 429 only.
fn limits(status: StatusCode, headers: &HeaderMap) -> Option<RateLimitHeaders> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bucket = || headers.get(RateLimitHeaders::BUCKET).map(|value| value.as_bytes().to_vec());
    // By tokio's clock, which a test may have paused.
    let reset_at = |after: f64| {
        let after = Duration::try_from_secs_f64(after).unwrap_or(Duration::ZERO);
        (Instant::now() + after).into_std()
    };
    match Scope::of(headers) {
        Scope::Global => None,
        Scope::Shared => {
            let after = text("retry-after")?.parse().ok()?;
            Some(RateLimitHeaders { bucket: bucket()?, limit: 0, remaining: 0, reset_at: reset_at(after) })
        }
        Scope::User | Scope::Unknown => {
            let is_refused = status == StatusCode::TOO_MANY_REQUESTS;
            let remaining = text(RateLimitHeaders::REMAINING)?.parse().ok()?;
            Some(RateLimitHeaders {
                bucket: bucket()?,
                limit: text(RateLimitHeaders::LIMIT)?.parse().ok()?,
                remaining: if is_refused { 0 } else { remaining },
                reset_at: reset_at(text(RateLimitHeaders::RESET_AFTER)?.parse().ok()?),
            })
        }
    }
}
