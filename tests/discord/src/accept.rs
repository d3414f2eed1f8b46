//! Accepting: TCP connections in, each served as HTTP/1.1 until it ends or becomes a WebSocket.
//!
//! From: a listener. For: the simulator's router. Who has not sent a whole request head after a while is dropped, so that
//! those who never mean to cannot pile up. Source of the need: `axum::serve` has no such limit. It is no `shard-serve`: there each
//! address has a share of the connections, answers that nobody reads end, and all ends at once; here ten thousand WebSockets come
//! from one address, a client may read as slowly as it likes, the last answers are sent, and the kernel stamps what arrives.
//! Deliberately absent: TLS and HTTP/2, which nobody needs on loopback.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::arrival::Stamped;

/// How long a client may take to send a request's head; also how long a connection may wait for its next request.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long to wait where no connection can be accepted, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is told to stop and the requests under way are answered.
pub async fn accept(listener: TcpListener, router: Router, stamps: bool, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, peer, router.clone(), stamps, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted; if too many files are open, allow more: ulimit -Hn");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stamps: bool, stop: CancellationToken) {
    // Without this, small frames wait for the client's acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let stream = Stamped::new(stream, stamps);
    let (arrival, close_answer) = (stream.arrival(), stream.close_answer());
    // REST counts invalid requests by the peer's address; the gateway goes by when an IDENTIFY came.
    let service =
        TowerToHyperService::new(router.map_request(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(arrival.clone());
            request.extensions_mut().insert(close_answer.clone());
            request
        }));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A client that has sent something, and what it heard until its connection ended.
    async fn heard(sent: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(async || "hello"));
        let server = tokio::spawn(accept(listener, router, true, stop.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        stop.cancel();
        server.await.unwrap();
        heard
    }

    // Time is not real here: it jumps to the next deadline whenever nothing else is to be done.
    #[tokio::test(start_paused = true)]
    async fn who_never_ends_a_requests_head_is_dropped() {
        let heard = heard("GET / HTTP/1.1\r\nHost: here\r\nX-Slow: a").await;
        assert!(!heard.contains("hello"), "{heard}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_for_its_next_request_is_dropped_after_the_answer() {
        let heard = heard("GET / HTTP/1.1\r\nHost: here\r\n\r\n").await;
        assert!(heard.ends_with("hello"), "{heard}");
    }
}
