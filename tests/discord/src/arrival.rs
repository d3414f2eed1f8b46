//! When bytes came, by the kernel's own word.
//!
//! From: a TCP stream. For: rules that count from when Discord was reached. Whoever reads what came may have had no processor for
//! a tenth of a second, as on a busy machine; then an IDENTIFY would be booked too late and the next one taken for too early.
//! Linux stamps what comes over loopback and between its networks in the sender's own call. Deliberately absent: a stamp for
//! each frame; what came last is what a client that waits for an answer has sent.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::close_answer::CloseAnswer;

/// An older stamp than this is none: the wall clock was set meanwhile.
const OLDEST: Duration = Duration::from_secs(2);

/// When the last bytes came that were read.
#[derive(Clone, Debug, Default)]
pub struct Arrival(Arc<AtomicU64>);

impl Arrival {
    /// How long ago that was; nothing where it is not known.
    pub fn age(&self) -> Duration {
        let came = UNIX_EPOCH + Duration::from_nanos(self.0.load(Ordering::Relaxed));
        SystemTime::now().duration_since(came).ok().filter(|age| *age < OLDEST).unwrap_or_default()
    }

    fn set(&self, stamp: TimeSpec) {
        let stamp = Duration::from(stamp).as_nanos();
        self.0.store(u64::try_from(stamp).unwrap_or_default(), Ordering::Relaxed);
    }
}

/// A stream that notes when what is read from it came, and can write another answer to a close than it is given.
#[derive(Debug)]
pub struct Stamped {
    stream: TcpStream,
    arrival: Arrival,
    close_answer: CloseAnswer,
}

impl Stamped {
    /// Has the kernel stamp what comes from now on, or nobody: then it came when it is read.
    pub fn new(stream: TcpStream, stamps: bool) -> Self {
        if stamps && let Err(error) = setsockopt(&stream, sockopt::ReceiveTimestampns, &true) {
            tracing::debug!(%error, "the kernel does not say when bytes come; it counts when they are read");
        }
        Self { stream, arrival: Arrival::default(), close_answer: CloseAnswer::default() }
    }

    /// When what was read last came.
    pub fn arrival(&self) -> Arrival {
        self.arrival.clone()
    }

    /// What a client's close is answered with.
    pub fn close_answer(&self) -> CloseAnswer {
        self.close_answer.clone()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = nix::cmsg_space!(TimeSpec);
        let mut buffers = [IoSliceMut::new(buffer)];
        let received =
            recvmsg::<()>(self.stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::empty())?;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(stamp) = message {
                self.arrival.set(stamp);
            }
        }
        Ok(received.bytes)
    }
}

impl AsyncRead for Stamped {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let free = buffer.initialize_unfilled();
            match self.stream.try_io(Interest::READABLE, || self.receive(free)) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let changed = self.close_answer.changed(bytes);
        Pin::new(&mut self.stream).poll_write(context, changed.as_deref().unwrap_or(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_read_late_came_when_it_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut server = Stamped::new(listener.accept().await.unwrap().0, true);
        let arrival = server.arrival();
        assert_eq!(arrival.age(), Duration::ZERO, "nothing came yet");
        let mut read = [0; 5];
        // The kernel begins to stamp a moment after the first socket asks for it.
        while arrival.0.load(Ordering::Relaxed) == 0 {
            client.write_all(b"hello").await.unwrap();
            server.read_exact(&mut read).await.unwrap();
        }
        for _ in 0..2 {
            client.write_all(b"hello").await.unwrap();
            let sent = std::time::Instant::now();
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.read_exact(&mut read).await.unwrap();
            let (age, since) = (arrival.age(), sent.elapsed());
            assert!(age >= Duration::from_millis(190), "{age:?}");
            assert!(age <= since + Duration::from_millis(100), "{age:?} of {since:?}");
        }
        drop(client);
        assert_eq!(server.read(&mut read).await.unwrap(), 0, "the end");
    }
}
