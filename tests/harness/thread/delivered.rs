//! Waits until the kernel has delivered what this thread sent over loopback.
//!
//! A paused clock goes on when nothing is to be done, and what has not arrived is not to be done. Linux delivers over loopback within the
//! call that sends; but when that took long, as where a processor was taken away from the machine for a moment, it leaves the rest to a
//! thread of its own. What one processor has to deliver it delivers in order, so that a datagram to oneself arrives behind all of it.
//! Deliberately absent: what a thread sent on another processor just before it was moved.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// A datagram that does not arrive holds up no story for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A socket that sends to itself.
#[derive(Debug)]
pub(super) struct Delivered(UdpSocket);

impl Delivered {
    pub(super) fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Returns once whatever was sent before has arrived.
    pub(super) fn wait(&self) {
        // Where it cannot be had the story goes on as it would without.
        let _ = self.0.send(&[0]).and_then(|_| self.0.recv(&mut [0]));
    }
}
