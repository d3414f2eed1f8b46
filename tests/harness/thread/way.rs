//! A way from one host to another: whatever passes it waits for as long as it is cut, as packets do that are sent again and again.
//!
//! From an address of its own to another host's, port for port. Cut, it takes new connections and nothing comes of them; what was sent
//! arrives when it is joined again, in its order. Deliberately absent: a refusal, which a [door](crate::fleet::door) says.

use super::passage::{Passage, Passages};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Bytes that are on their way at a time.
const PIECE: usize = 16 * 1024;

/// A way.
#[derive(Debug)]
pub(super) struct Way {
    passages: Passages,
    tasks: Vec<JoinHandle<()>>,
}

impl Way {
    /// Opens one at this address, at each of these ports.
    pub(super) fn open(at: IpAddr, to: IpAddr, ports: &[u16], passage: Passage) -> io::Result<Self> {
        let passages = Passages::new(passage);
        let mut tasks = Vec::new();
        for port in ports {
            let listener = Listener::bind(SocketAddr::new(at, *port))?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            tasks.push(tokio::spawn(serve(listener, SocketAddr::new(to, *port), passages.clone())));
        }
        Ok(Self { passages, tasks })
    }

    /// From now on, things pass so.
    pub(super) fn set(&self, passage: Passage) {
        self.passages.set(passage);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What it handed on ends with it.
async fn serve(listener: TcpListener, to: SocketAddr, passages: Passages) {
    let mut passing = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = passing.join_next() => {}
            taken = listener.accept() => match taken {
                Ok((from, _)) => drop(passing.spawn(pass(from, to, passages.clone()))),
                Err(_) => return,
            },
        }
    }
}

async fn pass(from: TcpStream, to: SocketAddr, passages: Passages) {
    passages.joined().await;
    let Ok(to) = TcpStream::connect(to).await else { return };
    // Small messages must not wait for each other.
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    // A side that breaks ends the other.
    let there = one_way(from_read, to_write, passages.clone());
    let _ = tokio::try_join!(biased; there, one_way(to_read, from_write, passages));
}

async fn one_way(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    passages: Passages,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        let Passage { delay, .. } = passages.joined().await;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::passage::JOINED;
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, timeout};

    #[tokio::test(start_paused = true)]
    async fn what_passes_a_way_that_is_cut_arrives_when_it_is_joined_and_later_by_its_delay() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let echo = TcpListener::bind((here, 0)).await.unwrap();
        let port = echo.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let at = IpAddr::from([127, 1, 2, 3]);
        let way = Way::open(at, here, &[port], JOINED).unwrap();
        let mut stream = TcpStream::connect((at, port)).await.unwrap();
        let mut byte = [0];
        let begun = Instant::now();
        stream.write_all(b"a").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        way.set(Passage { is_joined: false, ..JOINED });
        stream.write_all(b"b").await.unwrap();
        let minute = Duration::from_mins(1);
        assert!(timeout(minute, stream.read_exact(&mut byte)).await.is_err());
        way.set(Passage { is_joined: true, delay: Duration::from_millis(300) });
        let begun = Instant::now();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"b");
        assert!(begun.elapsed() >= Duration::from_millis(600), "there and back, {:?}", begun.elapsed());
    }
}
