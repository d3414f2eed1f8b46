//! A proxy before the API server that [tampers](Tamper) with what passes, as a test says.
//!
//! From plain HTTP, which a kubeconfig may name, to the API server as the administrator; for operators and pods that are processes.
//! Deliberately absent: what may go wrong, which serves fleets in one thread as well.

mod hits;
mod tamper;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
pub use hits::Hits;
use kube::Client;
use serde_json::json;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
pub(crate) use tamper::Ask;
pub use tamper::{Asking, Fault, How, Tamper};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The longest body that is handed on.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    tamper: Arc<Tamper>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens at this address.
    ///
    /// # Errors
    /// When it cannot be listened at.
    pub async fn start(client: Client, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen at {address}"))?;
        let tamper = Arc::<Tamper>::default();
        let ask: Ask = Arc::new(move |asking| ask(client.clone(), asking).boxed());
        let router = Router::new().fallback(hand_on).with_state((Arc::clone(&tamper), ask));
        let task = tokio::spawn(async move {
            // It ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, tamper, task })
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
}

impl Deref for Proxy {
    type Target = Tamper;

    fn deref(&self) -> &Tamper {
        &self.tamper
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hand_on(State((tamper, ask)): State<(Arc<Tamper>, Ask)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MOST_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "a body that is no object").into_response();
    };
    tamper.pass(Asking::from_parts(parts, body.to_vec()), ask).await
}

async fn ask(client: Client, asking: Asking) -> Response {
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
