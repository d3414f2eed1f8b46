//! Who has how many of a server's connections: so many in all, and so many of one address.
//!
//! From a caller's address to a [`Place`], which lasts as long as its connection. One caller alone must not keep all others out.
//! Deliberately absent: telling callers of one address apart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// What there is.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    held: Arc<Held>,
    of_one: usize,
}

/// How many each address has; those that have none are not there.
#[derive(Default)]
struct Held(Mutex<HashMap<IpAddr, usize>>);

/// One connection's. It is free again when this is dropped.
pub(crate) struct Place {
    held: Arc<Held>,
    address: IpAddr,
    _free: Free,
}

/// One that nobody has yet.
pub(crate) type Free = Result<OwnedSemaphorePermit, AcquireError>;

impl Places {
    /// So many in all; of one address so many, and never more than half.
    pub(crate) fn new(most: usize, of_one: usize) -> Self {
        let of_one = of_one.min(most / 2).max(1);
        Self { free: Arc::new(Semaphore::new(most)), held: Arc::default(), of_one }
    }

    /// Waits for one.
    pub(crate) async fn free(&self) -> Free {
        self.free.clone().acquire_owned().await
    }

    /// Gives it to an address, unless that has as many as it may.
    pub(crate) fn take(&self, free: Free, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut held = self.held.lock();
        let count = held.entry(address).or_default();
        if *count >= self.of_one {
            return None;
        }
        *count += 1;
        Some(Place { held: Arc::clone(&self.held), address, _free: free })
    }
}

impl Held {
    /// It stays usable when a task panicked: each change is one number.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.held.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_its_part_of_the_places_and_nothing_is_kept_of_who_has_none() {
        let places = Places::new(6, 2);
        let [one, other]: [IpAddr; 2] =
            ["10.0.0.1", "::ffff:10.0.0.2"].map(|address| address.parse().unwrap());
        let first = places.take(places.free().await, one).unwrap();
        let second = places.take(places.free().await, one);
        assert!(second.is_some() && places.take(places.free().await, one).is_none());
        let third = places.take(places.free().await, other);
        assert!(third.is_some() && places.free.available_permits() == 3);
        drop(first);
        assert!(places.take(places.free().await, one).is_some());
        drop((second, third));
        assert!(places.held.lock().is_empty());
        assert_eq!(places.free.available_permits(), 6);
        for (most, of_one, expected) in [(1, 1, 1), (1, 0, 1), (4, 4, 2), (60_000, 32, 32)] {
            assert_eq!(Places::new(most, of_one).of_one, expected);
        }
    }
}
