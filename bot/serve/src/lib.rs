//! Accepting: TCP connections in, each served as HTTP/1.1 until it ends.
//!
//! From a listener to a router. What an unrecognised caller can hold is bounded: who has not sent a whole request head after a while is
//! dropped, and so is who does not read the answers; beyond so many connections the rest wait to be accepted, no address and no caller has
//! more than its part of them, and those whose caller is unknown have a small room of their own ([`ConnectionLimits`]); a server never has more of them than its share of the
//! files that the process may have open ([`raise_file_limit`]), so that what the process itself must open is never kept from it.
//! `axum::serve` has none of these limits. Calls under way are
//! not waited for at the end: their callers ask again, and the gate's next leader answers. Both the operator's servers and a pod's
//! health pages are served by this. Deliberately absent: TLS and HTTP/2, and what is answered.

mod connections;
mod files;
mod listen;
mod shares;

use axum::Router;
use axum::extract::Request;
use connections::Connections;
pub use connections::{Connection, Stay};
pub use files::raise_file_limit;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
pub use listen::listen;
pub use shares::{Share, Shares};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a request's head may take; also how long a connection may wait for its next request: two report times.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long an answer may wait for the caller to read.
const READ_TIME: Duration = Duration::from_secs(10);
/// The longest head, and what is read ahead of a body: the least that hyper takes. A token has some 1 to 2 KiB.
const HEAD_LIMIT: usize = 8 * 1_024;
/// How long to wait where no connection can be accepted, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// From everybody.
    pub total: usize,
    /// Of them, those whose caller is not known: each may hold a head that never ends, some 13 KiB. The oldest makes way for a
    /// newcomer, and one address has at most a quarter of them.
    pub unrecognised: usize,
    /// From one address, which many callers may share: the pods of a node, or what stands before the server. Never more than
    /// half of what there is.
    pub per_address: usize,
    /// Of one caller that is known.
    pub per_caller: usize,
}

/// Serves at most so many connections at a time, and at most its share of open files, until it is told to stop. Each request has its
/// [`Connection`] among its extensions.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, stop: CancellationToken) {
    let total = limits.total.min(files::share());
    if total < limits.total {
        tracing::info!(
            total,
            most = limits.total,
            "fewer connections than could be served, for want of open files"
        );
    }
    let connections = Connections::new(ConnectionLimits { total, ..limits });
    // Dropped at the end, and with it every connection.
    let mut served = JoinSet::new();
    loop {
        let accepted = async {
            let free = connections.free().await;
            (listener.accept().await, free)
        };
        let (accepted, free) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(_) = served.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, caller)) => {
                let Some(connection) = connections.take(free, caller.ip().to_canonical()) else {
                    tracing::debug!(%caller, "a connection was closed: its address has as many as it may");
                    continue;
                };
                let router = router.clone();
                served.spawn(async move {
                    tokio::select! {
                        biased;
                        () = one(stream, router, connection.clone()) => {}
                        () = connection.ended() => {
                            tracing::debug!(%caller, "a connection made way: nobody knew whose it was");
                        }
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn one(stream: TcpStream, router: Router, connection: Connection) {
    // Without this, an answer may wait for the caller's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_LIMIT);
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(connection.clone());
        request
    });
    let service = TowerToHyperService::new(service);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(READ_TIME));
    if let Err(error) = builder.serve_connection(TokioIo::new(Box::pin(stream)), service).await {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Extension;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const WHOLE: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    const KNOWN: &str = "GET /known HTTP/1.1\r\nHost: here\r\n\r\n";

    async fn begin(most: usize) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route(
                "/known",
                get(async |Extension(of): Extension<Connection>| of.recognise("known").to_string()),
            )
            .route("/long", get(async || vec![b'.'; 64 << 20]));
        let most = ConnectionLimits { total: most, unrecognised: most, per_address: most, per_caller: most };
        tokio::spawn(serve(listener, router, most, stop.clone()));
        (address, stop)
    }

    async fn client(address: SocketAddr, sent: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        client
    }

    async fn heard(mut client: TcpStream) -> String {
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        heard
    }

    // Time is not real here: it jumps to the next deadline whenever nothing else is to be done.
    #[tokio::test(start_paused = true)]
    async fn who_never_ends_a_requests_head_or_never_sends_another_is_dropped() {
        let (address, _stop) = begin(8).await;
        let slow = heard(client(address, "GET / HTTP/1.1\r\nX-Slow: a").await).await;
        assert!(!slow.contains("hello"), "{slow}");
        let idle = heard(client(address, WHOLE).await).await;
        assert!(idle.ends_with("hello"), "{idle}");
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_others_wait_until_a_connection_ends() {
        let (address, _stop) = begin(1).await;
        let first = client(address, "GET").await;
        let second = tokio::spawn(heard(client(address, WHOLE).await));
        tokio::time::sleep(HEAD_TIME / 2).await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().ends_with("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_the_answer_is_dropped() {
        let (address, _stop) = begin(1).await;
        let mut silent = client(address, "GET /long HTTP/1.1\r\nHost: here\r\n\r\n").await;
        let answered = heard(client(address, WHOLE).await).await;
        assert!(answered.ends_with("hello"), "the only place is free again: {answered}");
        let mut got = Vec::new();
        _ = silent.read_to_end(&mut got).await;
        assert!(got.len() < 64 << 20);
    }

    #[tokio::test]
    async fn heads_that_never_end_make_way_for_whole_ones() {
        let (address, _stop) = begin(8).await;
        let mut heads = Vec::new();
        for _ in 0..20 {
            heads.push(client(address, "GET / HTTP/1.1\r\nX-Slow: a").await);
            let whole =
                heard(client(address, "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await);
            assert!(whole.await.ends_with("hello"));
        }
        let ended = heard(heads.swap_remove(0)).await;
        assert_eq!(ended, "");
    }

    #[tokio::test]
    async fn one_address_leaves_room_for_others() {
        let (address, _stop) = begin(4).await;
        let mut known = Vec::new();
        for _ in 0..2 {
            let mut client = client(address, KNOWN).await;
            let mut answer = [0; 15];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            known.push(client);
        }
        let third = heard(client(address, "").await);
        let closed = tokio::time::timeout(HEAD_TIME / 2, third).await;
        assert_eq!(closed.unwrap(), "", "a third of the same address is closed at once");
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = other.connect(address).await.unwrap();
        other.write_all(WHOLE.as_bytes()).await.unwrap();
        let mut answer = [0; 15];
        other.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn at_the_end_every_connection_ends() {
        let (address, stop) = begin(8).await;
        let mut client = client(address, WHOLE).await;
        let mut answer = vec![0; 17];
        client.read_exact(&mut answer).await.unwrap();
        stop.cancel();
        // Whatever else there is to be heard, it ends.
        heard(client).await;
    }
}
