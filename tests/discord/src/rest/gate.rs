//! What every call of REST goes through: ban, outage, faults, token, rate limits, and the ledger.
//!
//! From: requests, with their peer's address. For: the routes, which see only calls that are let in, with the bot in an
//! extension. Unknown routes pass here too: a banned address is banned from everything.
//! Deliberately absent: the rules themselves (`limits.rs`, `invalid.rs`, `damage.rs`), what routes do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::{error, unauthorized};
use super::invalid::{InvalidRequests, banned};
use super::limits::{Call, Limits, Who};
use super::{BASE, buckets, damage, unknown_route};
use crate::discord::Discord;
use crate::faults::{Damage, Fault};
use crate::options::Token;
use crate::snowflake::Snowflake;

/// The status that the ledger gives a call whose client gave up, as proxies write it down.
const GAVE_UP: u16 = 499;

/// The bot that calls.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub Snowflake);

/// What the middleware knows.
#[derive(Clone)]
pub struct Gate {
    discord: Arc<Discord>,
    limits: Arc<Mutex<Limits>>,
    invalid: Arc<Mutex<InvalidRequests>>,
}

/// Where a call came from and where it goes.
struct Way {
    address: IpAddr,
    /// The route with names for its variable parts, without the base; none if there is no such route.
    template: Option<String>,
}

/// The middleware.
pub async fn pass(State(gate): State<Gate>, path: MatchedPath, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(peer)| peer.ip());
    let way = Way { address, template: path.as_str().strip_prefix(BASE).map(str::to_owned) };
    let route = way.template.as_ref().map(|template| format!("{} {template}", method_name(request.method())));
    if let Some(wait) = lock(&gate.invalid).banned_for(address, gate.discord.clock.rules()) {
        let answer = banned(Some(gate.discord.clock.real(wait)));
        gate.discord.record_rest(route.as_deref().unwrap_or("unknown route"), answer.status().as_u16(), true);
        return answer;
    }
    let Some(route) = route else { return unknown_route(&gate.discord, &request) };
    let mut call = Pending { discord: &gate.discord, route: &route, is_answered: false };
    let answer = gate.answer(&way, request, next).await;
    call.is_answered = true;
    gate.write_down(&route, address, &answer);
    answer
}

/// The method, as the ledger has it: clients may invent others.
pub fn method_name(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| method == known)
        .unwrap_or("other")
}

/// A call until it is answered. Where nobody waits for the answer any more, it is dropped before.
struct Pending<'a> {
    discord: &'a Discord,
    route: &'a str,
    is_answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_answered && !self.discord.stop.is_cancelled() {
            self.discord.record_rest(self.route, GAVE_UP, false);
        }
    }
}

impl Gate {
    /// A gate that nobody has passed yet.
    pub fn new(discord: &Arc<Discord>) -> Self {
        Self { discord: Arc::clone(discord), limits: Arc::default(), invalid: Arc::default() }
    }

    async fn answer(&self, way: &Way, request: Request, next: Next) -> Response {
        if self.discord.rest_is_down() {
            return error(StatusCode::SERVICE_UNAVAILABLE, 0, "503: Service Unavailable");
        }
        let template = way.template.as_deref().unwrap_or_default();
        let Some(fault) = self.discord.fault(request.method().as_str(), template) else {
            return self.serve(way, request, next).await;
        };
        let bucket = buckets::of(request.method(), template);
        let Fault { damage, executes, .. } = fault;
        let right = match damage {
            _ if executes => Some(self.serve(way, request, next).await),
            Damage::Delay(span) => {
                damage::wait(span, &self.discord.stop).await;
                return self.serve(way, request, next).await;
            }
            _ => None,
        };
        let about = (bucket, self.discord.clock.unix_ms());
        damage::answer(damage, right, about, &self.discord.stop).await
    }

    /// The right answer.
    async fn serve(&self, way: &Way, mut request: Request, next: Next) -> Response {
        match self.admit(way, &mut request) {
            Ok(headers) => {
                let mut answer = next.run(request).await;
                answer.headers_mut().extend(headers);
                answer
            }
            Err(answer) => *answer,
        }
    }

    /// The headers that the answer will carry, or the answer where the call is not let in.
    fn admit(&self, way: &Way, request: &mut Request) -> Result<HeaderMap, Box<Response>> {
        let template = way.template.as_deref().unwrap_or_default();
        let who = if !buckets::is_global(template) {
            Who::Holder
        } else if buckets::is_open(request.method(), template) {
            Who::Address(way.address)
        } else {
            let token = caller(request.headers());
            let bot = token.and_then(|token| self.discord.application_of(&token)).ok_or_else(unauthorized)?;
            request.extensions_mut().insert(Caller(bot));
            Who::Bot(bot)
        };
        let call = Call { who, method: request.method(), template, path: request.uri().path() };
        let clock = &self.discord.clock;
        lock(&self.limits).take(&call, clock.rules()).answer(clock)
    }

    fn write_down(&self, route: &str, address: IpAddr, answer: &Response) {
        let status = answer.status().as_u16();
        let is_shared = answer.headers().get("x-ratelimit-scope").is_some_and(|scope| scope == "shared");
        let is_invalid = matches!(status, 401 | 403 | 429) && !is_shared;
        self.discord.record_rest(route, status, is_invalid);
        if !is_invalid {
            return;
        }
        let limit = self.discord.invalid_request_limit();
        if lock(&self.invalid).count(address, limit, self.discord.clock.rules()) {
            self.discord.record_ban(address, limit);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn caller(headers: &HeaderMap) -> Option<Token> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bot ").map(Token::new)
}
