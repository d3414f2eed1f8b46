//! A host's way to the API server: it may be shut, cut, slow, tampered with.
//!
//! From a service to one that is reached while the way is open: shut, every call and every watch ends at once with an error, as when the
//! server's process is gone; cut, nothing comes of them until they give up, as when packets are lost. Deliberately absent: sockets, which
//! a story's API server has none of.

use super::passage::{Passage, Passages};
use crate::fleet::proxy::{Ask, Asking, Tamper};
use axum::body::Body as Answer;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use kube::client::Body;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt as _};

/// How long either side may be silent, where a client does not say it: kube's own.
const SILENT: Duration = Duration::from_secs(295);

/// What a way is made with.
#[derive(Clone)]
pub(super) struct LinkOptions {
    /// Whether it is open.
    pub(super) is_open: watch::Receiver<bool>,
    /// How things pass.
    pub(super) passages: Passages,
    /// How long either side may be silent.
    pub(super) io_timeout: Option<Duration>,
    /// Who tampers with what passes.
    pub(super) tamper: Option<Arc<Tamper>>,
    /// Whether the token of whoever asks is still somebody's, at the moment at which a request arrives.
    pub(super) is_somebody: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What is read instead of what, in whatever is answered.
    pub(super) reads: Option<(String, String)>,
}

impl LinkOptions {
    /// Nothing but open or shut.
    #[cfg(test)]
    fn of(is_open: watch::Receiver<bool>) -> Self {
        let passages = Passages::new(super::passage::JOINED);
        Self {
            is_open,
            passages,
            io_timeout: None,
            tamper: None,
            is_somebody: Arc::new(|| true),
            reads: None,
        }
    }
}

/// A service behind a way.
#[derive(Clone)]
pub(super) struct Link<S> {
    inner: S,
    options: LinkOptions,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl<S> Link<S> {
    pub(super) fn new(inner: S, options: LinkOptions) -> Self {
        Self { inner, options }
    }
}

fn refused() -> Failure {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

fn silent() -> Failure {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// What a token is answered that is nobody's.
fn unauthorized() -> Response<Answer> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401,
    });
    (StatusCode::UNAUTHORIZED, axum::Json(status)).into_response()
}

/// Comes when the way is shut.
async fn is_shut(is_open: &mut watch::Receiver<bool>) {
    // Whoever held the other end is gone with the story.
    let _ = is_open.wait_for(|is_open| !*is_open).await;
}

impl LinkOptions {
    /// Whether the way is open; it is not when nobody holds its other end any more.
    fn passes(&self) -> Result<(), Failure> {
        if *self.is_open.borrow() && self.is_open.has_changed().is_ok() { Ok(()) } else { Err(refused()) }
    }

    /// What comes over the way, later by its delay, or that nothing came in time.
    async fn over<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Failure> {
        let within = self.io_timeout.unwrap_or(SILENT);
        let passages = self.passages.clone();
        let late = async {
            let came = what.await;
            let Passage { delay, .. } = passages.joined().await;
            if !delay.is_zero() {
                sleep(delay).await;
            }
            came
        };
        tokio::select! {
            biased;
            () = is_shut(&mut self.is_open) => Err(refused()),
            came = timeout(within, late) => came.map_err(|_| silent()),
        }
    }

    fn translate(&self, piece: axum::body::Bytes) -> axum::body::Bytes {
        let Some((of, by)) = &self.reads else { return piece };
        match std::str::from_utf8(&piece) {
            Ok(text) if text.contains(of.as_str()) => text.replace(of.as_str(), by).into(),
            _ => piece,
        }
    }
}

impl<S> Service<Request<Body>> for Link<S>
where
    S: Service<Request<Body>, Response = Response<Answer>> + Clone + Send + Sync + 'static,
    S::Error: Into<Failure> + Send,
    S::Future: Send,
{
    type Response = Response<Answer>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, mut options) = (self.inner.clone(), self.options.clone());
        Box::pin(async move {
            options.passes()?;
            let there = options.passages.clone();
            let (tamper, is_somebody) = (options.tamper.clone(), Arc::clone(&options.is_somebody));
            let asked = async move {
                there.joined().await;
                match tamper {
                    _ if !is_somebody() => Ok(unauthorized()),
                    Some(tamper) => tampered(&tamper, inner, request).await,
                    None => inner.oneshot(request).await.map_err(Into::into),
                }
            };
            let response = options.over(asked).await??;
            options.passes()?;
            let (head, body) = response.into_parts();
            let body = body.into_data_stream();
            let body = stream::unfold((body, Some(options)), |(mut body, options)| async move {
                let mut options = options?;
                match options.over(body.next()).await {
                    Err(failure) => Some((Err(failure), (body, None))),
                    Ok(piece) => {
                        let piece = piece?.map(|piece| options.translate(piece)).map_err(Failure::from);
                        Some((piece, (body, Some(options))))
                    }
                }
            });
            Ok(Response::from_parts(head, Answer::from_stream(body)))
        })
    }
}

/// What comes of a request that somebody tampers with.
async fn tampered<S>(tamper: &Tamper, inner: S, request: Request<Body>) -> Result<Response<Answer>, Failure>
where
    S: Service<Request<Body>, Response = Response<Answer>> + Clone + Send + Sync + 'static,
    S::Error: Into<Failure> + Send,
    S::Future: Send,
{
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let ask: Ask = Arc::new(move |asking: Asking| {
        let inner = inner.clone();
        async move {
            let answer = inner.oneshot(asking.map(Body::from)).await.map_err(Into::<Failure>::into);
            answer.unwrap_or_else(|failure| (StatusCode::BAD_GATEWAY, failure.to_string()).into_response())
        }
        .boxed()
    });
    Ok(tamper.pass(Asking::from_parts(parts, body.to_vec()), ask).await)
}

#[cfg(test)]
mod tests {
    use super::super::passage::JOINED;
    use super::*;

    async fn asked(
        link: &Link<
            impl Service<Request<Body>, Response = Response<Answer>, Error = Failure, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        >,
    ) -> Result<String, Failure> {
        let answer = link.clone().oneshot(Request::new(Body::empty())).await?;
        Ok(String::from_utf8(axum::body::to_bytes(answer.into_body(), 100).await?.to_vec())?)
    }

    #[tokio::test]
    async fn what_asks_passes_while_the_way_is_open() {
        let (turn, way) = watch::channel(true);
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, Failure>(Response::new(Answer::from("yes"))));
        let link = Link::new(inner, LinkOptions::of(way));
        assert_eq!(asked(&link).await.unwrap(), "yes");
        turn.send_replace(false);
        assert!(asked(&link).await.is_err());
        turn.send_replace(true);
        assert_eq!(asked(&link).await.unwrap(), "yes");
        drop(turn);
        assert!(asked(&link).await.is_err());
    }

    #[tokio::test]
    async fn a_token_that_is_nobodys_is_answered_401() {
        let (_turn, way) = watch::channel(true);
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, Failure>(Response::new(Answer::from("yes"))));
        let link = Link::new(inner, LinkOptions { is_somebody: Arc::new(|| false), ..LinkOptions::of(way) });
        let answer = link.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn a_watch_ends_when_its_way_is_shut() {
        let (turn, way) = watch::channel(true);
        let inner = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, Failure>(Response::new(Answer::from_stream(stream::pending::<Result<String, Failure>>())))
        });
        let link = Link::new(inner, LinkOptions::of(way));
        let mut waits = Box::pin(asked(&link));
        assert!(waits.as_mut().now_or_never().is_none());
        turn.send_replace(false);
        assert!(waits.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_way_that_is_cut_nothing_comes_until_it_is_joined_or_the_time_is_over() {
        let (_turn, way) = watch::channel(true);
        let passages = Passages::new(Passage { is_joined: false, ..JOINED });
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, Failure>(Response::new(Answer::from("yes"))));
        let options = LinkOptions {
            passages: passages.clone(),
            io_timeout: Some(Duration::from_secs(5)),
            reads: Some(("yes".to_owned(), "no".to_owned())),
            ..LinkOptions::of(way)
        };
        let link = Link::new(inner, options);
        let begun = tokio::time::Instant::now();
        assert!(asked(&link).await.is_err());
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        let mut waits = Box::pin(asked(&link));
        assert!(waits.as_mut().now_or_never().is_none());
        passages.set(JOINED);
        assert_eq!(waits.await.unwrap(), "no");
    }
}
