//! The two HTTP servers: the gate for pods, health and metrics for the kubelet and Prometheus.
//!
//! Gate (default port 8080): `POST /v1/identify`, `/v1/identified`, `/v1/report`; only pods of a layout may call, and prove it
//! by their projected token. A replica that does not lead answers 421 and who does, before it looks at the token: the
//! address is no secret. Successful answers are named by the header of the contract. Health (default port 8081): `GET /livez`,
//! `/readyz`, `/metrics`; anyone who reaches the port, nothing secret. Bodies are at most 64 KiB and take at most 10 s. Deliberately absent: what
//! the calls mean.

use crate::callers::{self, Callers};
use crate::gate::{Caller, Gate, Refused};
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::reports::Reports;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use shard_contract::identify::{
    ANSWER_HEADER, HEARD_HEADER, IDENTIFIED_PATH, IDENTIFY_PATH, Identified, IdentifyRequest, Refusal,
};
use shard_contract::report::{REPORT_PATH, Report};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const BODY_LIMIT: usize = 64 * 1_024;
/// How long a body may take: the rest of a request must come once its head is there.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Connections to the gate at a time: a few more than calls that may wait.
pub const GATE_CONNECTIONS: usize = 60_000;
/// Connections for health and metrics: far more than anybody needs, so that a stranger who keeps many does not lock the kubelet
/// out.
pub const HEALTH_CONNECTIONS: usize = 16_384;
/// The longest word of an answer, in characters.
const WORD_LIMIT: usize = 64;

/// What the servers hand on to.
#[derive(Clone)]
pub struct Doors {
    /// Recognises pods.
    pub callers: Arc<Callers>,
    /// Grants.
    pub gate: Gate,
    /// Keeps reports.
    pub reports: Reports,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Whether this replica leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Whether it stands by, or all watches have been filled once.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// The gate's routes.
pub fn gate_router(doors: Doors) -> Router {
    Router::new()
        .route(IDENTIFY_PATH, post(identify))
        .route(IDENTIFIED_PATH, post(identified))
        .route(REPORT_PATH, post(report))
        .layer(from_fn(whole))
        .with_state(doors)
}

/// Hands a request on once its body is there.
async fn whole(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(_)) => {
            let error = format!("the body: cut off, or above {BODY_LIMIT} bytes");
            TurnedAway::new(StatusCode::PAYLOAD_TOO_LARGE, error).into_response()
        }
        Err(_) => {
            let error = format!("the body: not there after {} s", BODY_TIME.as_secs());
            TurnedAway::new(StatusCode::REQUEST_TIMEOUT, error).into_response()
        }
    }
}

/// Health and metrics.
pub fn health_router(doors: Doors) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(doors)
}

async fn identify(State(doors): State<Doors>, headers: HeaderMap, body: String) -> Response {
    let answer = async {
        let caller = admit(&doors, &headers).await?;
        let request: IdentifyRequest = parse(&body)?;
        doors
            .gate
            .identify(&caller, request)
            .await
            .map(|answer| Json(answer).into_response())
            .map_err(|error| refused(&error))
    };
    counted(&doors, IDENTIFY_PATH, answer.await)
}

async fn identified(State(doors): State<Doors>, headers: HeaderMap, body: String) -> Response {
    let answer = async {
        let caller = admit(&doors, &headers).await?;
        let Identified { grant, outcome } = parse(&body)?;
        doors.gate.identified(&caller, grant, outcome).await.map_err(|error| refused(&error))?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    counted(&doors, IDENTIFIED_PATH, answer.await)
}

async fn report(State(doors): State<Doors>, headers: HeaderMap, body: String) -> Response {
    let answer = async {
        let caller = admit(&doors, &headers).await?;
        let report: Report = parse(&body)?;
        if report.layout != caller.layout {
            let error = format!(
                "layout: found {}; pod {} belongs to layout {}",
                report.layout, caller.pod, caller.layout
            );
            return Err(TurnedAway::new(StatusCode::FORBIDDEN, error));
        }
        if report.shards.len() > 256 {
            let error = format!("shards: found {}; a pod has at most 256", report.shards.len());
            return Err(TurnedAway::new(StatusCode::BAD_REQUEST, error));
        }
        doors.reports.keep(&caller, report);
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    counted(&doors, REPORT_PATH, answer.await)
}

async fn readyz(State(doors): State<Doors>) -> Response {
    if (doors.ready)() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the watches have not been filled yet\n").into_response()
    }
}

async fn metrics(State(doors): State<Doors>) -> Response {
    match doors.metrics.text(doors.gate.leads(), &doors.gate.totals(), doors.gate.counted()) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A call that is turned away: the status, and why.
struct TurnedAway(StatusCode, Refusal);

impl TurnedAway {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self(status, Refusal { error: error.into(), leader: None })
    }
}

impl IntoResponse for TurnedAway {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

async fn admit(doors: &Doors, headers: &HeaderMap) -> Result<Caller, TurnedAway> {
    leads(&doors.leadership.borrow())?;
    let caller = recognised(doors, headers).await?;
    let word = headers.get(HEARD_HEADER).and_then(|value| value.to_str().ok());
    if let Some(word) = word.filter(|word| word.len() <= WORD_LIMIT) {
        doors.gate.heard(&caller, word);
    }
    Ok(caller)
}

fn leads(leadership: &Leadership) -> Result<(), TurnedAway> {
    let leader = match leadership {
        Leadership::Leading { .. } => return Ok(()),
        Leadership::Standby { leader } => leader.clone(),
        Leadership::Over => None,
    };
    let error = match &leader {
        Some(leader) => format!("this replica stands by; ask {leader}"),
        None => "this replica stands by, and nobody leads that it knows of; ask again".to_owned(),
    };
    Err(TurnedAway(StatusCode::MISDIRECTED_REQUEST, Refusal { error, leader }))
}

async fn recognised(doors: &Doors, headers: &HeaderMap) -> Result<Caller, TurnedAway> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    doors.callers.recognise(token).await.map_err(|error| {
        let status = match &error {
            callers::Error::NoToken | callers::Error::Unknown(_) => StatusCode::UNAUTHORIZED,
            callers::Error::NotAShardPod(_) => StatusCode::FORBIDDEN,
            callers::Error::Review(cause) => {
                tracing::warn!(%cause, "a caller's token could not be reviewed");
                StatusCode::SERVICE_UNAVAILABLE
            }
            callers::Error::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        };
        TurnedAway::new(status, error.to_string())
    })
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T, TurnedAway> {
    // serde takes a list for a struct; the contract knows objects only.
    if !body.trim_start().starts_with('{') {
        return Err(TurnedAway::new(StatusCode::BAD_REQUEST, "the body: expected a JSON object".to_owned()));
    }
    serde_json::from_str(body)
        .map_err(|error| TurnedAway::new(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}

fn refused(refused: &Refused) -> TurnedAway {
    let status = match refused {
        Refused::NotYours(_) => StatusCode::FORBIDDEN,
        Refused::Malformed(_) => StatusCode::BAD_REQUEST,
        Refused::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refused::Closed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    TurnedAway::new(status, refused.to_string())
}

fn counted(doors: &Doors, path: &'static str, answer: Result<Response, TurnedAway>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    // Named last: the word says when the answer was given, not when it was asked for.
    if response.status().is_success()
        && let Ok(word) = HeaderValue::try_from(doors.gate.word())
    {
        response.headers_mut().insert(ANSWER_HEADER, word);
    }
    doors.metrics.call(path, response.status().as_u16());
    response
}
