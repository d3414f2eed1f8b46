//! Shares: how many of some places each has, so that nobody takes them all.
//!
//! From whose a place is to the place, which is given back when it is dropped. For bodies of calls and reviews of tokens, both by
//! a pod's UID. Deliberately absent: waiting; whose places are all taken is told so at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places, so many for each.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One place.
#[derive(Debug)]
pub struct Share<'a> {
    of: &'a Shares,
    whose: &'a str,
}

impl Shares {
    /// At most so many for each.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// A place, unless all of his are taken.
    pub fn take<'a>(&'a self, whose: &'a str) -> Option<Share<'a>> {
        let mut taken = self.taken();
        let his = taken.get(whose).copied().unwrap_or_default();
        (his < self.most).then(|| {
            taken.insert(whose.to_owned(), his + 1);
            Share { of: self, whose }
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if let Some(his) = taken.get_mut(self.whose) {
            *his -= 1;
            if *his == 0 {
                taken.remove(self.whose);
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
