//! Random numbers: from the system, or from a seed, so that the same seed draws the same.
//!
//! Nothing drawn here is a secret. Deliberately absent: what libraries draw for themselves.

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore, SeedableRng as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A source of random numbers. Clones draw from the same one.
#[derive(Clone, Debug)]
pub struct Random(Option<Arc<Mutex<StdRng>>>);

impl Random {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// One that draws the same for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// For the traits of `rand`, which want it exclusively.
    #[must_use]
    pub fn rng(&self) -> impl RngCore + use<> {
        self.clone()
    }

    /// A number from 0 to 1, without 1.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.rng().random()
    }

    /// The wait, made longer or shorter by a factor between these two.
    #[must_use]
    pub fn spread(&self, wait: Duration, least: f64, most: f64) -> Duration {
        wait.mul_f64(self.fraction().mul_add(most - least, least))
    }

    fn seed(&self) -> Option<MutexGuard<'_, StdRng>> {
        self.0.as_ref().map(|seed| seed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        self.seed().map_or_else(|| rand::rng().next_u32(), |mut seed| seed.next_u32())
    }

    fn next_u64(&mut self) -> u64 {
        self.seed().map_or_else(|| rand::rng().next_u64(), |mut seed| seed.next_u64())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        match self.seed() {
            Some(mut seed) => seed.fill_bytes(bytes),
            None => rand::rng().fill_bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let drawn = |random: &Random| (0..4).map(|_| random.rng().next_u64()).collect::<Vec<_>>();
        assert_eq!(drawn(&Random::seeded(7)), drawn(&Random::seeded(7)));
        assert_ne!(drawn(&Random::seeded(7)), drawn(&Random::seeded(8)));
        assert_ne!(drawn(&Random::system()), drawn(&Random::system()));
    }

    #[test]
    fn a_wait_is_spread_between_its_bounds() {
        let (random, wait) = (Random::seeded(1), Duration::from_secs(100));
        let spread: Vec<_> = (0..1_000).map(|_| random.spread(wait, 0.75, 1.25).as_secs()).collect();
        assert!(spread.iter().all(|wait| (75..125).contains(wait)), "{spread:?}");
        assert!(spread.iter().any(|wait| *wait < 80) && spread.iter().any(|wait| *wait > 120));
    }
}
