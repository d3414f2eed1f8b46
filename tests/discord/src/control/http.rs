//! Control over HTTP: `/control/...`, `/ledger` and `/healthz`.
//!
//! From: requests without authentication (loopback or a test's namespace only). For: demos, scripts, `kubectl exec`.
//! Bodies are bounded; bad input gets 400 and `{"error": "field, found, remedy"}`. Deliberately absent: anything that the
//! typed methods cannot do, and the page for people (`page.rs`).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ControlError;
use super::faults::FaultFilter;
use super::messages::ReplyWait;
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
        .route("/control/messages", post(post_message))
        .route("/control/messages/{message}/replies", get(replies))
        .route("/control/interactions", post(post_interaction))
        .route("/control/interactions/{interaction}/replies", get(interaction_replies))
        .route("/control/faults", get(faults).post(add_fault).delete(remove_faults))
        .route("/control/settings", get(settings).post(change_settings))
        .route("/control/connections/drop", post(drop_connections))
        .route("/control/connections/freeze", post(freeze_connections))
        .route("/control/connections/heartbeat", post(ask_heartbeats))
        .route("/control/guilds/join", post(join_guilds))
        .route("/control/guilds/leave", post(leave_guilds))
        .route("/control/guilds/outage", post(guild_outage))
        .route("/control/generator", get(generated).post(generate).delete(stop_generating))
        .route("/control/outage", post(outage))
        .route("/control/time", get(time).post(move_time))
        .route("/control/tokens", post(change_token))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(Arc::clone(discord))
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
        return reject(&bad("query: use shard and total, both numbers".to_owned()));
    };
    let (shard, total) = (filter.shard.unwrap_or(0), filter.total.unwrap_or(1));
    let guilds: Vec<_> = discord.world.guilds_of(shard, total).into_iter().take(MOST_GUILDS).collect();
    ok(&json!({ "guilds": guilds }))
}

async fn post_message(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.post_message(request)))
}

async fn replies(
    State(discord): Discords,
    Path(message): Path<String>,
    wait: Result<Query<ReplyWait>, QueryRejection>,
) -> Response {
    let Ok(id) = message.parse().map(Snowflake) else {
        return reject(&bad("message: found something else in the path; use a messageId".to_owned()));
    };
    match wait {
        Ok(Query(wait)) => respond(discord.replies(id, &wait).await),
        Err(error) => reject(&bad(error.body_text())),
    }
}

async fn post_interaction(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.post_interaction(request)))
}

async fn interaction_replies(
    State(discord): Discords,
    Path(interaction): Path<String>,
    wait: Result<Query<ReplyWait>, QueryRejection>,
) -> Response {
    let Ok(id) = interaction.parse().map(Snowflake) else {
        let text = "interaction: found something else in the path; use an interactionId";
        return reject(&bad(text.to_owned()));
    };
    match wait {
        Ok(Query(wait)) => respond(discord.interaction_replies(id, &wait).await),
        Err(error) => reject(&bad(error.body_text())),
    }
}

async fn faults(State(discord): Discords) -> Response {
    answer_with(&discord.faults())
}

async fn add_fault(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|fault| discord.add_fault(fault)))
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

async fn settings(State(discord): Discords) -> Response {
    answer_with(&discord.settings())
}

async fn change_settings(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|change| discord.settle(&change)))
}

async fn drop_connections(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.drop_connection(request)))
}

async fn freeze_connections(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.freeze_connections(request)))
}

async fn ask_heartbeats(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.ask_heartbeats(request)))
}

async fn join_guilds(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.join_guilds(request)))
}

async fn leave_guilds(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.leave_guilds(&request)))
}

async fn guild_outage(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.guild_outage(&request)))
}

async fn generate(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.generate(&request)))
}

async fn generated(State(discord): Discords) -> Response {
    answer_with(&discord.generated())
}

async fn stop_generating(State(discord): Discords) -> Response {
    answer_with(&discord.stop_generating())
}

async fn outage(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.begin_outage(request)))
}

async fn time(State(discord): Discords) -> Response {
    answer_with(&discord.time())
}

async fn move_time(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.move_time(request)))
}

async fn change_token(State(discord): Discords, body: Body) -> Response {
    respond(read(body).and_then(|request| discord.change_token(&request)))
}

fn read<T: DeserializeOwned>(body: Body) -> Result<T, ControlError> {
    let body = body.map_err(|_| bad(format!("body: longer than {LONGEST_BODY} bytes; use less")))?;
    let wrong = |error: serde_json::Error| {
        bad(format!("body: {error}; use a JSON object with the fields of this call"))
    };
    let value: Value = serde_json::from_slice(&body).map_err(wrong)?;
    if !value.is_object() {
        return Err(bad("body: found no JSON object; use one with the fields of this call".to_owned()));
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

fn bad(text: String) -> ControlError {
    ControlError::BadRequest(text)
}
