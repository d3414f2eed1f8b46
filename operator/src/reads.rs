//! Answers of the API server as text, bounded in bytes.
//!
//! From a path to what a closure makes of the answer's text. Whoever may write objects decides how long they are, so an answer is
//! never parsed whole into a tree before somebody has looked at its length, and only a few long ones are in memory at a time, over
//! all rounds. Lists come in pages, of which only what the closure keeps stays. Deliberately absent: what is asked for, and writes; what
//! would be made of a write is a question.

use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The longest answer that is read, in bytes: above etcd's usual limit of 1.5 MiB for what is stored, and above the 3 MiB that
/// the API server takes in a request.
pub const LONGEST: usize = 4 << 20;
/// An answer that is longer than this is a long one, in bytes.
const LONG: usize = 256 << 10;
/// Long answers that are in memory at a time.
const LONG_AT_A_TIME: usize = 2;
/// Objects on a page of a list; where they are too long together, an eighth of them.
const PAGE: usize = 64;
/// How long an answer may take, and wait for its room.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest body of a refusal that is read, in bytes.
const REFUSAL: usize = 64 << 10;

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The connection ended in the answer.
    #[error("the API server's answer was cut off")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There was no answer in time.
    #[error("the API server did not answer within {} s", LONGEST_WAIT.as_secs())]
    Late,
    /// The answer is too long.
    #[error("the API server's answer is longer than {LONGEST} bytes")]
    TooLong,
    /// The answer is not what was asked for.
    #[error("the API server's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// Reads.
#[derive(Clone)]
pub struct Reads {
    client: Client,
    long: std::sync::Arc<Semaphore>,
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMeta<'a>,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PageMeta<'a> {
    #[serde(rename = "continue", borrow, default)]
    more: Option<Cow<'a, str>>,
}

impl Reads {
    /// By this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, long: std::sync::Arc::new(Semaphore::new(LONG_AT_A_TIME)) }
    }

    /// What the closure makes of the object at this path; none where there is none.
    ///
    /// # Errors
    /// [`Error`] says what failed. An object that is too long is an error like any other.
    pub async fn get<T>(&self, path: &str, parse: impl FnOnce(&str) -> T) -> Result<Option<T>, Error> {
        match self.in_time(get(path)?, parse).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Api(kube::Error::Api(answer))) if answer.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the closure makes of what the API server would make of this object. The path's query asks for a dry run.
    ///
    /// # Errors
    /// [`Error`] says what failed.
    pub async fn would_make<T>(
        &self,
        path: &str,
        object: &Value,
        parse: impl FnOnce(&str) -> T,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(kube::Error::HttpError)?;
        self.in_time(request, parse).await
    }

    /// What the closure keeps of the objects at this path, which ends with a query.
    ///
    /// # Errors
    /// [`Error`] says what failed.
    pub async fn list<T>(
        &self,
        path: &str,
        mut keep: impl FnMut(&str) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut kept = Vec::new();
        let (mut more, mut limit): (Option<String>, _) = (None, PAGE);
        loop {
            let after = more.as_deref().map_or(String::new(), |more| format!("&continue={}", escaped(more)));
            let asked = format!("{path}&limit={limit}{after}");
            let page = self.in_time(get(&asked)?, |text| {
                let page: Page<'_> = serde_json::from_str(text)?;
                kept.extend(page.items.iter().filter_map(|item| keep(item.get())));
                Ok(page.metadata.more.filter(|more| !more.is_empty()).map(Cow::into_owned))
            });
            more = match page.await {
                Err(Error::TooLong) if limit > 1 => {
                    limit = (limit / 8).max(1);
                    continue;
                }
                page => page?.map_err(Error::Unreadable)?,
            };
            limit = (limit * 2).min(PAGE);
            if more.is_none() {
                return Ok(kept);
            }
        }
    }

    /// A connection that has gone silent must not keep the room of long answers for ever.
    async fn in_time<T>(&self, request: Request<Body>, parse: impl FnOnce(&str) -> T) -> Result<T, Error> {
        tokio::time::timeout(LONGEST_WAIT, self.text(request, parse)).await.map_err(|_| Error::Late)?
    }

    async fn text<T>(&self, request: Request<Body>, parse: impl FnOnce(&str) -> T) -> Result<T, Error> {
        let response = self.client.send(request).await?;
        let status = response.status();
        let longest = if status.is_success() { LONGEST } else { REFUSAL };
        // Held until the text has been parsed.
        let mut room = None;
        let text = self.whole(response.into_body(), longest, &mut room).await;
        if !status.is_success() {
            return Err(refusal(status, &text.unwrap_or_default()).into());
        }
        let text = String::from_utf8(text?).map_err(kube::Error::FromUtf8)?;
        Ok(parse(&text))
    }

    async fn whole<'a>(
        &'a self,
        mut body: Body,
        longest: usize,
        room: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<Vec<u8>, Error> {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| Error::Cut(source.into()))?;
            let Some(piece) = frame.data_ref() else { continue };
            if whole.len() + piece.len() > longest {
                return Err(Error::TooLong);
            }
            if whole.len() + piece.len() > LONG && room.is_none() {
                // Never closed.
                *room = self.long.acquire().await.ok();
            }
            whole.extend_from_slice(piece);
        }
        Ok(whole)
    }
}

fn get(path: &str) -> Result<Request<Body>, Error> {
    Ok(Request::get(path).body(Body::empty()).map_err(kube::Error::HttpError)?)
}

/// The API server's refusal, as kube tells it.
fn refusal(status: StatusCode, text: &[u8]) -> kube::Error {
    let said = serde_json::from_slice::<Status>(text).unwrap_or_else(|_| {
        let text: String = String::from_utf8_lossy(text).trim().chars().take(200).collect();
        Status::failure(&text, "Failed to parse error data")
    });
    // What stands between may answer with less than a whole status.
    kube::Error::Api(said.with_code(status.as_u16()).boxed())
}

/// A value of a query. What the API server gives out as `continue` is base64, of which only these three need it.
fn escaped(value: &str) -> String {
    value.replace('%', "%25").replace('+', "%2B").replace('&', "%26").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Response;
    use futures::StreamExt;
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};

    /// An API server with a list of objects, so long each, and what it was asked.
    fn server(objects: usize, length: usize) -> (Reads, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            seen.lock().unwrap().push(query.clone());
            let of = |name: &str| -> Option<usize> {
                query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            };
            let from = of("continue").unwrap_or_default();
            let until = (from + of("limit").unwrap_or(objects)).min(objects);
            let items: Vec<_> =
                (from..until).map(|number| json!({ "n": number, "x": "x".repeat(length) })).collect();
            let more = if until < objects { until.to_string() } else { String::new() };
            let page = json!({ "metadata": { "continue": more }, "items": items });
            std::future::ready(Ok::<_, kube::Error>(Response::new(Body::from(page.to_string().into_bytes()))))
        });
        (Reads::new(Client::new(service, "bots")), asked)
    }

    async fn numbers(reads: &Reads) -> Result<Vec<u64>, Error> {
        let number = |text: &str| serde_json::from_str::<Value>(text).ok()?["n"].as_u64();
        reads.list("/list?labelSelector=a%3Db", number).await
    }

    #[tokio::test]
    async fn a_list_comes_in_pages() {
        let (reads, asked) = server(150, 10);
        assert_eq!(numbers(&reads).await.unwrap(), (0..150).collect::<Vec<_>>());
        assert_eq!(asked.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn objects_that_are_too_long_together_come_on_smaller_pages() {
        let (reads, asked) = server(10, 1_500_000);
        assert_eq!(numbers(&reads).await.unwrap(), (0..10).collect::<Vec<_>>());
        let asked = asked.lock().unwrap();
        assert!(asked.iter().any(|query| query.contains("limit=1&")), "{asked:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
        let (reads, _) = server(1, LONGEST);
        assert!(matches!(reads.get("/one", str::len).await, Err(Error::TooLong)));
        assert!(matches!(numbers(&reads).await, Err(Error::TooLong)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_stop_half_way_hold_up_no_other_for_ever() {
        let service = tower::service_fn(|request: Request<Body>| {
            let begun = futures::stream::once(async { Ok::<_, std::io::Error>("x".repeat(2 * LONG)) });
            let body = if request.uri().path() == "/stalls" {
                axum::body::Body::from_stream(begun.chain(futures::stream::pending()))
            } else {
                axum::body::Body::from_stream(begun)
            };
            std::future::ready(Ok::<_, kube::Error>(Response::new(body)))
        });
        let reads = Reads::new(Client::new(service, "bots"));
        let stalled = futures::future::join_all((0..LONG_AT_A_TIME).map(|_| reads.get("/stalls", str::len)));
        assert!(stalled.await.iter().all(|read| matches!(read, Err(Error::Late))));
        assert_eq!(reads.get("/whole", str::len).await.unwrap(), Some(2 * LONG));
    }

    #[tokio::test]
    async fn a_refusal_is_told_as_kube_tells_it_and_what_is_not_there_is_none() {
        let refuses = |code: u16, body: &'static str| {
            let service = tower::service_fn(move |_: Request<Body>| {
                let response = Response::builder().status(code).body(Body::from(body.as_bytes().to_vec()));
                std::future::ready(response.map_err(kube::Error::HttpError))
            });
            Reads::new(Client::new(service, "bots"))
        };
        assert!(matches!(refuses(404, "{}").get("/one", str::len).await, Ok(None)));
        let gone =
            r#"{"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410}"#;
        let error = refuses(410, gone).get("/one", str::len).await.unwrap_err();
        assert!(
            matches!(&error, Error::Api(kube::Error::Api(answer)) if answer.reason == "Expired"),
            "{error:?}"
        );
        let html = refuses(502, "<html>bad gateway").get("/one", str::len).await.unwrap_err();
        assert!(matches!(&html, Error::Api(kube::Error::Api(answer)) if answer.code == 502), "{html:?}");
    }
}
