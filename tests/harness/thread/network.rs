//! Addresses, names and ways: each host of a story has an address of loopback, names lead to it, and it may be cut off.
//!
//! From a name to the addresses that it has now for whoever asks. Linux gives all of 127.0.0.0/8 to loopback, so that every host listens
//! at its usual port. In a network that may be cut, each host reaches each other one, and Discord, by a [way](Way) of the two; a host
//! that is cut off reaches only those that are cut off as well. Deliberately absent: the way to the API server, which is no socket
//! here (`link.rs`); it asks this network whether its host is cut off.

use super::passage::{JOINED, Passage, Passages};
use super::way::Way;
use shard_contract::env::HEALTH_PORT;
use shard_machine::Names;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where gates listen.
pub(super) const GATE: u16 = 8_080;
/// Where Discord is, which is no host of the cluster.
const DISCORD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Stories of one process that run side by side have networks of their own: these numbers are taken, and the one after this comes next.
static NUMBERS: Mutex<(BTreeSet<u8>, u8)> = Mutex::new((BTreeSet::new(), 0));

/// The network of one story.
#[derive(Clone, Debug)]
pub(super) struct Network(Arc<Shared>);

/// What sets a story's addresses apart. A long story keeps its number, however many others begin and end meanwhile.
#[derive(Debug)]
struct Number(u8);

impl Number {
    fn take() -> Self {
        let (taken, next) = &mut *NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..=u8::MAX).map(|more| next.wrapping_add(more)).find(|number| taken.insert(*number));
        let number = number.expect("fewer stories than numbers run side by side");
        *next = number.wrapping_add(1);
        Self(number)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&self.0);
    }
}

#[derive(Debug)]
struct Shared {
    number: Number,
    hosts: AtomicU8,
    places: AtomicU8,
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    /// None where nobody is ever cut off: then hosts reach each other without a detour.
    ways: Option<Mutex<Ways>>,
}

#[derive(Debug, Default)]
struct Ways {
    /// From whom to whom.
    made: BTreeMap<(IpAddr, IpAddr), (IpAddr, Way)>,
    /// Of each host: whether it reaches the API server.
    reaches: BTreeMap<IpAddr, Passages>,
    cut: BTreeSet<IpAddr>,
    /// Those among them that Discord is out of reach of too.
    cut_from_discord: BTreeSet<IpAddr>,
    delay: Duration,
    /// That of what passes to Discord and back.
    to_discord: Duration,
}

impl Ways {
    fn passage(&self, from: IpAddr, to: IpAddr) -> Passage {
        if to == DISCORD {
            return Passage { is_joined: !self.cut_from_discord.contains(&from), delay: self.to_discord };
        }
        Passage { is_joined: self.cut.contains(&from) == self.cut.contains(&to), delay: self.delay }
    }

    fn tell(&self) {
        for ((from, to), (_, way)) in &self.made {
            way.set(self.passage(*from, *to));
        }
        for (host, reaches) in &self.reaches {
            reaches.set(Passage { is_joined: !self.cut.contains(host), delay: self.delay });
        }
    }
}

impl Network {
    /// `has_ways`: whether hosts may be cut off.
    pub(super) fn new(has_ways: bool) -> Self {
        Self(Arc::new(Shared {
            number: Number::take(),
            hosts: AtomicU8::new(1),
            places: AtomicU8::new(1),
            names: Mutex::default(),
            ways: has_ways.then(Mutex::default),
        }))
    }

    /// An address of its own: by the story and the host. Those of hosts long gone come again.
    pub(super) fn address(&self) -> IpAddr {
        let host = self.0.hosts.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::new(127, 128, self.0.number.0, host).into()
    }

    /// Where a way begins.
    fn place(&self) -> IpAddr {
        let place = self.0.places.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::new(127, 1, self.0.number.0, place).into()
    }

    /// A name leads to these from now on.
    pub(super) fn name(&self, name: impl Into<String>, addresses: Vec<IpAddr>) {
        self.names().insert(name.into(), addresses);
    }

    /// What a host looks names up by.
    pub(super) fn resolver(&self, from: IpAddr) -> Names {
        let network = self.clone();
        Names::of(move |name| {
            let found = network.names().get(name).filter(|found| !found.is_empty()).cloned();
            let found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name"))?;
            let reached = found.into_iter().map(|to| network.reached(from, to, &[GATE, HEALTH_PORT]));
            reached.map(|address| Ok(SocketAddr::new(address?, 0))).collect()
        })
    }

    /// Where a host reaches Discord, which is there.
    pub(super) fn discord(&self, from: IpAddr, discord: SocketAddr) -> io::Result<SocketAddr> {
        let address = self.reached(from, discord.ip(), &[discord.port()])?;
        Ok(SocketAddr::new(address, discord.port()))
    }

    /// The address by which one host reaches another.
    fn reached(&self, from: IpAddr, to: IpAddr, ports: &[u16]) -> io::Result<IpAddr> {
        let Some(mut ways) = self.ways() else { return Ok(to) };
        if let Some((at, _)) = ways.made.get(&(from, to)) {
            return Ok(*at);
        }
        let at = self.place();
        let way = Way::open(at, to, ports, ways.passage(from, to))?;
        ways.made.insert((from, to), (at, way));
        Ok(at)
    }

    /// How a host reaches the API server.
    pub(super) fn reach(&self, host: IpAddr) -> Passages {
        let Some(mut ways) = self.ways() else { return Passages::new(JOINED) };
        let now = Passage { is_joined: !ways.cut.contains(&host), delay: ways.delay };
        ways.reaches.entry(host).or_insert_with(|| Passages::new(now)).clone()
    }

    /// From now on these hosts are cut off from all but those that are cut off too.
    ///
    /// # Panics
    /// In a network without ways, where nobody would be.
    pub(super) fn cut(&self, hosts: impl IntoIterator<Item = IpAddr>, from_discord: bool) {
        let mut ways = self.ways().expect("a story that cuts hosts off is made with ways");
        let hosts: Vec<_> = hosts.into_iter().collect();
        ways.cut.extend(&hosts);
        if from_discord {
            ways.cut_from_discord.extend(hosts);
        }
        ways.tell();
    }

    /// These hosts are cut off no more.
    pub(super) fn join(&self, hosts: impl IntoIterator<Item = IpAddr>) {
        if let Some(mut ways) = self.ways() {
            for host in hosts {
                ways.cut.remove(&host);
                ways.cut_from_discord.remove(&host);
            }
            ways.tell();
        }
    }

    /// From now on whatever passes from host to host arrives so much later, and what passes to Discord and back so much.
    ///
    /// # Panics
    /// In a network without ways, where nothing would.
    pub(super) fn delay(&self, delay: Duration, to_discord: Duration) {
        let mut ways = self.ways().expect("a story that slows hosts down is made with ways");
        (ways.delay, ways.to_discord) = (delay, to_discord);
        ways.tell();
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Vec<IpAddr>>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ways(&self) -> Option<MutexGuard<'_, Ways>> {
        self.0.ways.as_ref().map(|ways| ways.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_story_keeps_its_addresses_however_many_others_come_and_go() {
        let long = Network::new(false);
        let number = long.0.number.0;
        let again = (0..600).filter(|_| Network::new(false).0.number.0 == number).count();
        assert_eq!(again, 0);
        drop(long);
        assert!(
            (0..=u32::from(u8::MAX)).any(|_| Network::new(false).0.number.0 == number),
            "and gives them back"
        );
    }
}
