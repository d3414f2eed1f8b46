//! Bodies of calls: read after the caller was let in, so many at a time, each of a bounded size within a bounded time.
//!
//! From a body and whose it is to its bytes. Most bodies arrive with their heads: they need no place, so that callers who keep all
//! places with bodies that do not come hold up none of them. What is left of the body of a call that was turned away is let go by, kept
//! nowhere, for a moment: a connection that is closed on it may lose the answer. Deliberately absent: who may call.

use axum::body::{Body, Bytes, to_bytes};
use futures::{StreamExt, future};
use shard_serve::Shares;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The longest body, in bytes.
const LONGEST: usize = 64 * 1_024;
/// How long a body may take, and how long it may wait for its place.
const TIME: Duration = Duration::from_secs(10);
/// Bodies that are read at a time: 512 of 64 KiB are 32 MiB, twice that while their pieces are put together, of the chart's
/// 512 MiB.
const PLACES: usize = 512;
/// And of one pod, which has a few calls under way.
const OF_A_POD: usize = 32;
/// A body that is whole by then needs no place.
const AT_ONCE: Duration = Duration::from_millis(50);
/// How long what is left of a body is let go by.
const GOING_BY: Duration = Duration::from_secs(1);

/// Why there is no body.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// All of the pod's places are taken.
    #[error("the body: {OF_A_POD} others of this pod are under way; ask again")]
    TooMany,
    /// All places were taken for too long.
    #[error("the body: too many others are under way; ask again")]
    Crowded,
    /// The connection ended, or the body is too long.
    #[error("the body: cut off, or above {LONGEST} bytes")]
    Cut,
    /// The caller is too slow.
    #[error("the body: not there after {} s", TIME.as_secs())]
    Late,
}

/// Reads bodies.
#[derive(Debug)]
pub struct Bodies {
    places: Semaphore,
    shares: Shares<String>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self::new(PLACES, OF_A_POD)
    }
}

impl Bodies {
    fn new(places: usize, of_a_pod: usize) -> Self {
        Self { places: Semaphore::new(places), shares: Shares::new(of_a_pod) }
    }

    /// The whole body of a call of the pod with this UID.
    ///
    /// # Errors
    /// [`Error`] says what was wrong.
    pub async fn whole(&self, uid: &str, body: Body) -> Result<Bytes, Error> {
        let _share = self.shares.take(uid.to_owned()).ok_or(Error::TooMany)?;
        let mut whole = pin!(to_bytes(body, LONGEST));
        if let Ok(whole) = timeout(AT_ONCE, &mut whole).await {
            return whole.map_err(|_| Error::Cut);
        }
        // Never closed.
        let _place = timeout(TIME, self.places.acquire()).await.map_err(|_| Error::Crowded)?;
        timeout(TIME, whole).await.map_err(|_| Error::Late)?.map_err(|_| Error::Cut)
    }
}

/// Lets the body of a call that was turned away go by.
pub async fn let_go(body: Body) {
    let mut left = LONGEST;
    let pieces = body.into_data_stream().take_while(|piece| {
        left = piece.as_ref().map_or(0, |piece| left.saturating_sub(piece.len()));
        future::ready(left > 0)
    });
    // Whether it ended is the same.
    let _ = timeout(GOING_BY, pieces.for_each(|_| future::ready(()))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;
    use tokio::time::sleep;

    fn endless() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
    }

    /// Comes some time after its head.
    fn slow() -> Body {
        Body::from_stream(stream::once(async {
            sleep(2 * AT_ONCE).await;
            Ok::<_, Infallible>(Bytes::from_static(b"{}"))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_has_its_share_of_places_and_beyond_all_of_them_bodies_wait() {
        let bodies = Bodies::new(3, 2);
        let held = future::join3(
            bodies.whole("a", endless()),
            bodies.whole("a", endless()),
            bodies.whole("b", endless()),
        );
        let others = async {
            assert_eq!(bodies.whole("a", Body::from("{}")).await, Err(Error::TooMany));
            sleep(TIME / 2).await;
            assert_eq!(bodies.whole("d", Body::from("{}")).await.unwrap(), "{}", "it needs no place");
            bodies.whole("c", slow()).await
        };
        let (held, other) = future::join(held, others).await;
        assert_eq!(held, (Err(Error::Late), Err(Error::Late), Err(Error::Late)));
        assert_eq!(other.unwrap(), "{}", "it waited for its place");
        assert_eq!(bodies.whole("a", Body::from("{}")).await.unwrap(), "{}");
        let long = "a".repeat(LONGEST + 1);
        assert_eq!(bodies.whole("a", long.into()).await, Err(Error::Cut));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_too_long_is_told_so() {
        let bodies = Bodies::new(1, 1);
        let after = async |wait, uid, body| {
            sleep(wait).await;
            bodies.whole(uid, body).await
        };
        let all = future::join3(
            after(Duration::ZERO, "a", endless()),
            after(TIME / 4, "b", endless()),
            after(TIME / 2, "c", slow()),
        );
        assert_eq!(all.await, (Err(Error::Late), Err(Error::Late), Err(Error::Crowded)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_of_who_is_turned_away_is_not_waited_for() {
        let begun = tokio::time::Instant::now();
        let_go(endless()).await;
        let_go(Body::from_stream(stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[0; 1_024]))))).await;
        assert!(begun.elapsed() < 2 * GOING_BY);
    }
}
