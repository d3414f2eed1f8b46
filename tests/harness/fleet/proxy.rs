//! A proxy before the API server that answers, delays and cuts as a test says.
//!
//! From plain HTTP, which a kubeconfig may name, to the API server as the administrator; for operators and pods under test. Each
//! [`Fault`] says which requests it hits, how often and how; what is hit by none is handed on, watches as they stream. It
//! counts what was asked, so that a test can say that nothing loops hot. Deliberately absent: the API server's semantics,
//! which are the real one's.

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use kube::Client;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod hits;

pub use hits::Hits;

/// A request with its whole body.
type Asking = axum::http::Request<Vec<u8>>;

/// The longest body that is handed on.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which requests.
    pub hits: Hits,
    /// How.
    pub how: How,
    /// For so many of them.
    pub count: u64,
}

/// How they go wrong.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// They are answered with this status and reason, and with a time to wait where there is one.
    Answer(u16, &'static str, Option<u32>),
    /// They are handed on after so long.
    Slow(Duration),
    /// They are handed on, and their answer's connection ends after so long.
    Cut(Duration),
    /// They are handed on, and the answer is lost.
    Lose,
    /// They are handed on, and answered with this status and reason all the same.
    Deny(u16, &'static str),
    /// They are handed on twice; what is answered is what became of the second.
    Twice,
    /// Nobody answers them; they are handed on when the test says so, whoever still waits.
    Keep,
    /// Nobody answers them.
    Hang,
}

struct Shared {
    client: Client,
    faults: Mutex<Vec<Fault>>,
    asked: AtomicU64,
    kept: Mutex<Vec<Asking>>,
    /// Ends every answer that streams.
    cuts: watch::Sender<u64>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("faults", &self.faults)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens at this address.
    ///
    /// # Errors
    /// When it cannot be listened at.
    pub async fn start(client: Client, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen at {address}"))?;
        let shared = Arc::new(Shared {
            client,
            faults: Mutex::default(),
            asked: AtomicU64::new(0),
            kept: Mutex::default(),
            cuts: watch::Sender::new(0),
        });
        let router = Router::new().fallback(hand_on).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // It ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// Writes a kubeconfig that leads here; who one is, the proxy says.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "proxy", "user": {} }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxy" } }],
        });
        std::fs::write(path, config.to_string()).with_context(|| format!("write {}", path.display()))
    }

    /// From now on, this goes wrong.
    pub fn add(&self, fault: Fault) {
        self.shared.faults().push(fault);
    }

    /// Nothing goes wrong any more; what hangs stays so until its caller gives up.
    pub fn clear(&self) {
        self.shared.faults().clear();
    }

    /// Whether there are faults that can still hit something.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.shared.faults().iter().all(|fault| fault.count == 0)
    }

    /// Ends every answer that is on its way now, watches above all.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many requests are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.shared.kept().len()
    }

    /// Hands on what was kept, in its order; the statuses that came of it.
    pub async fn release(&self) -> Vec<u16> {
        let kept = std::mem::take(&mut *self.shared.kept());
        let mut statuses = Vec::new();
        for asking in kept {
            statuses.push(ask(&self.shared.client, asking).await.status().as_u16());
        }
        statuses
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Asking>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest fault that hits this request, one hit less from now on.
    fn fault(&self, request: &Asking) -> Option<How> {
        let mut faults = self.faults();
        let fault = faults.iter_mut().find(|fault| fault.count > 0 && fault.hits.has(request))?;
        fault.count -= 1;
        Some(fault.how)
    }
}

async fn hand_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MOST_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "a body that is no object").into_response();
    };
    let asking = Asking::from_parts(parts, body.to_vec());
    let how = shared.fault(&asking);
    match how {
        Some(How::Answer(code, reason, after)) => return refusal(code, reason, after),
        Some(How::Hang) => std::future::pending::<()>().await,
        Some(How::Keep) => {
            shared.kept().push(asking);
            return std::future::pending().await;
        }
        Some(How::Slow(time)) => tokio::time::sleep(time).await,
        Some(How::Twice) => drop(ask(&shared.client, asking.clone()).await),
        _ => {}
    }
    let response = ask(&shared.client, asking).await;
    match how {
        Some(How::Lose) => return broken(),
        Some(How::Deny(code, reason)) => return refusal(code, reason, None),
        Some(How::Cut(time)) => return until(response, tokio::time::sleep(time)),
        _ => {}
    }
    let mut cuts = shared.cuts.subscribe();
    until(response, async move {
        // The sender lives as long as the proxy.
        let _ = cuts.changed().await;
    })
}

async fn ask(client: &Client, asking: Asking) -> Response {
    let mut request = asking.map(kube::client::Body::from);
    // The administrator's own stand in their place.
    for name in [header::HOST, header::AUTHORIZATION, header::CONNECTION] {
        request.headers_mut().remove(name);
    }
    match client.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// The answer, whose body ends in an error when `end` comes first.
fn until(response: Response, end: impl Future<Output = ()> + Send + 'static) -> Response {
    response.map(|body| {
        let end = futures::stream::once(end).map(|()| Err(axum::Error::new(std::io::Error::other("cut"))));
        let data = body.into_data_stream().map(Some).chain(futures::stream::once(async { None }));
        let both = futures::stream::select(data, end.map(Some));
        let until_the_end = both.take_while(|one| std::future::ready(one.is_some()));
        Body::from_stream(until_the_end.filter_map(std::future::ready))
    })
}

/// An answer of the API server's form.
fn refusal(code: u16, reason: &str, after: Option<u32>) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("the test says {reason}"),
    });
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response =
        (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after));
    }
    response
}

/// An answer whose head comes and whose body does not.
fn broken() -> Response {
    let error = futures::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("lost")) });
    Response::new(Body::from_stream(error))
}
