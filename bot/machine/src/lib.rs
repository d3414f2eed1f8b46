//! What the operator and a pod take from the machine they run on: one value, which `main` builds and `run` is handed.
//!
//! ```text
//! main: Machine::this() ──┐
//!                         ├──> run(.., machine): wall clock, boot clock, randomness, variables, files, names, signals, cluster, jobs
//! a test: Machine { .. } ─┘
//! ```
//!
//! Nothing below `main` asks the machine by another way, so that whole fleets run in one thread of a test on a clock and a seed of
//! their own. Monotonic time is tokio's and is not here: a runtime's paused clock serves everybody in it. Sockets are tokio's
//! too: what listens or connects says an address that this value gave. Deliberately absent: what is done with any of it.

mod boot;
mod cluster;
mod names;
mod random;
mod signals;
mod tasks;
mod wall;

pub use boot::BootClock;
pub use cluster::{ClientOptions, Cluster};
pub use names::Names;
pub use random::Random;
pub use signals::{SignalSource, Signals};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use tasks::Tasks;
pub use wall::WallClock;

/// The machine. Clones are the same one.
#[derive(Clone)]
pub struct Machine {
    /// What the time of day is.
    pub wall: WallClock,
    /// How long it has been up.
    pub boot: BootClock,
    /// Random numbers.
    pub random: Random,
    /// Environment variables.
    pub variables: Variables,
    /// What every path begins with; `/` on a real machine.
    pub root: PathBuf,
    /// The one address that is listened on where a program does not say one; none: whatever the program means.
    pub address: Option<IpAddr>,
    /// Names to addresses.
    pub names: Names,
    /// How the process is told to stop.
    pub signals: SignalSource,
    /// The Kubernetes API server.
    pub cluster: Cluster,
    /// Where CPU jobs run.
    pub jobs: JobThreads,
    /// What the process began beside its main future.
    pub tasks: Tasks,
}

/// A variable's value, if it is set.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where CPU jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobThreads {
    /// On threads of their own, as many as the process may use CPUs.
    Pool,
    /// On the event loop, one after the other, so that their order is given.
    Inline,
}

impl Machine {
    /// The one that this process runs on.
    #[must_use]
    pub fn this() -> Self {
        Self {
            wall: WallClock::system(),
            boot: BootClock::system(),
            random: Random::system(),
            variables: Arc::new(|name| std::env::var(name).ok()),
            root: "/".into(),
            address: None,
            names: Names::system(),
            signals: SignalSource::System,
            cluster: Cluster::inferred(),
            jobs: JobThreads::Pool,
            tasks: Tasks::default(),
        }
    }

    /// A file or folder of this machine, by its usual path.
    #[must_use]
    pub fn path(&self, usual: &str) -> PathBuf {
        self.root.join(Path::new(usual).strip_prefix("/").unwrap_or(Path::new(usual)))
    }

    /// A variable's value, if it is set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_below_the_root() {
        let this = Machine::this();
        assert_eq!(this.path("/var/run/state"), Path::new("/var/run/state"));
        let other = Machine { root: "/tmp/pod".into(), ..this };
        assert_eq!(other.path("/var/run/state"), Path::new("/tmp/pod/var/run/state"));
    }
}
