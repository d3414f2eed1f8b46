//! How long the machine has been up, for what one process writes down and the next one on the same machine reads.
//!
//! Unlike the time of day it never jumps, and unlike tokio's clock it means the same in the next process. Deliberately absent: waiting and
//! measuring, which go by tokio's clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A clock that begins when the machine does. Clones are the same one.
#[derive(Clone)]
pub struct BootClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl BootClock {
    /// The system's: time in which it was suspended counts, where the system knows it.
    #[must_use]
    pub fn system() -> Self {
        #[cfg(target_os = "linux")]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        Self::of(|| Duration::try_from(rustix::time::clock_gettime(CLOCK)).unwrap_or_default())
    }

    /// Any other.
    pub fn of(up: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(up))
    }

    /// For how long it has been up.
    #[must_use]
    pub fn up(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for BootClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootClock({:?})", self.up())
    }
}
