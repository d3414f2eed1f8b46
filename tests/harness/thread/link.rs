//! A host's way to the API server, which may be refused or silent for a while.
//!
//! From a service to one that a [`Way`] stands before: refused, every call and every watch ends at once with an error, as when the server's
//! process is gone; silent, nothing comes until the way is open again, as when packets are dropped. Deliberately absent: delays.

use axum::body::Body as Answer;
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use kube::client::Body;
use std::io;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tower::{Service, ServiceExt as _};

/// How a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Everything passes.
    Open,
    /// Whoever asks is refused.
    Refused,
    /// Nothing passes.
    Silent,
}

/// A service behind a way.
#[derive(Clone, Debug)]
pub(super) struct Link<S> {
    inner: S,
    way: watch::Receiver<Way>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl<S> Link<S> {
    pub(super) fn new(inner: S, way: watch::Receiver<Way>) -> Self {
        Self { inner, way }
    }
}

fn refused() -> Failure {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

/// Waits while the way is silent; an error where it is refused, or nobody holds its other end any more.
async fn passes(way: &mut watch::Receiver<Way>) -> Result<(), Failure> {
    match way.wait_for(|way| *way != Way::Silent).await.as_deref() {
        Ok(Way::Open) => Ok(()),
        _ => Err(refused()),
    }
}

/// Comes when the way is refused.
async fn is_refused(way: &mut watch::Receiver<Way>) {
    // Whoever held the other end is gone with the story.
    let _ = way.wait_for(|way| *way == Way::Refused).await;
}

impl<S> Service<Request<Body>> for Link<S>
where
    S: Service<Request<Body>, Response = Response<Answer>> + Clone + Send + 'static,
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
        let (inner, mut way) = (self.inner.clone(), self.way.clone());
        Box::pin(async move {
            passes(&mut way).await?;
            let response = inner.oneshot(request).await.map_err(Into::into)?;
            passes(&mut way).await?;
            let (head, body) = response.into_parts();
            let body = stream::unfold((body.into_data_stream(), Some(way)), |(mut body, way)| async move {
                let mut way = way?;
                let mut turned = way.clone();
                let piece = tokio::select! {
                    biased;
                    () = is_refused(&mut turned) => return Some((Err(refused()), (body, None))),
                    piece = body.next() => piece?,
                };
                match passes(&mut way).await {
                    Ok(()) => Some((piece.map_err(Failure::from), (body, Some(way)))),
                    Err(error) => Some((Err(error), (body, None))),
                }
            });
            Ok(Response::from_parts(head, Answer::from_stream(body)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    async fn asked(
        link: &Link<
            impl Service<Request<Body>, Response = Response<Answer>, Error = Failure, Future: Send>
            + Clone
            + Send
            + 'static,
        >,
    ) -> Result<String, Failure> {
        let answer = link.clone().oneshot(Request::new(Body::empty())).await?;
        Ok(String::from_utf8(axum::body::to_bytes(answer.into_body(), 100).await?.to_vec())?)
    }

    #[tokio::test]
    async fn a_way_passes_is_refused_or_is_silent() {
        let (turn, way) = watch::channel(Way::Open);
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, Failure>(Response::new(Answer::from("yes"))));
        let link = Link::new(inner, way);
        assert_eq!(asked(&link).await.unwrap(), "yes");
        turn.send_replace(Way::Refused);
        assert!(asked(&link).await.is_err());
        turn.send_replace(Way::Silent);
        let mut waits = Box::pin(asked(&link));
        assert!(waits.as_mut().now_or_never().is_none());
        turn.send_replace(Way::Open);
        assert_eq!(waits.await.unwrap(), "yes");
    }

    #[tokio::test]
    async fn a_watch_ends_when_its_way_is_refused() {
        let (turn, way) = watch::channel(Way::Open);
        let inner = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, Failure>(Response::new(Answer::from_stream(stream::pending::<Result<String, Failure>>())))
        });
        let link = Link::new(inner, way);
        let mut waits = Box::pin(asked(&link));
        assert!(waits.as_mut().now_or_never().is_none());
        turn.send_replace(Way::Refused);
        assert!(waits.await.is_err());
    }
}
