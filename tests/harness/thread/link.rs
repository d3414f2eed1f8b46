//! A host's way to the API server, which may be shut for a while.
//!
//! From a service to one that is reached while the way is open: shut, every call and every watch ends at once with an error, as when the
//! server's process is gone. Deliberately absent: delays, and packets that are dropped without a word.

use axum::body::Body as Answer;
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use kube::client::Body;
use std::io;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tower::{Service, ServiceExt as _};

/// A service behind a way.
#[derive(Clone, Debug)]
pub(super) struct Link<S> {
    inner: S,
    way: watch::Receiver<bool>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl<S> Link<S> {
    pub(super) fn new(inner: S, way: watch::Receiver<bool>) -> Self {
        Self { inner, way }
    }
}

fn refused() -> Failure {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

/// Whether the way is open; it is not when nobody holds its other end any more.
fn passes(way: &watch::Receiver<bool>) -> Result<(), Failure> {
    if *way.borrow() && way.has_changed().is_ok() { Ok(()) } else { Err(refused()) }
}

/// Comes when the way is shut.
async fn is_shut(way: &mut watch::Receiver<bool>) {
    // Whoever held the other end is gone with the story.
    let _ = way.wait_for(|is_open| !*is_open).await;
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
        let (inner, way) = (self.inner.clone(), self.way.clone());
        Box::pin(async move {
            passes(&way)?;
            let response = inner.oneshot(request).await.map_err(Into::into)?;
            passes(&way)?;
            let (head, body) = response.into_parts();
            let body = stream::unfold((body.into_data_stream(), Some(way)), |(mut body, way)| async move {
                let mut way = way?;
                tokio::select! {
                    biased;
                    () = is_shut(&mut way) => Some((Err(refused()), (body, None))),
                    piece = body.next() => Some((piece?.map_err(Failure::from), (body, Some(way)))),
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
    async fn what_asks_passes_while_the_way_is_open() {
        let (turn, way) = watch::channel(true);
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, Failure>(Response::new(Answer::from("yes"))));
        let link = Link::new(inner, way);
        assert_eq!(asked(&link).await.unwrap(), "yes");
        turn.send_replace(false);
        assert!(asked(&link).await.is_err());
        turn.send_replace(true);
        assert_eq!(asked(&link).await.unwrap(), "yes");
        drop(turn);
        assert!(asked(&link).await.is_err());
    }

    #[tokio::test]
    async fn a_watch_ends_when_its_way_is_shut() {
        let (turn, way) = watch::channel(true);
        let inner = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, Failure>(Response::new(Answer::from_stream(stream::pending::<Result<String, Failure>>())))
        });
        let link = Link::new(inner, way);
        let mut waits = Box::pin(asked(&link));
        assert!(waits.as_mut().now_or_never().is_none());
        turn.send_replace(false);
        assert!(waits.await.is_err());
    }
}
