//! Control over HTTP: `/control/...`, `/ledger` and `/healthz`.
//!
//! From: requests without authentication (loopback or a test's namespace only), but not from other sites' pages in a browser.
//! For: demos, scripts, `kubectl exec`.
//! Bodies are bounded; bad input gets 400 and `{"error": "field, found, remedy"}`. Deliberately absent: anything that the
//! typed methods cannot do, and the page for people (`page.rs`).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::faults::FaultFilter;
use super::messages::ReplyWait;
use super::{ControlError, bad};
use crate::discord::Discord;
use crate::ledger::LedgerQuery;
use crate::rest::answer::{answer, ok};
use crate::snowflake::Snowflake;

/// The longest body of a control request.
const LONGEST_BODY: usize = 64 * 1024;
/// Guilds in one answer.
const MOST_GUILDS: usize = 1000;

type Body = Result<Bytes, BytesRejection>;
type Discords = State<Arc<Discord>>;

/// Control as a router.
pub fn router(discord: &Arc<Discord>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/ledger", get(ledger))
        .route("/control/guilds", get(guilds))
        .route("/control/channels", get(channels))
        .route("/control/channels/access", act(Discord::change_access))
        .route("/control/join-requests", act(Discord::make_join_request))
        .route("/control/join-requests/decide", act(Discord::decide_join_request))
        .route("/control/messages", act(Discord::post_message))
        .route("/control/messages/{message}/replies", get(replies))
        .route("/control/interactions", act(Discord::post_interaction))
        .route("/control/interactions/{interaction}/replies", get(interaction_replies))
        .route("/control/faults", act(Discord::add_fault))
        .route("/control/faults", show(Discord::faults).delete(remove_faults))
        .route("/control/settings", act(|discord, change| discord.settle(&change)))
        .route("/control/settings", show(Discord::settings))
        .route("/control/connections/drop", act(Discord::drop_connection))
        .route("/control/connections/freeze", act(Discord::freeze_connections))
        .route("/control/connections/heartbeat", act(Discord::ask_heartbeats))
        .route("/control/guilds/join", act(Discord::join_guilds))
        .route("/control/guilds/leave", act(|discord, request| discord.leave_guilds(&request)))
        .route("/control/guilds/outage", act(|discord, request| discord.guild_outage(&request)))
        .route("/control/generator", act(|discord, request| discord.generate(&request)))
        .route("/control/generator", show(Discord::generated))
        .route("/control/generator", delete(stop_generating))
        .route("/control/outage", act(Discord::begin_outage))
        .route("/control/time", act(Discord::move_time))
        .route("/control/time", show(Discord::time))
        .route("/control/tokens", act(|discord, request| discord.change_token(&request)))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::from_fn(refuse_other_sites))
        .with_state(Arc::clone(discord))
}

/// A POST whose body is a request.
fn act<T, R, F>(act: F) -> MethodRouter<Arc<Discord>>
where
    T: DeserializeOwned + Send,
    R: Serialize,
    F: Fn(&Discord, T) -> Result<R, ControlError> + Clone + Send + Sync + 'static,
{
    post(async move |State(discord): Discords, body: Body| {
        respond(read(body).and_then(|request| act(&discord, request)))
    })
}

/// A GET without a question.
fn show<R, F>(show: F) -> MethodRouter<Arc<Discord>>
where
    R: Serialize,
    F: Fn(&Discord) -> R + Clone + Send + Sync + 'static,
{
    get(async move |State(discord): Discords| answer_with(&show(&discord)))
}

/// There is no authentication, but a page of another site, open in the browser of whoever runs this, is a stranger.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if is_of_another_site(request.headers()) {
        let text = "origin: found another site; use the simulator's own page, or a program";
        return answer(StatusCode::FORBIDDEN, &json!({ "error": text }));
    }
    next.run(request).await
}

/// Browsers say where a request comes from, programs do not.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header("host").unwrap_or_default();
    let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"))
        || header("origin").is_some_and(|origin| !is_own(origin))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuildFilter {
    shard: Option<u32>,
    total: Option<u32>,
}

async fn ledger(State(discord): Discords, query: Result<Query<LedgerQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(query)) => match query.fault() {
            Some(fault) => reject(&bad(fault)),
            None => answer_with(&discord.ledger_of(&query)),
        },
        Err(error) => reject(&bad(error.body_text())),
    }
}

async fn guilds(State(discord): Discords, filter: Result<Query<GuildFilter>, QueryRejection>) -> Response {
    let Ok(Query(filter)) = filter else {
        return reject(&bad("query: use shard and total, both numbers"));
    };
    let (shard, total) = (filter.shard.unwrap_or(0), filter.total.unwrap_or(1));
    let guilds: Vec<_> = discord.world.guilds_of(shard, total).into_iter().take(MOST_GUILDS).collect();
    ok(&json!({ "guilds": guilds }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGuild {
    guild: Snowflake,
}

async fn channels(State(discord): Discords, of: Result<Query<OfGuild>, QueryRejection>) -> Response {
    match of {
        Ok(Query(OfGuild { guild })) => respond(discord.channels_of(guild)),
        Err(_) => reject(&bad("query: use guild, an id of GET /control/guilds")),
    }
}

async fn replies(
    State(discord): Discords,
    Path(message): Path<String>,
    wait: Result<Query<ReplyWait>, QueryRejection>,
) -> Response {
    let Ok(id) = message.parse().map(Snowflake) else {
        return reject(&bad("message: found something else in the path; use a messageId"));
    };
    match wait {
        Ok(Query(wait)) => respond(discord.replies(id, &wait).await),
        Err(error) => reject(&bad(error.body_text())),
    }
}

async fn interaction_replies(
    State(discord): Discords,
    Path(interaction): Path<String>,
    wait: Result<Query<ReplyWait>, QueryRejection>,
) -> Response {
    let Ok(id) = interaction.parse().map(Snowflake) else {
        let text = "interaction: found something else in the path; use an interactionId";
        return reject(&bad(text));
    };
    match wait {
        Ok(Query(wait)) => respond(discord.interaction_replies(id, &wait).await),
        Err(error) => reject(&bad(error.body_text())),
    }
}

async fn stop_generating(State(discord): Discords) -> Response {
    answer_with(&discord.stop_generating())
}

async fn remove_faults(
    State(discord): Discords,
    filter: Result<Query<FaultFilter>, QueryRejection>,
) -> Response {
    match filter {
        Ok(Query(filter)) => respond(discord.remove_faults(filter)),
        Err(error) => reject(&bad(error.body_text())),
    }
}

fn read<T: DeserializeOwned>(body: Body) -> Result<T, ControlError> {
    let body = body.map_err(|_| bad(format!("body: longer than {LONGEST_BODY} bytes; use less")))?;
    let wrong = |error: serde_json::Error| {
        bad(format!("body: {error}; use a JSON object with the fields of this call"))
    };
    let value: Value = serde_json::from_slice(&body).map_err(wrong)?;
    if !value.is_object() {
        return Err(bad("body: found no JSON object; use one with the fields of this call"));
    }
    serde_json::from_value(value).map_err(wrong)
}

fn respond<T: Serialize>(result: Result<T, ControlError>) -> Response {
    match result {
        Ok(value) => answer_with(&value),
        Err(error) => reject(&error),
    }
}

fn answer_with(value: &impl Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => ok(&value),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
    }
}

fn reject(error: &ControlError) -> Response {
    let status = match error {
        ControlError::BadRequest(_) => StatusCode::BAD_REQUEST,
        ControlError::NotFound(_) => StatusCode::NOT_FOUND,
    };
    answer(status, &json!({ "error": error.to_string() }))
}
