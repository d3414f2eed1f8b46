//! Whether the machine has the room to build two things at once.
//!
//! From its cores and the memory that is available to this process, limits of a container among them. Two builds side by side
//! on too few cores are no sooner done than one after the other, and on too little memory they are killed or swap. Deliberately
//! absent: how many jobs each build runs, which cargo and go decide by the cores.

use std::{fs, thread};

/// Cores and memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub cores: usize,
    /// In bytes.
    pub available: u64,
}

/// Each build keeps two cores busy by itself nearly all of the time.
const CORES: usize = 4;
/// Measured with two jobs each, resident memory: cargo and its compilers 1.8 GiB, go 3.3 GiB while it links Kubernetes; and half
/// as much again, since builds with more jobs take more.
const AVAILABLE: u64 = 8 << 30;

impl Room {
    /// This machine's; what cannot be read is taken for none.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            available: available(
                &read("/proc/meminfo"),
                &[
                    (&read("/sys/fs/cgroup/memory.max"), &read("/sys/fs/cgroup/memory.current")),
                    (
                        &read("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
                        &read("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
                    ),
                ],
            ),
        }
    }

    /// Whether it is enough for our programs and Kubernetes' at once.
    pub fn is_enough_for_two(self) -> bool {
        self.cores >= CORES && self.available >= AVAILABLE
    }
}

/// The kernel's own estimate for the machine, or what a limit leaves if that is less. A limit that is none reads `max`, or as
/// a number beyond all memory.
fn available(meminfo: &str, limits: &[(&str, &str)]) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let left = limits.iter().filter_map(|(most, used)| Some(number(most)?.saturating_sub(number(used)?)));
    left.fold(kibibytes.unwrap_or(0) * 1024, u64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_builds_go_side_by_side_only_where_cores_and_memory_allow() {
        let table = [
            (2, 24 << 30, false),
            (3, 24 << 30, false),
            (4, 24 << 30, true),
            (4, AVAILABLE, true),
            (4, AVAILABLE - 1, false),
            (64, 4 << 30, false),
            (64, 0, false),
        ];
        for (cores, available, expected) in table {
            assert_eq!(Room { cores, available }.is_enough_for_two(), expected, "{cores} {available}");
        }
    }

    #[test]
    fn the_least_of_the_machine_and_the_limits_is_available() {
        let meminfo = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n";
        let machine = 20_000_000 * 1024;
        assert_eq!(available(meminfo, &[("", ""), ("", "")]), machine);
        assert_eq!(available(meminfo, &[("max\n", "5000\n")]), machine);
        assert_eq!(available(meminfo, &[("9223372036854771712\n", "5000\n")]), machine);
        assert_eq!(available(meminfo, &[("6000\n", "5000\n")]), 1000);
        assert_eq!(available(meminfo, &[("5000\n", "6000\n")]), 0);
        assert_eq!(available("", &[]), 0);
        assert!(Room::here().cores >= 1 && Room::here().available > 0);
    }
}
