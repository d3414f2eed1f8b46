//! The server as a tower service, for `kube::Client::new`.
//!
//! From an HTTP request by somebody to the answer, a stream of a watch, a broken connection, or silence. Deliberately absent: HTTP
//! itself; nothing listens.

use crate::address::{Address, Nowhere, Query};
use crate::hooks::Call;
use crate::meta;
use crate::server::{Server, State, Stop};
use crate::status::{Refusal, failure};
use crate::watch;
use crate::write::{self, Asked, Done, outward};
use crate::{delete, list, scale};
use axum::body::{Body as Answer, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use futures::future::BoxFuture;
use kube::client::Body;
use serde_json::{Value, json};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A connection that broke.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Because a test wanted it.
    #[error("the connection was broken")]
    Connection,
    /// The request's body could not be read.
    #[error("the request cannot be read")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The server as one identity calls it.
#[derive(Clone, Debug)]
pub struct Service {
    server: Server,
    user: Arc<str>,
    from: Arc<str>,
}

impl Service {
    pub(crate) fn new(server: Server, user: String) -> Self {
        Self { server, user: user.into(), from: "".into() }
    }

    /// The same, called from a host of this name, which [hooks](crate::Hook) are told.
    #[must_use]
    pub fn from(self, host: &str) -> Self {
        Self { from: host.into(), ..self }
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Answer>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, user, from) = (self.server.clone(), Arc::clone(&self.user), Arc::clone(&self.from));
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.map_err(|error| Broken::Request(error.into()))?;
            let answer = answer(&server, (&user, &from), &head.method, &head.uri, &head.headers, body);
            match answer {
                Ok(response) => Ok(response),
                Err(Stop::Refused(refusal)) => Ok(refused(&refusal)),
                Err(Stop::Broken) => Err(Broken::Connection),
                Err(Stop::Silent) => std::future::pending().await,
            }
        })
    }
}

fn answer(
    server: &Server,
    (user, from): (&str, &str),
    method: &Method,
    uri: &axum::http::Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Answer>, Stop> {
    let header = |name: header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let kinds = Arc::clone(&server.state().kinds);
    let at = match Address::parse(&kinds, uri.path()) {
        Ok(at) => at,
        Err(Nowhere::Resource(refusal)) => return Err(refusal.into()),
        Err(Nowhere::Group) => return Ok(page()),
    };
    let query = Query::parse(uri.query().unwrap_or_default());
    let content = header(header::CONTENT_TYPE);
    let content = content.split(';').next().unwrap_or_default().trim().to_owned();
    let is_partial = header(header::ACCEPT).contains("as=PartialObjectMetadata");
    let verb = verb(method, &at, &query, &content).ok_or_else(|| {
        failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            Some(json!({})),
        )
    })?;
    let call = Call { verb, path: uri.path().to_owned(), user: user.to_owned(), from: from.to_owned() };
    let agent = header(header::USER_AGENT);
    let agent = agent.split('/').next().unwrap_or_default().to_owned();
    let asked = Asked { call, at, query, agent, content, body };
    if verb == "watch" {
        server.state().read(&asked.call)?;
        let watch = watch::watch(server, asked, is_partial)?;
        return Ok(json_response(StatusCode::OK, Answer::from_stream(watch.lines())));
    }
    let is_whole = asked.at.subresource != "scale" && !is_partial;
    if is_whole && matches!(verb, "get" | "list") {
        let text = text(&mut server.state(), &asked)?;
        return Ok(json_response(StatusCode::OK, Answer::from(text)));
    }
    let Done { code, value, warnings } = done(&mut server.state(), &asked)?;
    let value = if is_partial { partial(&value) } else { value };
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    let mut response = json_response(code, Answer::from(serde_json::to_string(&value).unwrap_or_default()));
    for warning in warnings {
        let text = format!("299 - {}", Value::String(warning));
        if let Ok(text) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WARNING, text);
        }
    }
    Ok(response)
}

fn verb(method: &Method, at: &Address, query: &Query, content: &str) -> Option<&'static str> {
    let is_one = !at.name.is_empty();
    Some(match (method.as_str(), is_one) {
        ("GET", false) if query.is("watch") => "watch",
        ("GET", false) => "list",
        ("GET", true) => "get",
        ("POST", false) => "create",
        ("POST", true) if at.subresource == "token" => "create",
        ("PUT", true) if at.subresource != "scale" => "update",
        ("PATCH", true) if content == "application/apply-patch+yaml" => "apply",
        ("PATCH", true) => "patch",
        ("DELETE", _) if at.subresource.is_empty() => "delete",
        _ => return None,
    })
}

fn done(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    let is_scale = asked.at.subresource == "scale";
    match asked.call.verb {
        "get" | "list" => {
            state.read(&asked.call)?;
            match (asked.call.verb, is_scale) {
                ("get", true) => scale::get(state, asked),
                ("get", false) => get(state, asked),
                _ => {
                    let as_of = state.as_of(&asked.call);
                    let value = list::list(state, &asked.at, &asked.query, as_of)?;
                    Ok(Done { code: 200, value, warnings: Vec::new() })
                }
            }
        }
        "create" if asked.at.subresource == "token" => write::request_token(state, asked),
        "create" => write::create(state, asked),
        "update" => write::replace(state, asked),
        "delete" if asked.at.name.is_empty() => delete::delete_all(state, asked),
        "delete" => delete::delete(state, asked),
        _ if is_scale => scale::patch(state, asked),
        _ => write::patch(state, asked),
    }
}

/// What is read, whole, as text: most calls are of this kind, so there is no tree between.
fn text(state: &mut State, asked: &Asked) -> Result<String, Stop> {
    state.read(&asked.call)?;
    if asked.call.verb == "list" {
        let as_of = state.as_of(&asked.call);
        return Ok(list::text(state, &asked.at, &asked.query, as_of)?);
    }
    let object = found(state, asked)?;
    Ok(serde_json::to_string(&outward(&asked.at.kind, &object)).unwrap_or_default())
}

fn get(state: &mut State, asked: &Asked) -> Result<Done, Stop> {
    let object = found(state, asked)?;
    let value = outward(&asked.at.kind, &object).into_owned();
    Ok(Done { code: 200, value, warnings: Vec::new() })
}

fn found(state: &mut State, asked: &Asked) -> Result<Arc<Value>, Stop> {
    let key = asked.key(&asked.at.name);
    let object = match state.as_of(&asked.call) {
        Some(version) => state.store.shelf_at(&key.0, version).remove(&key.1),
        None => state.store.get(&key).cloned(),
    };
    Ok(object.ok_or_else(|| asked.missing())?)
}

/// Only metadata, of an object or of a list's items. A status stays one.
fn partial(value: &Value) -> Value {
    if let Some(items) = value["items"].as_array() {
        let items: Vec<_> = items.iter().map(meta::partial).collect();
        let mut list = json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": value["metadata"],
            "items": items,
        });
        if list["metadata"]["continue"] == "" {
            meta::remove_at(&mut list["metadata"], "continue");
        }
        return list;
    }
    if value["kind"] == "Status" { value.clone() } else { meta::partial(value) }
}

fn refused(refusal: &Refusal) -> Response<Answer> {
    let code = StatusCode::from_u16(refusal.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_response(code, Answer::from(refusal.0.to_string()))
}

fn json_response(code: StatusCode, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What nobody serves.
fn page() -> Response<Answer> {
    let mut response = Response::new(Answer::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
