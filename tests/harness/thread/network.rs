//! Addresses and names: each host of a story has an address of loopback, and names lead to it.
//!
//! From a name to the addresses that it has now. Linux gives all of 127.0.0.0/8 to loopback, so that every host listens at its usual
//! port. Deliberately absent: partitions.

use shard_machine::Names;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stories of one process that run side by side have networks of their own.
static NETWORKS: AtomicU8 = AtomicU8::new(0);

/// The network of one story.
#[derive(Clone, Debug)]
pub(super) struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    number: u8,
    hosts: AtomicU8,
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
}

impl Default for Network {
    fn default() -> Self {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Shared { number, hosts: AtomicU8::new(1), names: Mutex::default() }))
    }
}

impl Network {
    /// An address of its own: by the process, the story and the host. Those of hosts long gone come again.
    pub(super) fn address(&self) -> IpAddr {
        let host = self.0.hosts.fetch_add(1, Ordering::Relaxed);
        let [process, ..] = std::process::id().to_le_bytes();
        Ipv4Addr::new(127, 128 | process, self.0.number, host).into()
    }

    /// A name leads to these from now on.
    pub(super) fn name(&self, name: impl Into<String>, addresses: Vec<IpAddr>) {
        self.names().insert(name.into(), addresses);
    }

    /// What a machine on it looks names up by.
    pub(super) fn resolver(&self) -> Names {
        let network = self.clone();
        Names::of(move |name| {
            let found = network.names().get(name).filter(|found| !found.is_empty()).cloned();
            let found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name"))?;
            Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
        })
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Vec<IpAddr>>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
