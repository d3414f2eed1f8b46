//! A small API server on loopback: one Secret of records and the layouts document, with what may go wrong on the way.
//!
//! From GET and JSON patch to what the real one would answer, as far as [`super`] needs it. Deliberately absent: anything else.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use shard_contract::{layouts::Layouts, names, record::Record};
use tokio::net::TcpListener;

/// What is to happen to the next patch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It is made, and the answer is lost.
    AnswerLost,
    /// It is not made, and the answer says nothing.
    Lost,
}

/// The API server's one Secret.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) secret: Option<Value>,
    pub(super) version: u64,
    /// What it answers while it is away.
    pub(super) away: Option<StatusCode>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) patches: usize,
    pub(super) document: Layouts,
}

pub(super) type Shared = Arc<Mutex<Server>>;

fn status(code: StatusCode) -> Response {
    let body = json!({ "kind": "Status", "status": "Failure", "code": code.as_u16(), "message": "as planned", "reason": "" });
    (code, Json(body)).into_response()
}

async fn read(State(server): State<Shared>) -> Response {
    let server = server.lock().unwrap();
    match (server.away, &server.secret) {
        (Some(code), _) => status(code),
        (None, Some(secret)) => Json(secret.clone()).into_response(),
        (None, None) => status(StatusCode::NOT_FOUND),
    }
}

async fn read_document(State(server): State<Shared>) -> Response {
    let document = serde_json::to_string(&server.lock().unwrap().document).unwrap();
    let metadata = json!({ "name": "b-layouts", "namespace": "n" });
    Json(json!({ "metadata": metadata, "data": { "layouts.json": document } })).into_response()
}

async fn patch(State(server): State<Shared>, body: Bytes) -> Response {
    let mut server = server.lock().unwrap();
    if let Some(code) = server.away {
        return status(code);
    }
    let Some(mut secret) = server.secret.clone() else { return status(StatusCode::NOT_FOUND) };
    server.patches += 1;
    let fault = server.faults.pop_front();
    if matches!(fault, Some(Fault::Lost)) {
        return status(StatusCode::GATEWAY_TIMEOUT);
    }
    for operation in serde_json::from_slice::<Vec<Value>>(&body).unwrap() {
        let path = operation["path"].as_str().unwrap();
        match operation["op"].as_str().unwrap() {
            "test" if secret.pointer(path) == Some(&operation["value"]) => {}
            "add" => {
                let (parent, key) = path.rsplit_once('/').unwrap();
                secret.pointer_mut(parent).unwrap()[key] = operation["value"].clone();
            }
            _ => return status(StatusCode::UNPROCESSABLE_ENTITY),
        }
    }
    server.put(secret);
    match fault {
        Some(Fault::AnswerLost) => status(StatusCode::GATEWAY_TIMEOUT),
        _ => Json(server.secret.clone()).into_response(),
    }
}

impl Server {
    pub(super) fn put(&mut self, mut secret: Value) {
        self.version += 1;
        secret["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.secret = Some(secret);
    }

    pub(super) fn set(&mut self, shard: u32, record: &Record) {
        let mut secret = self.secret.clone().unwrap();
        secret["data"][names::record_key(0, shard)] = json!(ByteString(serde_json::to_vec(record).unwrap()));
        self.put(secret);
    }

    pub(super) fn record(&self, shard: u32) -> Record {
        let value = self.secret.as_ref().unwrap()["data"][names::record_key(0, shard)].clone();
        let bytes: ByteString = serde_json::from_value(value).unwrap();
        serde_json::from_slice(&bytes.0).unwrap()
    }
}

/// Serves it; a client of it.
pub(super) async fn client_of(server: Shared) -> kube::Client {
    let pages = Router::new()
        .route("/api/v1/namespaces/n/secrets/b-sessions-0", get(read).patch(patch))
        .route("/api/v1/namespaces/n/configmaps/b-layouts", get(read_document))
        .with_state(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let mut config = kube::Config::new(url);
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}
