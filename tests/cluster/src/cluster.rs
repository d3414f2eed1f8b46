//! A cluster: brought up, found again, used and taken down.
//!
//! The library's interface, for tests, the demo and `cargo cluster`. [`Cluster::up`] is idempotent: a cluster
//! of that name that is up is used as it is, and what a crash left half done is removed first. How a new one
//! comes up is `cluster/start.rs`. Deliberately absent: a Kubernetes client; callers bring their own (see
//! [`Cluster::enter_network`]) or call `kubectl`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::cgroup::Hierarchies;
use crate::error::Error;
use crate::found::Record;
use crate::keeper::{self, Keeper};
use crate::place::{MOST_NODES, MachineName, Place};
use crate::programs::{Programs, Release};
use crate::removal::{self, Lock};
use crate::run::Stop;
use crate::{config, machine, network, packages, ready, setup};

pub(crate) mod api;
mod start;

/// A process joins a cgroup in each tree and becomes what follows.
const BESIDE: &str = r#"for members in $MEMBERS; do echo $$ >"$members/cgroup.procs" || exit 1; done; unset MEMBERS; exec "$@""#;
/// How long `up` waits for the end of another caller's cluster of the same name, which may be just going
/// down.
const OTHERS_END: Duration = Duration::from_secs(15);

/// Which cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name: 1 to 40 of a-z, 0-9 and `-`. Clusters of different names do not meet.
    pub name: String,
    /// How many nodes, 0 to 9. With 0 there is only etcd and the API server: no controllers, no pods.
    pub nodes: u8,
    /// Which Kubernetes its API server is of.
    pub release: Release,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "local".to_owned(), nodes: 2, release: Release::default() }
    }
}

/// How long a new cluster stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until someone takes it down.
    UntilDown,
    /// Until the [`Cluster`] is dropped or this process ends, however it ends.
    WithCaller,
}

/// A cluster that is up.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    nodes: u8,
    programs: Programs,
    /// If this caller started it and it is to end with this caller.
    keeper: Option<Keeper>,
}

impl Cluster {
    /// Finds the cluster or starts it; returns when its nodes are Ready and its DNS answers.
    ///
    /// `progress` is told each step (see [`crate::printer`]). The first call on a machine builds Kubernetes,
    /// which takes minutes. A cluster that is found keeps the lifetime it was started with.
    pub fn up(options: &Options, lifetime: Lifetime, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let place = Place::of(&options.name)?;
        if options.nodes > MOST_NODES {
            return Err(Error::Option { option: "nodes", found: options.nodes.to_string(), rule: "0 to 9" });
        }
        if options.nodes > 0 && options.release == Release::Oldest {
            let rule = "0 beside the oldest API server: kubelets must not be newer than it";
            return Err(Error::Option { option: "nodes", found: options.nodes.to_string(), rule });
        }
        setup::machine(&[], progress)?;
        let (programs, archives) = setup::programs(place.cache(), &Stop::default(), progress)?;
        let programs = programs.of(options.release);
        let lock = lock_unused(&place, progress)?;
        if let Some(found) = Self::found(&place, &programs, options.nodes)? {
            progress(&format!("cluster {:?} is up already", options.name));
            return Ok(found);
        }
        removal::clear(&place, &lock)?;
        removal::forget_failure(&place)?;
        let keeper = Some(Keeper::start(&place)?);
        let mut cluster = Self { place, nodes: options.nodes, programs, keeper };
        match cluster.start(&archives, progress) {
            Ok(()) => {
                if lifetime == Lifetime::UntilDown {
                    cluster.keeper.take().map_or(Ok(()), Keeper::dismiss)?;
                }
                Ok(cluster)
            }
            Err(error) => {
                cluster.keep_logs();
                drop(lock);
                // The first error is the one to tell; a failed removal is tried again by the next `up` or `down`.
                let _ = cluster.down();
                Err(error)
            }
        }
    }

    /// The cluster that is up; never starts anything.
    pub fn find(name: &str) -> Result<Self, Error> {
        let place = Place::of(name)?;
        packages::check_machine()?;
        let not_up = || Error::NotUp { name: name.to_owned() };
        let record = Record::read(&place).ok_or_else(not_up)?;
        if !machine::is_running(&place, &Hierarchies::find()?, MachineName::ControlPlane) {
            return Err(not_up());
        }
        let programs = Programs::in_folder(record.programs);
        Ok(Self { place, nodes: record.nodes, programs, keeper: None })
    }

    /// Takes down the cluster of that name, or what is left of it, whoever started it; nothing there is no
    /// error.
    pub fn remove(name: &str) -> Result<(), Error> {
        let place = Place::of(name)?;
        packages::check_machine()?;
        removal::forget_failure(&place)?;
        removal::remove(&place)
    }

    /// Takes it down, whoever started it; returns when nothing of it is left.
    pub fn down(mut self) -> Result<(), Error> {
        match self.keeper.take() {
            Some(keeper) => keeper.release(),
            None => removal::remove(&self.place),
        }
    }

    /// `kubectl` as the administrator.
    pub fn kubectl(&self) -> Command {
        self.command("kubectl")
    }

    /// `helm` as the administrator.
    pub fn helm(&self) -> Command {
        self.command("helm")
    }

    /// The Helm before it, as the administrator.
    pub fn helm3(&self) -> Command {
        self.command("helm3")
    }

    /// The administrator's kubeconfig; its server can be reached from within the cluster's network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.place.kubeconfig()
    }

    /// The folder with all of its files, `MACHINE/log/DAEMON.log` among them.
    pub fn folder(&self) -> PathBuf {
        self.place.folder()
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> u8 {
        self.nodes
    }

    /// The variables with which a shell's `kubectl` and `helm` are this cluster's: `KUBECONFIG` and `PATH`.
    pub fn env(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_else(|_| crate::debian::PATH.to_owned());
        vec![
            ("KUBECONFIG".to_owned(), self.kubeconfig().display().to_string()),
            ("PATH".to_owned(), format!("{}:{path}", self.place.bin().display())),
        ]
    }

    /// The control plane's network namespace as a file, for `nsenter --net=`.
    pub fn network(&self) -> PathBuf {
        self.place.network_file(MachineName::ControlPlane)
    }

    /// A command line that runs what is appended to it in the cluster's network.
    pub fn in_network(&self) -> Command {
        network::enter(&self.place, MachineName::ControlPlane)
    }

    /// A command line that runs what is appended to it on what the cluster's machines leave of the cores. It ends with the cluster.
    pub fn beside(&self) -> Result<Command, Error> {
        let members = Hierarchies::find()?.make_idle(&self.place)?;
        let mut command = Command::new("sh");
        command.args(["-c", BESIDE, "beside"]).env("MEMBERS", members.join(" "));
        Ok(command)
    }

    /// Moves the calling thread into the cluster's network, where the API server (10.88.0.1:6443), Services
    /// and pods can be reached; threads it starts from then on are there too. For a client in this process,
    /// call it before its runtime is built.
    pub fn enter_network(&self) -> Result<(), Error> {
        network::move_thread(&self.place, MachineName::ControlPlane)
    }

    /// Imports a docker-archive into every node that runs; its names are as in the archive.
    pub fn load_image(&self, archive: &Path) -> Result<(), Error> {
        let hierarchies = Hierarchies::find()?;
        let nodes: Vec<_> = MachineName::nodes(self.nodes).collect();
        let running = nodes.into_iter().filter(|node| machine::is_running(&self.place, &hierarchies, *node));
        self.import(&hierarchies, &running.collect::<Vec<_>>(), &[archive])
    }

    /// Ends a node (from 1) at once, as a power cut does. Kubernetes notices after 20 s.
    pub fn kill_node(&self, node: u8) -> Result<(), Error> {
        let node = self.node(node)?;
        let hierarchies = Hierarchies::find()?;
        machine::kill(&self.place, &hierarchies, node)?;
        self.clear_node(&hierarchies, node)
    }

    /// Ends processes at once, as the kernel does when memory is short: those of this program on the control plane (0) or a
    /// node (from 1), and of them only those with this in their environment, as `NAME=value`. Returns how many there were.
    /// A daemon of Kubernetes is started again by its machine, a container by its kubelet.
    pub fn kill_processes(&self, machine: u8, program: &str, variable: Option<&str>) -> Result<usize, Error> {
        let machine = if machine == 0 { MachineName::ControlPlane } else { self.node(machine)? };
        let meant = machine::processes(&self.place, &Hierarchies::find()?, machine, program, variable);
        machine::kill_processes(&meant)?;
        Ok(meant.len())
    }

    /// Fills a file of each such process of a node until there is no more room for it, on account of the process's memory; how long each is.
    pub fn fill(&self, node: u8, program: &str, variable: &str, file: &str) -> Result<Vec<u64>, Error> {
        let (node, hierarchies) = (self.node(node)?, Hierarchies::find()?);
        let meant = machine::processes(&self.place, &hierarchies, node, program, Some(variable));
        meant.into_iter().map(|process| machine::fill(&hierarchies, process, file)).collect()
    }

    /// Starts a killed node again, with its disk as it was; returns when its containerd answers, before it is
    /// Ready.
    pub fn start_node(&self, node: u8) -> Result<(), Error> {
        let node = self.node(node)?;
        let hierarchies = Hierarchies::find()?;
        if machine::is_running(&self.place, &hierarchies, node) {
            return Ok(());
        }
        // What a kill left that was itself killed.
        self.clear_node(&hierarchies, node)?;
        self.start_node_machine(&hierarchies, node)?;
        self.await_containerd(&hierarchies, node)
    }

    fn clear_node(&self, hierarchies: &Hierarchies, node: MachineName) -> Result<(), Error> {
        hierarchies.remove(&self.place, node)?;
        network::remove(&self.place, node)
    }

    fn node(&self, node: u8) -> Result<MachineName, Error> {
        if (1..=self.nodes).contains(&node) {
            return Ok(MachineName::Node(node));
        }
        Err(Error::Option {
            option: "node",
            found: node.to_string(),
            rule: "one of this cluster's, counted from 1",
        })
    }

    /// A cluster that is up and is the one asked for. Nodes that were lost are started again.
    fn found(place: &Place, programs: &Programs, nodes: u8) -> Result<Option<Self>, Error> {
        let Some(record) = Record::read(place) else { return Ok(None) };
        if !machine::is_running(place, &Hierarchies::find()?, MachineName::ControlPlane) {
            return Ok(None);
        }
        let differs = |found| Error::Differs { name: place.name().to_owned(), found };
        if record.nodes != nodes {
            return Err(differs(format!("{} nodes, not {nodes}", record.nodes)));
        }
        if record.programs != programs.folder() {
            return Err(differs(format!("other programs ({})", record.programs.display())));
        }
        let cluster = Self { place: place.clone(), nodes, programs: programs.clone(), keeper: None };
        if !ready::api_answers(cluster.kubectl()) {
            return Ok(None);
        }
        for node in 1..=nodes {
            cluster.start_node(node)?;
        }
        Ok(Some(cluster))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.place.bin().join(name));
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// What the commands in `bin/` are: the program, in the cluster's network, with caches that end with
    /// the cluster.
    fn wrapper(&self, name: &str) -> String {
        let quoted = |path: PathBuf| config::quoted(&path.display().to_string());
        let cache = |name: &str| quoted(self.place.folder().join("cache").join(name));
        format!(
            "#!/bin/sh\nexport KUBECACHEDIR={} HELM_CACHE_HOME={} HELM_CONFIG_HOME={} HELM_DATA_HOME={}\n\
             exec nsenter --net={} -- {} \"$@\"\n",
            cache("kubectl"),
            cache("helm-cache"),
            cache("helm-config"),
            cache("helm-data"),
            quoted(self.network()),
            quoted(self.programs.path(name)),
        )
    }
}

/// Takes the lock when no other caller's cluster of that name is up.
fn lock_unused(place: &Place, progress: &mut dyn FnMut(&str)) -> Result<Lock, Error> {
    let start = Instant::now();
    loop {
        let lock = Lock::take(place, progress)?;
        if !keeper::is_alive(place) {
            return Ok(lock);
        }
        if start.elapsed() > OTHERS_END {
            return Err(Error::InUse { name: place.name().to_owned() });
        }
        drop(lock);
        thread::sleep(Duration::from_millis(200));
    }
}
