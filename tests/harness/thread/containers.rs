//! A program as a future with a machine of its own.
//!
//! From what a program is given to a [`Process`], and to how it ended. Killed, the future is dropped with all tasks that it began, as
//! SIGKILL ends a process; what it wrote to its files stays. Deliberately absent: writes that were not synced yet.

use super::link::Link;
use super::network::Network;
use anyhow::{Context, Result};
use apiserver_sim::Server;
use sha2::{Digest as _, Sha256};
use shard_machine::{Cluster, JobThreads, Machine, Random, SignalSource, Tasks, WallClock};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What programs run on.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) api: Server,
    pub(super) network: Network,
    pub(super) wall: WallClock,
    pub(super) seed: u64,
    pub(super) folder: PathBuf,
    /// The way of operators and pods to the API server.
    pub(super) way: watch::Sender<bool>,
    /// So many were made.
    pub(super) machines: Arc<AtomicU32>,
}

impl Around {
    /// A client whose way may be shut.
    pub(super) fn client(&self, user: &str, namespace: &str, way: watch::Receiver<bool>) -> kube::Client {
        kube::Client::new(Link::new(self.api.service(user), way), namespace)
    }

    /// A machine of its own for this host; what it draws by lot follows from the seed, its name, and how many there were before.
    pub(super) fn machine(
        &self,
        host: &str,
        address: IpAddr,
        user: &str,
        namespace: &str,
        variables: Vec<(String, String)>,
    ) -> Machine {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let hash = Sha256::digest(format!("{} {host} {number}", self.seed));
        let seed = hash[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let variables: BTreeMap<_, _> = variables.into_iter().collect();
        Machine {
            wall: self.wall.clone(),
            random: Random::seeded(seed),
            variables: Arc::new(move |name| variables.get(name).cloned()),
            root: self.folder.join(host),
            address: Some(address),
            names: self.network.resolver(),
            signals: SignalSource::System,
            cluster: Cluster::of(self.client(user, namespace, self.way.subscribe())),
            jobs: JobThreads::Inline,
            tasks: Tasks::default(),
        }
    }
}

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    main: JoinHandle<Result<()>>,
    tasks: Tasks,
    signals: watch::Sender<u32>,
}

impl Process {
    /// Begins it on this machine, which is told to stop by this process alone.
    pub(super) fn begin<F: Future<Output = Result<()>> + Send + 'static>(
        machine: Machine,
        program: impl FnOnce(Machine) -> F,
    ) -> Self {
        let (signals, told) = watch::channel(0);
        let machine = Machine { signals: SignalSource::Channel(told), ..machine };
        let tasks = machine.tasks.clone();
        Self { main: tokio::spawn(program(machine)), tasks, signals }
    }

    /// Tells it to stop; a second time: at once.
    pub(super) fn signal(&self) {
        self.signals.send_modify(|said| *said += 1);
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.main.is_finished()
    }

    /// Ends it at once.
    pub(super) fn kill(self) {
        self.main.abort();
        self.tasks.end();
    }

    /// Tells it to stop, and how it ended.
    pub(super) async fn stop(mut self, within: Duration) -> Result<()> {
        self.signal();
        let ended = tokio::time::timeout(within, &mut self.main).await;
        self.tasks.end();
        ended.context("it did not stop in time")?.context("it panicked")?
    }
}
