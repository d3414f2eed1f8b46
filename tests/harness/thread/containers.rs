//! A program as a future with a machine of its own.
//!
//! From what a program is given to a [`Process`], and to how it ended. Killed, the future is dropped with all tasks that it began, as
//! SIGKILL ends a process; its files stay as they are at that moment, whatever is still written by what is dropped. Deliberately absent:
//! writes that were not synced yet; they are lost only with a node, and its pod's files with it.

use super::NAMESPACE;
use super::link::{Link, LinkOptions};
use super::network::Network;
use crate::fleet::proxy::Tamper;
use anyhow::{Context, Result};
use apiserver_sim::Server;
use sha2::{Digest as _, Sha256};
use shard_machine::{
    BootClock, ClientOptions, Cluster, JobThreads, Machine, Random, SignalSource, Tasks, WallClock,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
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
    pub(super) boot: BootClock,
    pub(super) seed: u64,
    pub(super) folder: PathBuf,
    /// Whether operators and pods reach the API server.
    pub(super) is_open: watch::Sender<bool>,
    /// Where operators reach Discord; so it stands in what they write.
    pub(super) discord: SocketAddr,
    /// Where it is.
    pub(super) discord_itself: SocketAddr,
    /// So many were made.
    pub(super) machines: Arc<AtomicU32>,
}

/// Whose program runs on a machine.
pub(super) struct Host<'a> {
    /// Its name; a pod's UID.
    pub(super) name: &'a str,
    pub(super) address: IpAddr,
    /// Whether it reads of Discord by its own way.
    pub(super) is_pod: bool,
    /// Who it is at the API server.
    pub(super) user: &'a str,
    pub(super) variables: Vec<(String, String)>,
    /// Who tampers with what it asks.
    pub(super) tamper: Option<Arc<Tamper>>,
}

impl Around {
    /// A machine of its own for this host; its random numbers follow from the seed, its name, and how many there were before.
    pub(super) fn machine(&self, host: Host<'_>) -> Result<Machine> {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let hash = Sha256::digest(format!("{} {} {number}", self.seed, host.name));
        let seed = hash[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let cluster = self.cluster(&host)?;
        let variables: BTreeMap<_, _> = host.variables.into_iter().collect();
        Ok(Machine {
            wall: self.wall.clone(),
            boot: self.boot.clone(),
            random: Random::seeded(seed),
            variables: Arc::new(move |name| variables.get(name).cloned()),
            root: self.folder.join(host.name),
            address: Some(host.address),
            names: self.network.resolver(host.address),
            signals: SignalSource::System,
            cluster,
            jobs: JobThreads::Inline,
            tasks: Tasks::default(),
        })
    }

    /// The way of a host to the API server. A pod that has a way of its own to Discord reads that instead of Discord's address, as behind
    /// a router that translates addresses. An operator does not: it would read other than it wrote.
    fn cluster(&self, host: &Host<'_>) -> Result<Cluster> {
        let discord = if host.is_pod {
            self.network.discord(host.address, self.discord_itself).context("make a way to Discord")?
        } else {
            self.discord
        };
        let options = LinkOptions {
            is_open: self.is_open.subscribe(),
            passages: self.network.reach(host.address),
            io_timeout: None,
            tamper: host.tamper.clone(),
            is_somebody: self.is_somebody(host),
            reads: (discord != self.discord).then(|| (format!("//{}", self.discord), format!("//{discord}"))),
        };
        let service = self.api.service(host.user).from(host.name);
        Ok(Cluster::by(move |of: ClientOptions| {
            let options = LinkOptions { io_timeout: of.io_timeout, ..options.clone() };
            kube::Client::new(Link::new(service.clone(), options), NAMESPACE)
        }))
    }
}

impl Around {
    /// A pod's token is nobody's once the pod or its account was deleted, whatever of it still runs.
    fn is_somebody(&self, host: &Host<'_>) -> Arc<dyn Fn() -> bool + Send + Sync> {
        if !host.is_pod {
            return Arc::new(|| true);
        }
        let (api, uid) = (self.api.clone(), host.name.to_owned());
        let name = host.user.rsplit(':').next().unwrap_or_default().to_owned();
        let account = move |api: &Server| api.uid_of("serviceaccounts", NAMESPACE, &name);
        let began_with = account(&api);
        Arc::new(move || api.knows_pod(&uid) && account(&api) == began_with)
    }
}

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    root: PathBuf,
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
        let (root, tasks) = (machine.root.clone(), machine.tasks.clone());
        let (program, with_it) = (program(machine), tasks.clone());
        let main = tokio::spawn(async move {
            let ended = program.await;
            with_it.end();
            ended
        });
        Self { root, main, tasks, signals }
    }

    /// Tells it to stop; a second time: at once.
    pub(super) fn signal(&self) {
        self.signals.send_modify(|said| *said += 1);
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.main.is_finished()
    }

    /// Ends it at once, without a word; the next process of its machine finds its files as they are now.
    ///
    /// # Panics
    /// When they cannot be kept.
    pub(super) fn kill(self) {
        keep_files(&self.root).expect("keep the files of a process that is killed");
        self.end();
    }

    /// Ends it at once where nothing comes after it.
    pub(super) fn end(self) {
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

/// Puts copies in the place of all files, so that whoever has them open or mapped writes to nobody.
fn keep_files(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let beside = folder.with_extension("kept");
    copy(folder, &beside)?;
    std::fs::remove_dir_all(folder)?;
    std::fs::rename(beside, folder)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_written_after_the_end_of_a_process_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("pod");
        std::fs::create_dir_all(root.join("state")).unwrap();
        let mut file = std::fs::File::create(root.join("state/0")).unwrap();
        file.write_all(b"begun").unwrap();
        keep_files(&root).unwrap();
        file.write_all(b" and done").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("state/0")).unwrap(), "begun");
        keep_files(&folder.path().join("none")).unwrap();
    }
}
