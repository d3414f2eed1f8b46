//! What the benchmarks share: the options that they take, the table that they print, what the kernel counts of a process, and how
//! much they do.
//!
//! For the `cargo bench` of the simulator and of the gate. Deliberately absent: anything that they measure.

pub mod options;
pub mod process;
pub mod table;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// A tenth of everything: shows that it works, not how fast.
    pub quick: bool,
}

impl Scale {
    /// So many, or a tenth.
    #[must_use]
    pub const fn of(self, number: u32) -> u32 {
        if self.quick { number / 10 } else { number }
    }
}
