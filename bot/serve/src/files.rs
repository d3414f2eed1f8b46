//! Open files: each connection is one, and a process may have so many.
//!
//! From the process's limits to how many connections a server takes. The soft limit is often 1024 for the sake of programs that
//! use `select`; both programs raise it at their start, as far as it goes without being root. Deliberately absent: more than that (`ulimit -Hn`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Two servers of one process together leave half of its files for what it opens itself: the API server, Discord, other pods.
const SERVERS: u64 = 2;

/// Raises the number of files that this process may have open as far as it may; how many that are. To be called first.
pub fn raise_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // No number means no limit.
    (if raised.is_ok() { maximum } else { current }).unwrap_or(u64::MAX)
}

/// How many files the connections of one server may be.
pub(crate) fn share() -> usize {
    share_of(getrlimit(Resource::Nofile).current)
}

/// A quarter of the limit, at least one, and never more than a semaphore can count.
fn share_of(limit: Option<u64>) -> usize {
    let share = limit.unwrap_or(u64::MAX) / (2 * SERVERS);
    usize::try_from(share).unwrap_or(usize::MAX).clamp(1, tokio::sync::Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_share_leaves_the_process_half_of_its_files() {
        for (limit, share) in [
            (Some(0), 1),
            (Some(7), 1),
            (Some(1_024), 256),
            (Some(20_000), 5_000),
            (Some(1_048_576), 262_144),
        ] {
            assert_eq!(share_of(limit), share, "{limit:?}");
        }
        assert!(share_of(None) <= tokio::sync::Semaphore::MAX_PERMITS);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let raised = raise_file_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((current, raised), (maximum, maximum.unwrap_or(u64::MAX)));
        assert!(share() > 0);
    }
}
