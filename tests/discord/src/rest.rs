//! REST `/api/v10`: routes, and what every call goes through: outage, token, rate limits, ledger.
//!
//! From: HTTP requests of bots. For: twilight-http, discord.py, hikari, @discordjs/rest. The routes' own work is in the files
//! below this one. Deliberately absent: interactions, webhooks, application commands, CDN.
//! Source: Discord, `developers/topics/rate-limits.mdx`, `developers/reference.mdx`.

pub mod answer;
mod channels;
mod form;
mod identity;
mod limits;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, patch, post};

use crate::discord::Discord;
use crate::options::Token;
use crate::snowflake::Snowflake;

use answer::{error, unauthorized};
use limits::{Call, Limits};

/// Base of every route.
pub const BASE: &str = "/api/v10";
/// The longest body: Discord takes files of 10 MiB.
const LONGEST_BODY: usize = 11 * 1024 * 1024;

/// The bot that calls.
#[derive(Clone, Copy, Debug)]
struct Caller(Snowflake);

#[derive(Clone)]
struct Gate {
    discord: Arc<Discord>,
    limits: Arc<Mutex<Limits>>,
}

/// REST as a router.
pub fn router(discord: &Arc<Discord>) -> Router {
    let gate = Gate { discord: Arc::clone(discord), limits: Arc::new(Mutex::new(Limits::default())) };
    let path = |path: &str| format!("{BASE}{path}");
    Router::new()
        .route(&path("/gateway"), get(identity::gateway))
        .route(&path("/gateway/bot"), get(identity::gateway_bot))
        .route(&path("/users/@me"), get(identity::current_user))
        .route(&path("/oauth2/applications/@me"), get(identity::application))
        .route(&path("/applications/@me"), get(identity::application))
        .route(&path("/guilds/{guild}"), get(identity::guild))
        .route(&path("/channels/{channel}"), get(channels::read))
        .route(&path("/channels/{channel}/typing"), post(channels::type_in))
        .route(&path("/channels/{channel}/messages"), post(channels::write))
        .route(
            &path("/channels/{channel}/messages/{message}"),
            patch(channels::edit).delete(channels::delete),
        )
        .method_not_allowed_fallback(|| async {
            error(StatusCode::METHOD_NOT_ALLOWED, 0, "405: Method Not Allowed")
        })
        .route_layer(middleware::from_fn_with_state(gate, pass))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(Arc::clone(discord))
}

/// What every call of a known route goes through.
async fn pass(State(gate): State<Gate>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    let template = path.as_str().strip_prefix(BASE).unwrap_or(path.as_str()).to_owned();
    let route = format!("{} {template}", request.method());
    let answer = match gate.admit(&template, &mut request) {
        Ok(headers) => {
            let mut answer = next.run(request).await;
            answer.headers_mut().extend(headers);
            answer
        }
        Err(answer) => *answer,
    };
    gate.discord.record_rest(&route, answer.status().as_u16());
    answer
}

impl Gate {
    /// The headers that the answer will carry, or the answer where the call is not let in.
    fn admit(&self, template: &str, request: &mut Request) -> Result<HeaderMap, Box<Response>> {
        if self.discord.rest_is_down() {
            return Err(Box::new(error(StatusCode::SERVICE_UNAVAILABLE, 0, "503: Service Unavailable")));
        }
        if template == "/gateway" && request.method() == Method::GET {
            return Ok(HeaderMap::new());
        }
        let Some(application) =
            caller(request.headers()).and_then(|token| self.discord.application_of(&token))
        else {
            return Err(Box::new(unauthorized()));
        };
        request.extensions_mut().insert(Caller(application));
        let call = Call { application, method: request.method(), template, path: request.uri().path() };
        let clock = &self.discord.clock;
        let verdict = self.limits.lock().unwrap_or_else(PoisonError::into_inner).take(&call, clock.rules());
        verdict.answer(clock)
    }
}

fn caller(headers: &HeaderMap) -> Option<Token> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bot ").map(Token::new)
}

/// The answer to a path of the API that is none of the routes.
pub fn unknown_route(discord: &Discord, request: &Request) -> Response {
    discord.record_unknown_route(request.method().as_str(), request.uri().path());
    error(StatusCode::NOT_FOUND, 0, "404: Not Found")
}
