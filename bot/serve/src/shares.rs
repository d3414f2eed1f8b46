//! Shares: how many of some places each has, so that nobody takes them all.
//!
//! From whose a place is to the place, which is given back when it is dropped. For connections by address and by caller, and for
//! the operator's bodies, reviews and waiting calls by a pod's UID. Deliberately absent: waiting (whose places are all taken hears it
//! at once), and how many places there are in all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places, so many for each. Clones share them.
#[derive(Clone, Debug)]
pub struct Shares<K> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One place.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    of: Shares<K>,
    whose: K,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// At most so many for each.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place, unless all of his are taken.
    #[must_use]
    pub fn take(&self, whose: K) -> Option<Share<K>> {
        let mut taken = self.taken();
        let his = taken.get(&whose).copied().unwrap_or_default();
        (his < self.most).then(|| {
            taken.insert(whose.clone(), his + 1);
            Share { of: self.clone(), whose }
        })
    }
}

impl<K> Shares<K> {
    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken().is_empty()
    }

    /// How many each has. Who has none is not there. It stays usable when a task panicked: each change is one number.
    pub(crate) fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many for each.
    #[cfg(test)]
    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if let Some(his) = taken.get_mut(&self.whose) {
            *his -= 1;
            if *his == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_places_and_nothing_is_kept_of_who_has_none() {
        let shares = Shares::new(2);
        let first = shares.take("a");
        let second = shares.take("a");
        assert!(first.is_some() && second.is_some() && shares.take("a").is_none());
        assert!(shares.take("b").is_some());
        drop(first);
        assert!(shares.take("a").is_some());
        drop(second);
        assert!(shares.taken().is_empty());
    }
}
