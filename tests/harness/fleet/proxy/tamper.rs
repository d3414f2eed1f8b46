//! Answers, delays, losses and cuts, as a test says, between whoever asks the API server and the API server.
//!
//! From a request to its answer: each [`Fault`] says which requests it hits, how often and how; what is hit by none is handed on,
//! watches as they stream. It counts what was asked, so that a test can say that nothing loops hot. Deliberately absent: sockets (the
//! [proxy](super::Proxy) has them) and the API server's semantics, which are the server's own.

use super::hits::Hits;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A request with its whole body.
pub type Asking = axum::http::Request<Vec<u8>>;
/// Hands a request on.
pub(crate) type Ask = Arc<dyn Fn(Asking) -> BoxFuture<'static, Response> + Send + Sync>;

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

/// Tampers with what passes it.
#[derive(Default)]
pub struct Tamper {
    faults: Mutex<Vec<Fault>>,
    asked: AtomicU64,
    kept: Mutex<Vec<(Asking, Ask)>>,
    /// Ends every answer that streams.
    cuts: watch::Sender<u64>,
}

impl fmt::Debug for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tamper")
            .field("faults", &self.faults)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Tamper {
    /// From now on, this goes wrong.
    pub fn add(&self, fault: Fault) {
        self.faults().push(fault);
    }

    /// Nothing goes wrong any more; what hangs stays so until its caller gives up.
    pub fn clear(&self) {
        self.faults().clear();
    }

    /// Whether there are faults that can still hit something.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.faults().iter().all(|fault| fault.count == 0)
    }

    /// Ends every answer that is on its way now, watches above all.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many requests are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.waiting().len()
    }

    /// Hands on what was kept, in its order; the statuses that came of it.
    pub async fn release(&self) -> Vec<u16> {
        let kept = std::mem::take(&mut *self.waiting());
        let mut statuses = Vec::new();
        for (asking, ask) in kept {
            statuses.push(ask(asking).await.status().as_u16());
        }
        statuses
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What becomes of a request, which `ask` hands on.
    pub(crate) async fn pass(&self, asking: Asking, ask: Ask) -> Response {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let how = self.fault(&asking);
        match how {
            Some(How::Answer(code, reason, after)) => return refusal(code, reason, after),
            Some(How::Hang) => std::future::pending::<()>().await,
            Some(How::Keep) => {
                self.waiting().push((asking, ask));
                return std::future::pending().await;
            }
            Some(How::Slow(time)) => tokio::time::sleep(time).await,
            Some(How::Twice) => drop(ask(asking.clone()).await),
            _ => {}
        }
        let response = ask(asking).await;
        match how {
            Some(How::Lose) => return broken(),
            Some(How::Deny(code, reason)) => return refusal(code, reason, None),
            Some(How::Cut(time)) => return until(response, tokio::time::sleep(time)),
            _ => {}
        }
        let mut cuts = self.cuts.subscribe();
        until(response, async move {
            // The sender lives as long as whoever could cut.
            let _ = cuts.changed().await;
        })
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Asking, Ask)>> {
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
