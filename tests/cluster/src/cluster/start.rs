//! How a new cluster comes up: everything that can start at once does, and each waits only for what it needs.
//!
//! The nodes' containerd and their images come up while the API server does; kubelet, proxy, scheduler and
//! controllers wait for files that say so. Part of [`Cluster::up`], which removes everything if a step fails.
//! Deliberately absent: the settings (`config/`) and what a machine is (`machine.rs`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::Cluster;
use crate::cgroup::Hierarchies;
use crate::config::node::Host;
use crate::config::{self, control_plane, dns};
use crate::error::Error;
use crate::found::Record;
use crate::place::MachineName;
use crate::ready::{self, Watch};
use crate::run::run_with_input;
use crate::{certificates, kubeconfig, machine, network, packages};

/// Between looks at something that is about to happen: cheap looks and looks by `kubectl`.
const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_millis(250);

impl Cluster {
    /// Starts everything in an empty folder; returns when it is ready for use.
    pub(super) fn start(
        &self,
        archives: &[impl AsRef<Path> + Sync],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let hierarchies = Hierarchies::find()?;
        self.write_files()?;
        progress("starting the control plane and its nodes");
        self.start_control_plane(&hierarchies)?;
        for node in MachineName::nodes(self.nodes) {
            self.start_node_machine(&hierarchies, node)?;
        }
        thread::scope(|scope| {
            let images = scope.spawn(|| self.prepare_nodes(&hierarchies, archives));
            self.await_api(&hierarchies)?;
            progress("the API server is ready");
            fs::write(self.place.api_is_ready(), "")
                .map_err(Error::io("write", self.place.api_is_ready()))?;
            if self.nodes > 0 {
                self.apply_dns(&hierarchies)?;
            }
            joined(images)
        })?;
        if self.nodes > 0 {
            self.await_condition(&hierarchies, &["get", "nodes"], "nodes are", "Ready")?;
            progress("the nodes are Ready");
            let pods = ["get", "pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns"];
            self.await_condition(&hierarchies, &pods, "CoreDNS pods are", "Ready")?;
            progress("the cluster's DNS is ready");
        }
        Record { nodes: self.nodes, programs: self.programs.folder().to_owned() }.write(&self.place)
    }

    /// Saves the logs from the removal that follows a failure.
    pub(super) fn keep_logs(&self) {
        for machine in MachineName::all(self.nodes) {
            let kept = self.place.failed().join(machine.to_string());
            // Without logs there is only less to read.
            let _ = fs::create_dir_all(self.place.failed());
            let _ = fs::rename(self.place.machine(machine).join("log"), kept);
        }
    }

    /// Network, cgroups and processes of a node whose folder is there.
    pub(super) fn start_node_machine(
        &self,
        hierarchies: &Hierarchies,
        node: MachineName,
    ) -> Result<(), Error> {
        network::add_node(&self.place, node)?;
        hierarchies.make(&self.place, node)?;
        machine::start(&self.place, hierarchies, node)
    }

    pub(super) fn await_containerd(&self, hierarchies: &Hierarchies, node: MachineName) -> Result<(), Error> {
        self.watch(hierarchies).until(SOON, || {
            let there = machine::has_containerd(&self.place, hierarchies, node);
            (!there).then(|| format!("{node}'s containerd did not start"))
        })
    }

    /// Imports each archive into each of the nodes, the nodes side by side.
    pub(super) fn import(
        &self,
        hierarchies: &Hierarchies,
        nodes: &[MachineName],
        archives: &[impl AsRef<Path> + Sync],
    ) -> Result<(), Error> {
        let ctr = self.programs.path("ctr");
        let one = |node| {
            let mut archives = archives.iter();
            archives.try_for_each(|archive| {
                machine::import(&self.place, hierarchies, node, &ctr, archive.as_ref())
            })
        };
        thread::scope(|scope| {
            let started: Vec<_> = nodes.iter().map(|node| scope.spawn(|| one(*node))).collect();
            started.into_iter().try_for_each(joined)
        })
    }

    fn write_files(&self) -> Result<(), Error> {
        let place = &self.place;
        let certificates = place.certificates();
        for folder in [&certificates, &place.bin()] {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        certificates::write(&certificates, self.nodes)?;
        let write = |path: &Path, text: String| fs::write(path, text).map_err(Error::io("write", path));
        write(&place.kubeconfig(), kubeconfig::kubeconfig(&certificates, "admin"))?;
        for user in ["kube-controller-manager", "kube-scheduler"] {
            let path = place.folder().join(format!("{user}.kubeconfig"));
            write(&path, kubeconfig::kubeconfig(&certificates, user))?;
        }
        for name in ["kubectl", "helm", "helm3"] {
            let path = place.bin().join(name);
            write(&path, self.wrapper(name))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(Error::io("set mode of", &path))?;
        }
        let daemons = control_plane::daemons(place, &self.programs, self.nodes);
        machine::prepare(place, MachineName::ControlPlane, &daemons, &[])?;
        let cni_folder = packages::cni_folder().unwrap_or_default();
        let host = Host { cni_folder: &cni_folder, snapshotter: snapshotter(&place.folder()) };
        for node in MachineName::nodes(self.nodes) {
            let daemons = config::node::daemons(place, &self.programs, node);
            machine::prepare(
                place,
                node,
                &daemons,
                &config::node::files(place, &self.programs, node, &host),
            )?;
        }
        Ok(())
    }

    fn start_control_plane(&self, hierarchies: &Hierarchies) -> Result<(), Error> {
        network::add_control_plane(&self.place)?;
        hierarchies.make(&self.place, MachineName::ControlPlane)?;
        machine::start(&self.place, hierarchies, MachineName::ControlPlane)
    }

    /// Images before pods: each kubelet waits for its node's.
    fn prepare_nodes(
        &self,
        hierarchies: &Hierarchies,
        archives: &[impl AsRef<Path> + Sync],
    ) -> Result<(), Error> {
        let nodes: Vec<_> = MachineName::nodes(self.nodes).collect();
        for &node in &nodes {
            self.await_containerd(hierarchies, node)?;
        }
        self.import(hierarchies, &nodes, archives)?;
        for &node in &nodes {
            let file = self.place.machine(node).join("images-are-ready");
            fs::write(&file, "").map_err(Error::io("write", &file))?;
        }
        Ok(())
    }

    fn await_api(&self, hierarchies: &Hierarchies) -> Result<(), Error> {
        let watch = self.watch(hierarchies);
        let address = format!("{}:6443", MachineName::ControlPlane.address());
        watch.until(SOON, || {
            (!network::accepts(&self.place, &address))
                .then(|| "the API server does not accept connections".to_owned())
        })?;
        watch.until(SOON, || {
            (!ready::api_answers(self.kubectl())).then(|| "the API server is not ready".to_owned())
        })
    }

    /// Tried again while the API server still makes its own first objects (`kube-system`, RBAC).
    fn apply_dns(&self, hierarchies: &Hierarchies) -> Result<(), Error> {
        let manifest = dns::manifest(self.nodes);
        self.watch(hierarchies).until(LATER, || {
            let mut apply = self.kubectl();
            apply.args(["apply", "--server-side", "--force-conflicts", "--validate=false", "--filename=-"]);
            run_with_input(&mut apply, &manifest).err().map(|error| error.to_string())
        })
    }

    fn await_condition(
        &self,
        hierarchies: &Hierarchies,
        get: &[&str],
        what: &str,
        condition: &str,
    ) -> Result<(), Error> {
        self.watch(hierarchies).until(LATER, || {
            let mut kubectl = self.kubectl();
            kubectl.args(get);
            ready::without_condition(kubectl, what, condition, self.nodes)
        })
    }

    fn watch<'a>(&'a self, hierarchies: &'a Hierarchies) -> Watch<'a> {
        Watch { place: &self.place, hierarchies, machines: MachineName::all(self.nodes).collect() }
    }
}

/// What a thread returned; its panic goes on here.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// An overlay cannot be the upper layer of another, as in a container's own disk; copies always work.
fn snapshotter(folder: &Path) -> &'static str {
    // OVERLAYFS_SUPER_MAGIC of linux/magic.h.
    let is_overlay = rustix::fs::statfs(folder).is_ok_and(|disk| disk.f_type == 0x794c_7630);
    if is_overlay { "native" } else { "overlayfs" }
}
