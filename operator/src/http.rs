//! The two HTTP servers: the gate for pods, health and metrics for the kubelet and Prometheus.
//!
//! Gate (default port 8080): `POST /v1/identify`, `/v1/identified`, `/v1/report`; only pods of a layout may call, and prove it
//! by their projected token. A replica that does not lead answers 421 and who does, before it looks at the token: the
//! address is no secret. Only the body of who was let in is read, at most 64 KiB within 10 s ([`bodies`]). Who
//! cannot be recognised since the API server fails gets 502, or 504 when it does not answer in time or when too many bodies are
//! on their way. Successful answers are named by the header of the contract. Health (default port 8081): `GET /livez`, `/readyz`, `/metrics`; anyone who
//! reaches the port, nothing secret. Deliberately absent: what the calls mean.

pub mod bodies;

use crate::callers::{self, Callers};
use crate::gate::{Caller, Gate, Refused};
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::rates::Rates;
use crate::reports::Reports;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bodies::Bodies;
use serde::de::DeserializeOwned;
use shard_contract::identify::{
    ANSWER_HEADER, HEARD_HEADER, IDENTIFIED_PATH, IDENTIFY_PATH, Identified, IdentifyRequest, Refusal,
};
use shard_contract::report::{REPORT_PATH, Report};
use shard_serve::{Connection, ConnectionLimits};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Connections to the gate at a time: a few more than calls that may wait. The pods of a node may come by one address. What those hold
/// that nobody knows is at most 4,096 times 13 KiB, 52 MiB of the chart's 512.
pub const GATE_CONNECTIONS: ConnectionLimits =
    ConnectionLimits { total: 60_000, unrecognised: 4_096, per_address: 4_096, per_caller: 16 };
/// Connections for health and metrics: far more than anybody needs. An unrecognised caller who keeps many does not lock the kubelet out, since
/// the oldest makes way.
pub const HEALTH_CONNECTIONS: ConnectionLimits =
    ConnectionLimits { total: 512, unrecognised: 256, per_address: 256, per_caller: 1 };
/// Calls of one pod at once, then one in [`CALL_EVERY`]: a pod of 256 shards whose buckets are all free asks and tells three times for
/// each.
const CALLS_AT_ONCE: NonZeroU32 = NonZeroU32::new(1_024).expect("it is not 0");
const CALL_EVERY: Duration = Duration::from_millis(10);
/// Reports of one pod at once, then one in [`REPORT_EVERY`]: a pod whose shards change without end sends one in 200 ms.
const REPORTS_AT_ONCE: NonZeroU32 = NonZeroU32::new(20).expect("it is not 0");
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// The longest word of an answer, in characters.
const WORD_LIMIT: usize = 64;

/// What the servers hand on to.
#[derive(Clone)]
pub struct AppState {
    /// Recognises pods.
    pub callers: Arc<Callers>,
    /// Reads bodies.
    pub bodies: Arc<Bodies>,
    /// Grants.
    pub gate: Gate,
    /// Keeps reports.
    pub reports: Reports,
    /// How often each pod may call.
    pub calls: Arc<Rates<String>>,
    /// How often each pod may report.
    pub report_rates: Arc<Rates<String>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Whether this replica leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Whether it stands by, or all watches have been filled once.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// How often each pod may call, and how often report.
#[must_use]
pub fn rates() -> [Arc<Rates<String>>; 2] {
    [(CALLS_AT_ONCE, CALL_EVERY), (REPORTS_AT_ONCE, REPORT_EVERY)]
        .map(|(at_once, every)| Arc::new(Rates::new(at_once, every)))
}

/// The gate's routes.
pub fn gate_router(state: AppState) -> Router {
    Router::new()
        .route(IDENTIFY_PATH, post(identify))
        .route(IDENTIFIED_PATH, post(identified))
        .route(REPORT_PATH, post(report))
        .with_state(state)
}

/// Health and metrics.
pub fn health_router(state: AppState) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn identify(State(state): State<AppState>, call: Request) -> Response {
    let answer = async {
        let (caller, request): (_, IdentifyRequest) = asked(&state, call).await?;
        state
            .gate
            .identify(&caller, request)
            .await
            .map(|answer| Json(answer).into_response())
            .map_err(|error| refused(&error))
    };
    counted(&state, IDENTIFY_PATH, answer.await)
}

async fn identified(State(state): State<AppState>, call: Request) -> Response {
    let answer = async {
        let (caller, Identified { grant, outcome }) = asked(&state, call).await?;
        let is_blind = state.gate.is_blind(&caller);
        state.gate.identified(&caller, grant, outcome).await.map_err(|error| refused(&error))?;
        Ok(no_content(is_blind))
    };
    counted(&state, IDENTIFIED_PATH, answer.await)
}

async fn report(State(state): State<AppState>, call: Request) -> Response {
    let answer = async {
        let (caller, report): (_, Report) = asked(&state, call).await?;
        state.report_rates.take(&caller.uid).map_err(|wait| too_often(&caller, wait))?;
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
        let is_blind = state.gate.is_blind(&caller);
        state.reports.keep(&caller, report);
        Ok(no_content(is_blind))
    };
    counted(&state, REPORT_PATH, answer.await)
}

async fn readyz(State(state): State<AppState>) -> Response {
    if (state.ready)() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the watches have not been filled yet\n").into_response()
    }
}

async fn metrics(State(state): State<AppState>) -> Response {
    match state.metrics.text(state.gate.leads(), &state.gate.totals(), state.gate.counted()) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Marks an answer that is no sign that the gate can grant.
#[derive(Clone, Copy)]
struct Unnamed;

fn no_content(is_blind: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if is_blind {
        response.extensions_mut().insert(Unnamed);
    }
    response
}

/// A call that is turned away: the status, and why.
struct TurnedAway(StatusCode, Refusal);

impl TurnedAway {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self(status, Refusal { error: error.into(), leader: None, pod_is_there: None })
    }
}

impl IntoResponse for TurnedAway {
    fn into_response(self) -> Response {
        let again = (self.0 == StatusCode::SERVICE_UNAVAILABLE).then_some([(header::RETRY_AFTER, "1")]);
        (self.0, again, Json(self.1)).into_response()
    }
}

/// Who calls, and what he says.
async fn asked<T: DeserializeOwned>(state: &AppState, call: Request) -> Result<(Caller, T), TurnedAway> {
    let (head, body) = call.into_parts();
    let caller = match admit(state, &head).await {
        Ok(caller) => caller,
        Err(turned_away) => {
            bodies::let_go(body).await;
            return Err(turned_away);
        }
    };
    let body = state.bodies.whole(&caller.uid, body).await.map_err(|error| {
        let status = match error {
            bodies::Error::TooMany => StatusCode::TOO_MANY_REQUESTS,
            // As when the API server does not answer: this leader can grant nothing, and pods must be able to tell.
            bodies::Error::Crowded => StatusCode::GATEWAY_TIMEOUT,
            bodies::Error::Cut => StatusCode::PAYLOAD_TOO_LARGE,
            bodies::Error::Late => StatusCode::REQUEST_TIMEOUT,
        };
        TurnedAway::new(status, error.to_string())
    })?;
    // The body may have taken its time.
    leads(&state.leadership.borrow())?;
    Ok((caller, parse(&body)?))
}

async fn admit(state: &AppState, head: &Parts) -> Result<Caller, TurnedAway> {
    let (headers, connection) = (&head.headers, head.extensions.get::<Connection>());
    leads(&state.leadership.borrow())?;
    let token = bearer(headers);
    let unknown = connection.filter(|connection| !connection.is_recognised());
    let stays = unknown.and_then(|connection| Some((state.callers.likely(token)?, connection.stay())));
    let caller = recognised(state, token).await?;
    let whose_is_it = connection.is_none_or(|connection| connection.recognise(&caller.uid));
    if !whose_is_it {
        let error =
            format!("pod {} has {} connections already; use those", caller.pod, GATE_CONNECTIONS.per_caller);
        return Err(TurnedAway::new(StatusCode::TOO_MANY_REQUESTS, error));
    }
    drop(stays);
    state.calls.take(&caller.uid).map_err(|wait| too_often(&caller, wait))?;
    let word = headers.get(HEARD_HEADER).and_then(|value| value.to_str().ok());
    if let Some(word) = word.filter(|word| word.len() <= WORD_LIMIT) {
        state.gate.heard(&caller, word);
    }
    Ok(caller)
}

fn too_often(caller: &Caller, wait: Duration) -> TurnedAway {
    let error = format!("pod {} calls too often; call again in {} ms", caller.pod, wait.as_millis());
    TurnedAway::new(StatusCode::TOO_MANY_REQUESTS, error)
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
    Err(TurnedAway(StatusCode::MISDIRECTED_REQUEST, Refusal { error, leader, pod_is_there: None }))
}

fn bearer(headers: &HeaderMap) -> &str {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

async fn recognised(state: &AppState, token: &str) -> Result<Caller, TurnedAway> {
    let error = match state.callers.recognise(token).await {
        Ok(caller) => return Ok(caller),
        Err(error) => error,
    };
    if let callers::Error::Review(cause) = &error {
        tracing::warn!(%cause, "a caller's token could not be reviewed");
    }
    let is_unknown = matches!(error, callers::Error::Unknown(_) | callers::Error::NotAShardPod(_));
    let stays = if is_unknown { state.callers.is_of_a_pod_that_stays(token).await } else { Ok(None) };
    // Where nobody knows whether the pod is there, nothing is said for or against it.
    let (error, pod_is_there) = match stays {
        Ok(stays) => (error, stays),
        Err(unasked) => (unasked, None),
    };
    let refusal = Refusal { error: error.to_string(), leader: None, pod_is_there };
    Err(TurnedAway(unrecognised(&error), refusal))
}

/// The status for who was not recognised. A leader whom the API server does not answer can grant nothing: pods must be able to tell.
fn unrecognised(error: &callers::Error) -> StatusCode {
    match error {
        callers::Error::NoToken | callers::Error::Unknown(_) => StatusCode::UNAUTHORIZED,
        callers::Error::NotAShardPod(_) => StatusCode::FORBIDDEN,
        callers::Error::Review(_) => StatusCode::BAD_GATEWAY,
        callers::Error::TimedOut => StatusCode::GATEWAY_TIMEOUT,
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, TurnedAway> {
    // serde takes a list for a struct; the contract knows objects only.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(TurnedAway::new(StatusCode::BAD_REQUEST, "the body: expected a JSON object".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|error| TurnedAway::new(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}

fn refused(refused: &Refused) -> TurnedAway {
    let status = match refused {
        Refused::NotYours(_) => StatusCode::FORBIDDEN,
        Refused::Malformed(_) => StatusCode::BAD_REQUEST,
        Refused::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refused::Closed(_) => StatusCode::SERVICE_UNAVAILABLE,
        // As when the API server does not answer: this leader can grant nothing, and pods must be able to tell.
        Refused::Blind(_) => StatusCode::BAD_GATEWAY,
    };
    TurnedAway::new(status, refused.to_string())
}

fn counted(state: &AppState, path: &'static str, answer: Result<Response, TurnedAway>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    // Named last: the word says when the answer was given, not when it was asked for.
    if response.status().is_success()
        && response.extensions().get::<Unnamed>().is_none()
        && let Ok(word) = HeaderValue::try_from(state.gate.word())
    {
        response.headers_mut().insert(ANSWER_HEADER, word);
    }
    state.metrics.call(path, response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::Listed;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use k8s_openapi::api::core::v1::Pod;
    use kube::client::Body;
    use serde_json::json;
    use shard_contract::names::{BOT_LABEL, GATE_AUDIENCE, LAYOUT_LABEL};
    use shard_contract::pace::Pace;
    use shard_machine::Machine;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    /// Connections of one pod: fewer than bodies that it may have under way.
    const PER_CALLER: usize = 16;

    /// The API server: knows one token and one pod.
    fn api() -> kube::Client {
        let service = tower::service_fn(async |request: axum::http::Request<Body>| {
            let asked = request.into_body().collect_bytes().await?;
            let good = String::from_utf8_lossy(&asked).contains("\"good");
            let extra = json!({
                "authentication.kubernetes.io/pod-name": ["mybot-1-0"], "authentication.kubernetes.io/pod-uid": ["u"],
            });
            let user = json!({ "username": "system:serviceaccount:bots:mybot-shards", "extra": extra });
            let status = json!({ "authenticated": good, "audiences": [GATE_AUDIENCE], "user": user });
            let review = json!({ "spec": {}, "metadata": {}, "status": status });
            Ok::<_, kube::Error>(axum::http::Response::new(Body::from(review.to_string().into_bytes())))
        });
        kube::Client::new(service, "bots")
    }

    fn pod() -> Listed<Pod> {
        serde_json::from_value(json!({ "metadata": {
            "namespace": "bots", "name": "mybot-1-0", "uid": "u",
            "labels": { BOT_LABEL: "mybot", LAYOUT_LABEL: "1" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mybot-1", "uid": "s", "controller": true }],
        } }))
        .unwrap()
    }

    /// The gate on loopback.
    async fn begin(leadership: Leadership) -> (SocketAddr, watch::Sender<Leadership>) {
        let limits = ConnectionLimits {
            total: 2_048,
            unrecognised: 2_048,
            per_address: 1_024,
            per_caller: PER_CALLER,
        };
        begin_with(leadership, api(), limits).await
    }

    async fn begin_with(
        leadership: Leadership,
        api: kube::Client,
        limits: ConnectionLimits,
    ) -> (SocketAddr, watch::Sender<Leadership>) {
        let (sender, leadership) = watch::channel(leadership);
        let (pods, mut writer) = kube::runtime::reflector::store();
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(pod()));
        let [calls, report_rates] = rates();
        let state = AppState {
            callers: Arc::new(Callers::new(api, vec![pods])),
            bodies: Arc::default(),
            gate: Gate::new(Pace::REAL, leadership.clone(), |_| true, &Machine::this()),
            reports: Reports::new().0,
            calls,
            report_rates,
            metrics: Arc::default(),
            leadership,
            ready: Arc::new(|| true),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // More callers than a shell's usual limit of open files has room for.
        shard_serve::raise_file_limit();
        tokio::spawn(shard_serve::serve(listener, gate_router(state), limits, CancellationToken::new()));
        (address, sender)
    }

    fn leading() -> Leadership {
        let since = Instant::now();
        Leadership::Leading { since, until: since + Duration::from_hours(1) }
    }

    /// A call of whoever has this token, which says that its body is that long.
    async fn call(address: SocketAddr, token: &str, length: usize, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {IDENTIFIED_PATH} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream
    }

    /// A whole report of the known pod.
    async fn report(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let body = r#"{"layout":1}"#;
        let head = format!(
            "POST {REPORT_PATH} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\nAuthorization: Bearer good\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// The answer's first line.
    async fn said(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn who_was_not_recognised_learns_whether_the_fault_is_his_or_the_api_servers() {
        let away = Arc::new(kube::Error::TlsRequired);
        for (error, status) in [
            (callers::Error::NoToken, 401),
            (callers::Error::Unknown(String::new()), 401),
            (callers::Error::NotAShardPod(String::new()), 403),
            (callers::Error::Review(away), 502),
            (callers::Error::TimedOut, 504),
        ] {
            assert_eq!(unrecognised(&error).as_u16(), status, "{error}");
        }
    }

    #[tokio::test]
    async fn a_replica_that_does_not_lead_answers_before_the_body_is_there() {
        let (address, _leadership) = begin(Leadership::Standby { leader: None }).await;
        let begun = Instant::now();
        assert!(said(call(address, "good", 1_024, "{").await).await.contains("421"));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_pod_that_reports_without_end_is_told_to_wait() {
        let (address, _leadership) = begin(leading()).await;
        let (begun, mut taken) = (Instant::now(), 0_u128);
        let refused = loop {
            let answer = said(report(address).await).await;
            if !answer.contains("204") {
                break answer;
            }
            taken += 1;
        };
        assert!(refused.contains("429"), "{refused}");
        let most =
            u128::from(REPORTS_AT_ONCE.get()) + begun.elapsed().as_millis() / REPORT_EVERY.as_millis() + 1;
        assert!(taken <= most, "{taken} of at most {most}");
        let identified = said(call(address, "good", 2, "{}").await).await;
        assert!(identified.contains("400"), "its other calls are counted apart: {identified}");
    }

    #[tokio::test]
    async fn a_pod_with_too_many_connections_is_told_to_use_those_it_has() {
        let (address, _leadership) = begin(leading()).await;
        let mut held = Vec::new();
        for _ in 0..PER_CALLER {
            held.push(call(address, "good", 1_024, "{").await);
        }
        // They count as the pod's when they have been recognised.
        while !said(call(address, "good", 2, "{}").await).await.contains("429") {}
        held.clear();
        while !said(call(address, "good", 2, "{}").await).await.contains("400") {}
    }

    #[tokio::test]
    async fn a_pod_whose_token_is_under_review_does_not_make_way_for_whom_nobody_knows() {
        // An API server that takes its time.
        let (release, released) = watch::channel(false);
        let (asks, mut asked) = watch::channel(false);
        let service = tower::service_fn(move |request: axum::http::Request<Body>| {
            let (mut released, asks) = (released.clone(), asks.clone());
            async move {
                asks.send_replace(true);
                _ = released.wait_for(|released| *released).await;
                api().send(request).await
            }
        });
        let limits = ConnectionLimits { total: 64, unrecognised: 4, per_address: 32, per_caller: PER_CALLER };
        let (address, _leadership) = begin_with(leading(), kube::Client::new(service, "bots"), limits).await;
        let claims =
            json!({ "kubernetes.io": { "namespace": "bots", "pod": { "name": "mybot-1-0", "uid": "u" } } });
        let waits =
            call(address, &format!("good.{}.", URL_SAFE_NO_PAD.encode(claims.to_string())), 2, "{}").await;
        asked.wait_for(|asked| *asked).await.unwrap();
        let mut forged = Vec::new();
        for _ in 0..8 {
            forged.push(call(address, "forged", 2, "{}").await);
        }
        // One address has a quarter of the four places.
        let last = forged.pop();
        for mut crowded_out in forged {
            // With a body that nobody read, it ends by a reset.
            let mut answer = String::new();
            _ = crowded_out.read_to_string(&mut answer).await;
            assert_eq!(answer, "");
        }
        release.send_replace(true);
        let answer = said(waits).await;
        assert!(answer.contains("400"), "recognised, and its body makes no sense: {answer}");
        assert!(said(last.unwrap()).await.contains("401"));
    }

    #[tokio::test]
    async fn many_who_send_half_a_body_do_not_keep_a_good_caller_out() {
        let (address, _leadership) = begin(leading()).await;
        let body = r#"{"grant":1,"outcome":"sent"}"#;
        let mut halves = Vec::new();
        for number in 0..600 {
            let token = if number < 40 { "good" } else { "forged" };
            halves.push(call(address, token, body.len(), &body[..9]).await);
        }
        let begun = Instant::now();
        let refused = said(halves.swap_remove(599)).await;
        assert!(refused.contains("401"), "{refused}");
        assert!(
            said(call(address, "good", body.len(), body).await).await.contains("429"),
            "the pod's own are too many"
        );
        halves.clear();
        let mut answer = said(call(address, "good", body.len(), body).await).await;
        while answer.contains("429") {
            answer = said(call(address, "good", body.len(), body).await).await;
        }
        assert!(answer.contains("503"), "the gate itself, closed for this bot, has the last word: {answer}");
        assert!(begun.elapsed() < Duration::from_secs(9), "nobody waited for a body");
    }
}
