//! Who has how many of a server's connections: so many in all, so many of one address, few of callers that nobody knows yet.
//!
//! From a caller's address to a [`Connection`], which lasts as long as its socket. A new one is unrecognised: it may hold a request's head
//! that never ends, so all of those share a small room, and the oldest makes way for a newcomer. Once the router knows who calls, it
//! says so ([`Connection::recognise`]), and the connection counts as that caller's, who has a few. Deliberately absent: how a caller is
//! recognised, and telling callers of one address apart before that.

use crate::ConnectionLimits;
use crate::shares::{Share, Shares};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// One address has at most this part of the room of the unrecognised.
const PART_OF_ROOM: usize = 4;

/// All connections of a server.
pub(crate) struct Connections {
    free: Arc<Semaphore>,
    addresses: Shares<IpAddr>,
    callers: Shares<String>,
    room: Arc<Room>,
}

/// The unrecognised ones.
struct Room {
    places: usize,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    numbers: u64,
    /// By the order in which they came.
    waiting: BTreeMap<u64, Place>,
}

/// From where it came, and how it is ended.
type Place = (IpAddr, CancellationToken);

/// One connection. A request carries it among its extensions.
#[derive(Clone)]
pub struct Connection(Arc<Entry>);

struct Entry {
    room: Arc<Room>,
    number: u64,
    callers: Shares<String>,
    caller: OnceLock<Share<String>>,
    /// Cancelled when it must make way.
    ended: CancellationToken,
    _address: Share<IpAddr>,
    _free: Free,
}

/// A place for one that has not come yet.
pub(crate) type Free = Result<OwnedSemaphorePermit, AcquireError>;

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        let ConnectionLimits { total, unrecognised, per_address, per_caller } = limits;
        let room = Room { places: unrecognised.clamp(1, total.max(1)), inside: Mutex::default() };
        Self {
            free: Arc::new(Semaphore::new(total)),
            addresses: Shares::new(per_address.min(total / 2).max(1)),
            callers: Shares::new(per_caller),
            room: Arc::new(room),
        }
    }

    /// Waits until there may be one more.
    pub(crate) async fn free(&self) -> Free {
        self.free.clone().acquire_owned().await
    }

    /// Takes one of this address in, unless the address has as many as it may.
    pub(crate) fn take(&self, free: Free, address: IpAddr) -> Option<Connection> {
        let address = address.to_canonical();
        let place = self.addresses.take(address)?;
        let ended = CancellationToken::new();
        let number = self.room.enter(address, ended.clone());
        Some(Connection(Arc::new(Entry {
            room: Arc::clone(&self.room),
            number,
            callers: self.callers.clone(),
            caller: OnceLock::new(),
            ended,
            _address: place,
            _free: free,
        })))
    }
}

impl Connection {
    /// Says whose it is, as soon as that is known: it leaves the room of the unrecognised. Tells whether the caller may have one more.
    /// The first who is said stays.
    #[must_use]
    pub fn recognise(&self, caller: &str) -> bool {
        if self.0.caller.get().is_some() {
            return true;
        }
        let Some(share) = self.0.callers.take(caller.to_owned()) else { return false };
        self.0.room.leave(self.0.number);
        // Where two requests say it at once, the other's share stays.
        let _ = self.0.caller.set(share);
        true
    }

    /// Whether it is known whose it is.
    #[must_use]
    pub fn is_recognised(&self) -> bool {
        self.0.caller.get().is_some()
    }

    /// Keeps it from making way while the router finds out who calls, which may take the API server's time. For callers who are
    /// likely to be known; the caller of this bounds how many those are.
    #[must_use]
    pub fn stay(&self) -> Stay {
        let place = self.0.room.inside().waiting.remove(&self.0.number);
        Stay { connection: self.clone(), place }
    }

    /// Comes when it must make way for another.
    pub(crate) async fn ended(&self) {
        self.0.ended.cancelled().await;
    }
}

/// A connection that does not make way. Dropped, it is as before.
pub struct Stay {
    connection: Connection,
    place: Option<Place>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let entry = &self.connection.0;
        if let Some(place) = self.place.take().filter(|_| !self.connection.is_recognised()) {
            let mut inside = entry.room.inside();
            inside.make_way(place.0, entry.room.places);
            inside.waiting.insert(entry.number, place);
        }
    }
}

impl Room {
    /// One more comes in; the number by which it leaves.
    fn enter(&self, address: IpAddr, ended: CancellationToken) -> u64 {
        let mut inside = self.inside();
        inside.make_way(address, self.places);
        inside.numbers += 1;
        let number = inside.numbers;
        inside.waiting.insert(number, (address, ended));
        number
    }

    fn leave(&self, number: u64) {
        self.inside().waiting.remove(&number);
    }

    /// It stays usable when a task panicked: each change is a few numbers.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Ends the oldest, of this address where it has its part of the room already, so that nobody crowds out all others.
    fn make_way(&mut self, address: IpAddr, places: usize) {
        let his: Vec<_> =
            self.waiting.iter().filter(|(_, (of, _))| *of == address).map(|(number, _)| *number).collect();
        let oldest = if his.len() >= (places / PART_OF_ROOM).max(1) {
            his.first().copied()
        } else if self.waiting.len() >= places {
            self.waiting.keys().next().copied()
        } else {
            None
        };
        if let Some((_, ended)) = oldest.and_then(|oldest| self.waiting.remove(&oldest)) {
            ended.cancel();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.room.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, unrecognised: usize, per_address: usize, per_caller: usize) -> Connections {
        Connections::new(ConnectionLimits { total, unrecognised, per_address, per_caller })
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    async fn take(connections: &Connections, last: u8) -> Option<Connection> {
        connections.take(connections.free().await, address(last))
    }

    fn is_empty(connections: &Connections) -> bool {
        connections.room.inside().waiting.is_empty()
            && connections.addresses.taken().is_empty()
            && connections.callers.taken().is_empty()
    }

    #[tokio::test]
    async fn an_address_has_its_part_and_nothing_is_kept_of_who_has_none() {
        let connections = connections(6, 6, 2, 6);
        let first = take(&connections, 1).await;
        let second = take(&connections, 1).await;
        assert!(second.is_some() && take(&connections, 1).await.is_none());
        let mapped = "::ffff:10.0.0.2".parse().unwrap();
        let third = connections.take(connections.free().await, mapped);
        assert!(third.is_some() && connections.free.available_permits() == 3);
        drop(first);
        assert!(take(&connections, 1).await.is_some());
        drop((second, third));
        assert!(is_empty(&connections));
        assert_eq!(connections.free.available_permits(), 6);
        for (total, per_address, expected) in [(1, 1, 1), (1, 0, 1), (4, 4, 2), (60_000, 32, 32)] {
            assert_eq!(self::connections(total, 1, per_address, 1).addresses.most(), expected);
        }
    }

    #[tokio::test]
    async fn the_oldest_that_nobody_knows_makes_way_and_who_is_known_stays() {
        let connections = connections(100, 2, 50, 50);
        let known = take(&connections, 1).await.unwrap();
        assert!(known.recognise("pod"));
        let mut others = Vec::new();
        for last in 2..5 {
            others.push(take(&connections, last).await.unwrap());
        }
        assert!(others[0].0.ended.is_cancelled(), "the third needs a place of the two");
        assert!([&known, &others[1], &others[2]].iter().all(|one| !one.0.ended.is_cancelled()));
        drop((known, others));
        assert!(is_empty(&connections));
    }

    #[tokio::test]
    async fn who_is_being_recognised_stays_and_is_as_before_when_that_failed() {
        let connections = connections(100, 2, 50, 50);
        let [reviewed, refused] =
            [take(&connections, 1).await.unwrap(), take(&connections, 2).await.unwrap()];
        let stays = [reviewed.stay(), refused.stay()];
        let others = [take(&connections, 3).await, take(&connections, 4).await, take(&connections, 5).await];
        let ended = |one: &Connection| one.0.ended.is_cancelled();
        assert!(ended(others[0].as_ref().unwrap()) && !ended(&reviewed) && !ended(&refused));
        assert!(reviewed.recognise("pod"));
        drop(stays);
        assert!(ended(others[1].as_ref().unwrap()), "the room is no larger than before");
        let another = take(&connections, 6).await.unwrap();
        assert!(ended(&refused) && !ended(&reviewed) && !ended(&another));
        drop((reviewed, refused, others, another));
        assert!(is_empty(&connections));
    }

    #[tokio::test]
    async fn one_address_crowds_out_only_itself() {
        let connections = connections(100, 8, 50, 50);
        let other = take(&connections, 1).await.unwrap();
        let crowd = [take(&connections, 2).await, take(&connections, 2).await, take(&connections, 2).await];
        let ended = |one: &Connection| one.0.ended.is_cancelled();
        assert_eq!(crowd.each_ref().map(|one| ended(one.as_ref().unwrap())), [true, false, false]);
        assert!(!ended(&other));
    }

    #[tokio::test]
    async fn a_caller_has_a_few_connections_and_each_counts_once() {
        let connections = connections(100, 50, 50, 2);
        let all = [take(&connections, 1).await, take(&connections, 2).await, take(&connections, 3).await];
        let [one, two, three] = all.map(Option::unwrap);
        assert!(one.recognise("pod") && one.recognise("pod") && two.recognise("pod"));
        assert!(!three.recognise("pod") && three.recognise("another"));
        drop(one);
        assert_eq!(*connections.callers.taken(), [("pod".to_owned(), 1), ("another".to_owned(), 1)].into());
        drop((two, three));
        assert!(is_empty(&connections));
    }
}
