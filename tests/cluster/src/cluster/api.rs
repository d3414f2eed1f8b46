//! The small form of a cluster: etcd and the API server alone, which a test may stop and start again.
//!
//! From a name to the real API in a few seconds, with nobody behind it: no controllers, no scheduler, no kubelet, so a test
//! that wants pods to run plays these itself, with [`Sandbox`]es for their networks and files. Guarantees: it ends with its
//! caller, and so does whatever runs in its sandboxes. Deliberately absent: nodes, and a Kubernetes client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Cluster, Lifetime, Options};
use crate::cgroup::Hierarchies;
use crate::error::Error;
use crate::place::MachineName;
use crate::programs::Release;
use crate::run::run_with_input;
use crate::sandbox::{self, Sandbox};
use crate::{ready, run};

/// The name of its process, its script and its log.
const SERVER: &str = "kube-apiserver";
/// Enters the cgroup and the network, then becomes the program.
const BESIDE: &str =
    r#"echo $$ >"$MEMBERS/cgroup.procs" && unset MEMBERS && exec nsenter --net="$0" -- "$@""#;
/// How long the kernel may take to end what was killed.
const END: Duration = Duration::from_secs(10);
/// How long the API server may take to answer again.
const LIMIT: Duration = Duration::from_mins(1);
/// Between looks.
const SOON: Duration = Duration::from_millis(20);

/// An API server that is up.
#[derive(Debug)]
pub struct Api {
    cluster: Cluster,
}

impl Api {
    /// Starts one; returns when it answers. `progress` is told each step.
    pub fn up(name: &str, release: Release, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let options = Options { name: name.to_owned(), nodes: 0, release };
        let cluster = Cluster::up(&options, Lifetime::WithCaller, progress)?;
        let (found, wanted) = (version(&cluster)?, release.version()?);
        if found != wanted {
            return Err(Error::Differs { name: name.to_owned(), found: format!("{found}, not {wanted}") });
        }
        sandbox::prepare(&cluster.place)?;
        Ok(Self { cluster })
    }

    /// The cluster that it is, for its kubeconfig, its `kubectl` and its network.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The file of the authority that its certificate is by.
    pub fn authority(&self) -> PathBuf {
        self.cluster.place.certificates().join("ca.crt")
    }

    /// Applies a manifest, and waits until the definitions in it are served.
    pub fn apply(&self, manifest: &str) -> Result<(), Error> {
        let mut apply = self.cluster.kubectl();
        run_with_input(
            apply.args(["apply", "--server-side", "--force-conflicts", "--filename=-"]),
            manifest,
        )?;
        let mut wait = self.cluster.kubectl();
        run::run(wait.args(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]))?;
        Ok(())
    }

    /// Ends the API server at once, as a crash does, and keeps it down. What etcd has stays.
    pub fn stop(&self) -> Result<(), Error> {
        let held = self.held();
        if let Some(folder) = held.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        fs::write(&held, "").map_err(Error::io("write", &held))?;
        let hierarchies = Hierarchies::find()?;
        let start = Instant::now();
        while let Some(server) = self.server(&hierarchies) {
            if start.elapsed() > END {
                return Err(self.not_ready("the API server does not end", END));
            }
            // It may have ended since it was found.
            let _ = kill_process(server, Signal::KILL);
            thread::sleep(SOON);
        }
        Ok(())
    }

    /// Starts it again; returns when it answers. Running already is no error.
    pub fn start(&self) -> Result<(), Error> {
        let held = self.held();
        if held.exists() {
            fs::remove_file(&held).map_err(Error::io("remove", &held))?;
        }
        let start = Instant::now();
        while !ready::api_answers(self.cluster.kubectl()) {
            if start.elapsed() > LIMIT {
                return Err(self.not_ready("the API server does not answer again", LIMIT));
            }
            thread::sleep(SOON);
        }
        Ok(())
    }

    /// A command line that runs a program beside the API server, as a member of the cluster: it ends with it at the latest.
    pub fn command(&self, program: &Path) -> Result<Command, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", BESIDE]).arg(self.cluster.network()).arg(program);
        let members = Hierarchies::find()?.members_of(&self.cluster.place, MachineName::ControlPlane);
        command.env("MEMBERS", members);
        Ok(command)
    }

    /// The network and the mounts of a pod that a test runs as a process. Numbers are the test's own; one that is taken is
    /// made anew.
    pub fn sandbox(&self, number: u16) -> Result<Sandbox, Error> {
        Sandbox::make(&self.cluster.place, number)
    }

    /// Takes it down; returns when nothing of it is left.
    pub fn down(self) -> Result<(), Error> {
        self.cluster.down()
    }

    fn held(&self) -> PathBuf {
        self.cluster.place.machine(MachineName::ControlPlane).join("held").join(SERVER)
    }

    /// Its process. A shell that is about to become it still has another name, and is found at the next look.
    fn server(&self, hierarchies: &Hierarchies) -> Option<Pid> {
        let members = hierarchies.members(&self.cluster.place, MachineName::ControlPlane);
        let is_server = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).split('\0').any(|word| word.ends_with(SERVER))
        };
        members.into_iter().find(is_server).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
    }

    fn not_ready(&self, what: &str, after: Duration) -> Error {
        let log = self.cluster.place.machine(MachineName::ControlPlane).join("log");
        Error::NotReady {
            what: what.to_owned(),
            seconds: after.as_secs(),
            logs: format!("its log is {}/{SERVER}.log", log.display()),
        }
    }
}

/// The version that the API server says it has.
fn version(cluster: &Cluster) -> Result<String, Error> {
    let said = run::run(cluster.kubectl().args(["version", "--output=json"]))?;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    Ok(said["serverVersion"]["gitVersion"].as_str().unwrap_or_default().to_owned())
}
