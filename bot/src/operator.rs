//! Calls to the operator: JSON over plain HTTP, with the pod's projected service-account token.
//!
//! From a path and a body to the answer or the reason why there is none; for [`crate::gate`] and [`crate::report`]. The
//! address is read from the layouts document at each call and the bearer from its file, since both may be replaced
//! under a running pod. Deliberately absent: trying again, which each caller does its own way.

use std::{io, path::PathBuf, time::Duration};

use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use shard_contract::{identify::Refusal, layouts::Layouts};
use tokio::sync::watch;

/// How long the TCP connection to the operator may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where and how to call the operator. Clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    http: Client,
    layouts: watch::Receiver<Layouts>,
    bearer: PathBuf,
}

/// A call had no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the layouts document names no gate address")]
    NoAddress,
    #[error("could not read {}, which proves to the gate which pod is asking", path.display())]
    Bearer { path: PathBuf, source: io::Error },
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("refused with {status}: {reason}")]
    Refused { status: StatusCode, reason: String },
    #[error("could not read the answer")]
    Garbled(#[source] reqwest::Error),
}

impl Operator {
    pub(crate) fn new(layouts: watch::Receiver<Layouts>, bearer: PathBuf) -> Result<Self, reqwest::Error> {
        let http = Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
        Ok(Self { http, layouts, bearer })
    }

    /// Posts `body` and returns the successful answer.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let base = self.layouts.borrow().gate.url.trim_end_matches('/').to_owned();
        if base.is_empty() {
            return Err(CallError::NoAddress);
        }
        let bearer = std::fs::read_to_string(&self.bearer)
            .map_err(|source| CallError::Bearer { path: self.bearer.clone(), source })?;
        let request = self.http.post(base + path).bearer_auth(bearer.trim()).timeout(timeout).json(body);
        let response = request.send().await.map_err(CallError::NoAnswer)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let reason = match response.json::<Refusal>().await {
            Ok(refusal) => refusal.error,
            Err(_) => "(no reason given)".to_owned(),
        };
        Err(CallError::Refused { status, reason })
    }
}
