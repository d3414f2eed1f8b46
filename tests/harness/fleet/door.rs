//! A door: an address that hands connections on to another, until it is shut.
//!
//! For what fleets reach by an address of its own: the gate's Service, and the API server of one fleet among many. Shut, it
//! ends what it handed on and takes nothing new, as a server does whose process is gone. Deliberately absent: any look at
//! what passes; the loop level's proxy does that.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An address that may be shut.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    /// Opens one at this address, to wherever `pick` says at each connection; nowhere: it is ended.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn open(
        address: SocketAddr,
        pick: impl Fn() -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen at {address}"))?;
        let (is_open, seen) = watch::channel(true);
        let task = tokio::spawn(serve(listener, pick, seen));
        Ok(Self { address, is_open, task })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shuts it, or opens it again.
    pub fn set(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it handed on ends with it.
async fn serve(
    listener: TcpListener,
    pick: impl Fn() -> Option<SocketAddr> + Send + Sync,
    is_open: watch::Receiver<bool>,
) {
    let mut passing = tokio::task::JoinSet::new();
    let mut turned = is_open.clone();
    loop {
        tokio::select! {
            biased;
            Ok((from, _)) = listener.accept() => {
                let to = if *is_open.borrow() { pick() } else { None };
                if let Some(to) = to {
                    passing.spawn(pass(from, to));
                }
            }
            Some(_) = passing.join_next() => {}
            Ok(()) = turned.changed() => {
                if !*turned.borrow_and_update() {
                    passing.abort_all();
                }
            }
            else => return,
        }
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr) {
    if let Ok(mut to) = TcpStream::connect(to).await {
        // Small messages must not wait for each other; a door that is slower than a wire would be a fault by itself.
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        // Either side may end it.
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_door_that_is_shut_ends_what_passes_and_lets_nobody_in_until_it_opens() {
        let echo = TcpListener::bind(ANY).await.unwrap();
        let to = echo.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let free = TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
        let door = Door::open(free, move || Some(to)).await.unwrap();
        let mut byte = [0; 1];
        let mut stream = TcpStream::connect(free).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        door.set(false);
        assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0);
        let mut stream = TcpStream::connect(free).await.unwrap();
        assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0);
        door.set(true);
        let mut stream = TcpStream::connect(free).await.unwrap();
        stream.write_all(b"b").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"b");
    }
}
