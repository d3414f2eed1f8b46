//! A Kubernetes to work on, through `kubectl` and `helm`.
//!
//! The embedded one, which lives no longer than its caller, or the one that `KUBECONFIG` names. Deliberately absent: any
//! knowledge of what runs on it.

use crate::images::{Image, run};
use crate::until::{Seen, until};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use shard_contract::env::STATE_DIR;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use test_cluster::debian::callers_program;
use test_cluster::{Cluster, Lifetime, Options};

/// A Kubernetes.
#[derive(Debug)]
pub enum Kube {
    /// The embedded one.
    Embedded(Cluster),
    /// The user's own; images are brought to it by this.
    Users(Delivery),
}

/// The definition that the chart installs.
const DEFINITION: &str = "shardedbots.shard-operator.dev";

/// How images reach the user's own cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `kind load image-archive`.
    Kind(String),
    /// `k3d image import`.
    K3d(String),
    /// They are there already: pulled from the registry that the manifests name.
    Registry,
}

impl Kube {
    /// The user's cluster if `KUBECONFIG` is set, else an embedded one of this name that ends with this process.
    ///
    /// # Errors
    /// When there is no cluster to be had; says what is missing and how to get it.
    pub fn up(name: &str, lifetime: Lifetime, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        if Self::is_users() {
            return Self::users(progress);
        }
        let options = Options { name: name.to_owned(), ..Options::default() };
        Ok(Self::Embedded(Cluster::up(&options, lifetime, progress)?))
    }

    /// Whether it is, or would be, the user's own.
    #[must_use]
    pub fn is_users() -> bool {
        std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty())
    }

    /// Whether the user's cluster can be used: asked before anything is built for it.
    ///
    /// # Errors
    /// Names what is missing on the search path.
    pub fn check_users() -> Result<()> {
        let delivery = match Self::users(&mut |_| ())? {
            Self::Users(Delivery::Kind(_)) => Some("kind"),
            Self::Users(Delivery::K3d(_)) => Some("k3d"),
            _ => None,
        };
        let needed = ["kubectl", "helm"].into_iter().chain(delivery);
        let missing: Vec<_> = needed.filter(|name| callers_program(name).is_none()).collect();
        if !missing.is_empty() {
            bail!("KUBECONFIG is set, so its cluster is used, and your PATH lacks {}", missing.join(" and "));
        }
        Ok(())
    }

    fn users(progress: &mut dyn FnMut(&str)) -> Result<Self> {
        let output = run(Command::new("kubectl").args(["config", "current-context"]))
            .context("KUBECONFIG is set, so its cluster is used, by the kubectl and helm of your PATH")?;
        let current = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        progress(&format!("KUBECONFIG is set: using context {current}"));
        Ok(Self::Users(match current.split_once('-') {
            Some(("kind", name)) => Delivery::Kind(name.to_owned()),
            Some(("k3d", name)) => Delivery::K3d(name.to_owned()),
            _ => Delivery::Registry,
        }))
    }

    /// Makes sure that a user's own cluster has nothing of ours yet: what is there is not ours to change or remove.
    ///
    /// # Errors
    /// Names what is there, and the remedy.
    pub fn is_clear(&self, namespaces: &[&str]) -> Result<()> {
        if matches!(self, Self::Embedded(_)) {
            return Ok(());
        }
        let mut found = Vec::new();
        if self.get(&["crd", DEFINITION])?.is_some() {
            found.push(format!("crd/{DEFINITION}"));
        }
        for namespace in namespaces {
            if self.get(&["namespace", namespace])?.is_some() {
                found.push(format!("namespace/{namespace}"));
            }
        }
        if !found.is_empty() {
            let found = found.join(" ");
            bail!(
                "KUBECONFIG names a cluster that has {found} already; use another, or remove them: kubectl delete {found}"
            );
        }
        Ok(())
    }

    /// Removes from a user's own cluster what [`Self::is_clear`] found absent; an embedded one goes as a whole.
    ///
    /// # Errors
    /// When something stays.
    pub fn clear(&self, namespaces: &[&str]) -> Result<()> {
        if matches!(self, Self::Embedded(_)) {
            return Ok(());
        }
        self.run(&["delete", "--ignore-not-found", "crd", DEFINITION])?;
        self.run(&[&["delete", "--ignore-not-found", "namespace"], namespaces].concat())?;
        let cluster = ["clusterrole,clusterrolebinding", "--selector=app.kubernetes.io/name=shard-operator"];
        self.run(&[&["delete"], &cluster[..]].concat()).map(drop)
    }

    /// Brings an image to every node.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub fn load(&self, image: &Image) -> Result<()> {
        match self {
            Self::Embedded(cluster) => Ok(cluster.load_image(&image.archive)?),
            Self::Users(Delivery::Kind(name)) => {
                run(Command::new("kind").args(["load", "image-archive", "--name", name]).arg(&image.archive))
                    .map(drop)
            }
            Self::Users(Delivery::K3d(name)) => {
                run(Command::new("k3d").args(["image", "import", "--cluster", name]).arg(&image.archive))
                    .map(drop)
            }
            Self::Users(Delivery::Registry) => Ok(()),
        }
    }

    /// Waits until a Deployment's pods are those of its newest template, and available; says what the cluster tells of them if
    /// that takes longer than `most`.
    ///
    /// # Errors
    /// When they are not.
    pub fn rolled_out(&self, namespace: &str, deployment: &str, most: Duration) -> Result<()> {
        let (deployment, most) =
            (format!("deployment/{deployment}"), format!("--timeout={}s", most.as_secs()));
        let place = ["--namespace", namespace];
        let Err(error) = self.run(&[&["rollout", "status", &deployment, &most], &place[..]].concat()) else {
            return Ok(());
        };
        let seen = self.run(&[&["get", "pods,events", "--output=wide"], &place[..]].concat());
        let seen = seen.unwrap_or_else(|error| format!("{error:#}"));
        Err(error.context(format!("{deployment} is not there; in its namespace are\n{seen}")))
    }

    /// `kubectl`, not yet run.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        match self {
            Self::Embedded(cluster) => cluster.kubectl(),
            Self::Users(_) => Command::new("kubectl"),
        }
    }

    /// `helm`, not yet run.
    #[must_use]
    pub fn helm(&self) -> Command {
        match self {
            Self::Embedded(cluster) => cluster.helm(),
            Self::Users(_) => Command::new("helm"),
        }
    }

    /// The Helm before it, not yet run.
    #[must_use]
    pub fn helm3(&self) -> Command {
        match self {
            Self::Embedded(cluster) => cluster.helm3(),
            Self::Users(_) => Command::new("helm3"),
        }
    }

    /// Runs `kubectl` and returns what it printed.
    ///
    /// # Errors
    /// When it fails; its words are quoted.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = run(self.kubectl().args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `kubectl` with something on its standard input; returns what it printed.
    ///
    /// # Errors
    /// When it fails; its words are quoted.
    pub fn feed(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.kubectl();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).context("write to kubectl")?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// An object, or a list, as JSON; none when it does not exist.
    ///
    /// # Errors
    /// When `kubectl` fails.
    pub fn get(&self, arguments: &[&str]) -> Result<Option<Value>> {
        let text = self.run(&[&["get", "--ignore-not-found", "--output=json"], arguments].concat())?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&text).context("read kubectl's JSON")?))
    }

    /// Waits until an object is as it should be.
    ///
    /// # Errors
    /// After `most`, with the object's status as it was last seen.
    pub fn wait(
        &self,
        what: &str,
        most: Duration,
        arguments: &[&str],
        mut holds: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        until(what, most, || {
            Ok(match self.get(arguments)? {
                Some(object) if holds(&object) => Seen::Yes(object),
                Some(object) => Seen::NotYet(object.get("status").unwrap_or(&object).to_string()),
                None => Seen::NotYet("no such object".to_owned()),
            })
        })
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// After `most`.
    pub fn wait_gone(&self, most: Duration, arguments: &[&str]) -> Result<()> {
        until(&format!("the end of {}", arguments.join(" ")), most, || {
            Ok(match self.get(arguments)? {
                None => Seen::Yes(()),
                Some(list) if list["items"].as_array().is_some_and(Vec::is_empty) => Seen::Yes(()),
                Some(object) => Seen::NotYet(object["metadata"].to_string()),
            })
        })
    }

    /// Ends a bot's process in its container, as the kernel does when memory is short. A user's own cluster has no door for
    /// that: its pod is deleted instead.
    ///
    /// # Errors
    /// When there is no such process, or the pod cannot be deleted.
    pub fn kill_bot(&self, namespace: &str, pod: &str) -> Result<()> {
        let Self::Embedded(cluster) = self else {
            return self.run(&["delete", "pod", pod, "--namespace", namespace]).map(drop);
        };
        let variable = format!("SHARD_POD_NAME={pod}");
        let mut ended = 0;
        for node in 1..=cluster.nodes() {
            ended += cluster.kill_processes(node, "shard-bot", Some(&variable))?;
        }
        if ended == 1 { Ok(()) } else { bail!("pod {pod} has {ended} processes of the bot; expected 1") }
    }

    /// Fills the folder in memory that a bot's pod keeps its state in; how many bytes that took.
    ///
    /// # Errors
    /// When there is no such process, or the cluster is the user's own.
    pub fn fill_state(&self, pod: &str) -> Result<u64> {
        let Self::Embedded(cluster) = self else { bail!("nobody reaches a pod's memory in your cluster") };
        let (variable, file) = (format!("SHARD_POD_NAME={pod}"), format!("{STATE_DIR}/full"));
        let mut filled = Vec::new();
        for node in 1..=cluster.nodes() {
            filled.extend(cluster.fill(node, "shard-bot", &variable, &file)?);
        }
        let [bytes] = filled[..] else {
            bail!("pod {pod} has {} processes of the bot; expected 1", filled.len())
        };
        Ok(bytes)
    }

    /// Runs `helm` in the checkout and returns what it printed.
    ///
    /// # Errors
    /// When it fails; its words are quoted.
    pub fn helm_run(&self, checkout: &Path, arguments: &[&str]) -> Result<String> {
        let output = run(self.helm().current_dir(checkout).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same with the Helm before it.
    ///
    /// # Errors
    /// The same.
    pub fn helm3_run(&self, checkout: &Path, arguments: &[&str]) -> Result<String> {
        let output = run(self.helm3().current_dir(checkout).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Calls a URL from within the cluster's network; returns the status and the body. On the user's own cluster, from this
    /// machine.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = match self {
            Self::Embedded(cluster) => {
                let mut command = cluster.in_network();
                command.arg("curl");
                command
            }
            Self::Users(_) => Command::new("curl"),
        };
        let shape = ["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"];
        let output = run(command.args(shape).args(arguments))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').context("curl printed no status")?;
        Ok(format!("{status} {body}"))
    }

    /// Takes an embedded cluster down and waits until nothing is left of it.
    ///
    /// # Errors
    /// When something stays.
    pub fn down(self) -> Result<()> {
        match self {
            Self::Embedded(cluster) => Ok(cluster.down()?),
            Self::Users(_) => Ok(()),
        }
    }
}
