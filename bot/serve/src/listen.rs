//! Where connections are accepted.
//!
//! From an address to a listener. `[::]` means every address of both families, whatever the system's default for sockets of IPv6 is, and
//! those of IPv4 alone where there is no IPv6: clusters have one family, the other, or both. Deliberately absent: serving.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted, as tokio has it.
const BACKLOG: u32 = 1_024;

/// Listens there.
///
/// # Errors
/// When the address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address) {
        Err(error) if is_every(address) && has_no_ipv6(&error) => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        outcome => outcome,
    }
}

fn is_every(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let of = |wanted: rustix::io::Errno| error.raw_os_error() == Some(wanted.raw_os_error());
    of(rustix::io::Errno::AFNOSUPPORT) || of(rustix::io::Errno::ADDRNOTAVAIL)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if is_every(address) {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn every_address_is_one_of_both_families() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let over_ipv4 = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await.unwrap();
        assert!(over_ipv4.peer_addr().unwrap().is_ipv4());
        if address.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).await.unwrap();
        }
        let (_, caller) = listener.accept().await.unwrap();
        assert_eq!(caller.ip().to_canonical(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn one_address_is_one() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(listener.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        let taken = listen(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
