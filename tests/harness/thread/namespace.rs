//! The network of stories: a namespace of the process's own, on whose loopback nothing goes by the machine's clock.
//!
//! A paused clock waits for what the kernel does within a call and for nothing else. TCP has more than that: an acknowledgement may come 40 ms
//! later; and the end of a connection that closed it first stays for up to a minute, so that whoever connects from the same port to
//! an address where nobody listens any more is not refused but heard some milliseconds later. Here acknowledgements come at once, and no end
//! stays. Deliberately absent: addresses ([`super::network`]).

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use test_cluster::debian::{self, Need};

/// It lasts as long as the process.
static NAMESPACE: LazyLock<Result<File, String>> = LazyLock::new(|| {
    let made = thread::spawn(make).join().unwrap_or_else(|_| Err(anyhow!("whoever makes it panicked")));
    made.map_err(|error| format!("{error:#}"))
});
/// What the kernel delivers to itself.
const ROUTES: [&str; 2] = ["127.0.0.0/8", "127.0.0.1"];
/// How many ends of closed connections may stay.
const STAYING: &str = "/proc/sys/net/ipv4/tcp_max_tw_buckets";

/// Moves this thread there, for good.
pub(super) fn enter() -> Result<()> {
    let namespace = NAMESPACE.as_ref().map_err(|error| anyhow!("{error}"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("enter the network namespace of stories")
}

/// In a thread that is moved there, and ends.
fn make() -> Result<File> {
    debian::ensure(&[Need::program("ip", &["iproute2"])], &mut test_cluster::printer())?;
    let remedy = "run this as root, in a container with --privileged";
    unshare(CloneFlags::CLONE_NEWNET)
        .with_context(|| format!("make a network namespace for stories; {remedy}"))?;
    ip(&["link", "set", "lo", "up"])?;
    for route in ROUTES {
        let lasting =
            ["table", "local", "proto", "kernel", "scope", "host", "src", "127.0.0.1", "quickack", "1"];
        ip(&[&["route", "change", "local", route, "dev", "lo"][..], &lasting].concat())?;
    }
    fs::write(STAYING, "0").with_context(|| format!("write {STAYING}; {remedy}"))?;
    File::open("/proc/thread-self/ns/net").context("open the network namespace of stories")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("run `ip`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;
    use std::io::ErrorKind;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::{Instant, timeout};

    fn from(address: SocketAddr) -> Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    }

    /// The kernel chooses such a port now and then.
    #[test]
    fn who_connects_from_a_port_that_was_used_before_is_refused_at_once() {
        run(1, async {
            let listener = TcpListener::bind("127.1.1.1:0").await?;
            let to = listener.local_addr()?;
            let stream = from("127.0.0.1:0".parse()?)?.connect(to).await?;
            let port = stream.local_addr()?;
            // The other end closes first, and nobody listens any more.
            let (taken, _) = listener.accept().await?;
            drop((taken, listener));
            drop(stream);
            let again = timeout(Duration::from_mins(1), from(port)?.connect(to)).await;
            let refused = again.context("neither refused nor connected")?.err().map(|error| error.kind());
            ensure!(refused == Some(ErrorKind::ConnectionRefused), "{refused:?}");
            Ok(())
        })
        .unwrap();
    }

    /// A socket that holds small pieces back does so until what it sent before is acknowledged.
    #[test]
    fn what_is_sent_in_two_pieces_arrives_at_once() {
        run(1, async {
            let listener = TcpListener::bind("127.1.1.1:0").await?;
            let stream = from("127.0.0.1:0".parse()?)?.connect(listener.local_addr()?).await?;
            let (taken, _) = listener.accept().await?;
            let begun = Instant::now();
            let mut pieces = [0; 2];
            for round in 0..200 {
                // Whoever answers as well acknowledges late.
                taken.try_write(b"a")?;
                while stream.try_read(&mut pieces).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                    stream.readable().await?;
                }
                let (one, other) = (stream.try_write(b"b")?, stream.try_write(b"c")?);
                ensure!((one, other) == (1, 1), "round {round}");
                let mut read = 0;
                while read < 2 {
                    timeout(Duration::from_secs(1), taken.readable())
                        .await
                        .context("the second piece is held back")??;
                    read += taken.try_read(&mut pieces[read..]).unwrap_or(0);
                }
            }
            ensure!(begun.elapsed().is_zero(), "{:?}", begun.elapsed());
            Ok(())
        })
        .unwrap();
    }
}
