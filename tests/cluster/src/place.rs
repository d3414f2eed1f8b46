//! Where everything of one cluster is: its folder, namespaces, cgroups and addresses, all from its name.
//!
//! For every other file here, so that two clusters cannot meet and what belongs to one can be found from its
//! name alone, also after a crash. The addresses exist only inside the namespaces, so all clusters share
//! them. Deliberately absent: anything that reads or writes; these are names.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A cluster's name, and what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    name: String,
    cache: PathBuf,
}

/// The folder where this user keeps what can be made again: programs, clusters, and what other tests install.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
pub fn cache() -> Result<PathBuf, Error> {
    let home = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = home("XDG_CACHE_HOME").or_else(|| home("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or_else(|| Error::Option {
        option: "HOME",
        found: std::env::var("HOME").unwrap_or_default(),
        rule: "an absolute path (or XDG_CACHE_HOME), since programs and clusters are kept below it",
    })?;
    Ok(cache.join("shard-operator"))
}

impl Place {
    /// Checks the name and finds the cache folder of this user.
    pub fn of(name: &str) -> Result<Self, Error> {
        Self::below(name, &cache()?)
    }

    fn below(name: &str, cache: &Path) -> Result<Self, Error> {
        let letters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if name.is_empty() || name.len() > 40 || !letters || name.starts_with('-') {
            return Err(Error::Option {
                option: "the cluster's name",
                found: name.to_owned(),
                rule: "1 to 40 of a-z, 0-9 and -, not starting with -",
            });
        }
        Ok(Self { name: name.to_owned(), cache: cache.to_owned() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where programs and clusters are kept between runs.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// All of a running cluster's files; gone when it is down. Its lock is on this folder itself.
    pub fn folder(&self) -> PathBuf {
        self.cache.join("clusters").join(&self.name)
    }

    /// Where the logs go of an `up` that failed, until the next `up` or `down`.
    pub fn failed(&self) -> PathBuf {
        self.cache.join("clusters").join(format!("{}.failed", self.name))
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig")
    }

    /// `kubectl` and `helm` that enter the cluster's network.
    pub fn bin(&self) -> PathBuf {
        self.folder().join("bin")
    }

    pub fn certificates(&self) -> PathBuf {
        self.folder().join("certificates")
    }

    /// Written when the cluster is up, with what it was made from.
    pub fn record(&self) -> PathBuf {
        self.folder().join("cluster.json")
    }

    /// Appears when the API server answers; what needs it waits for this.
    pub fn api_is_ready(&self) -> PathBuf {
        self.folder().join("api-is-ready")
    }

    pub fn machine(&self, machine: MachineName) -> PathBuf {
        self.folder().join(machine.to_string())
    }

    /// The machine's network namespace, by the name that `ip netns` knows. The dots keep `a` and `a-b` apart.
    pub fn network(&self, machine: MachineName) -> String {
        format!("shard-operator.{}.{machine}", self.name)
    }

    /// The network namespace as a file, for `nsenter --net=`.
    pub fn network_file(&self, machine: MachineName) -> PathBuf {
        Path::new("/run/netns").join(self.network(machine))
    }

    /// The cluster's cgroup below each hierarchy's root, without the leading slash.
    pub fn cgroup(&self) -> PathBuf {
        Path::new("shard-operator").join(&self.name)
    }
}

/// One of a cluster's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MachineName {
    ControlPlane,
    /// From 1 to [`MOST_NODES`].
    Node(u8),
}

/// So that a node's address is `10.88.0.1N`.
pub(crate) const MOST_NODES: u8 = 9;
/// The virtual addresses of Services.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// All pods' addresses.
pub(crate) const PODS: &str = "10.244.0.0/16";
/// The API server's Service, the first of [`SERVICES`].
pub(crate) const API_SERVICE: &str = "10.96.0.1";
/// CoreDNS's Service.
pub(crate) const DNS_SERVICE: &str = "10.96.0.10";

impl MachineName {
    /// The control plane and nodes 1 to `nodes`.
    pub fn all(nodes: u8) -> impl Iterator<Item = Self> {
        std::iter::once(Self::ControlPlane).chain(Self::nodes(nodes))
    }

    pub fn nodes(nodes: u8) -> impl Iterator<Item = Self> {
        (1..=nodes).map(Self::Node)
    }

    /// Its address in the cluster's network, a /24.
    pub fn address(self) -> String {
        match self {
            Self::ControlPlane => "10.88.0.1".to_owned(),
            Self::Node(n) => format!("10.88.0.{}", 10 + u16::from(n)),
        }
    }

    /// The addresses of its pods; the control plane has none.
    pub fn pods(self) -> Option<String> {
        match self {
            Self::ControlPlane => None,
            Self::Node(n) => Some(format!("10.244.{n}.0/24")),
        }
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlPlane => write!(f, "control-plane"),
            Self::Node(n) => write!(f, "node-{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_safe_in_paths_and_commands() {
        for good in ["local", "test-4711", "a"] {
            assert!(Place::below(good, Path::new("/c")).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "../x", "a.b", &"x".repeat(41)] {
            assert!(Place::below(bad, Path::new("/c")).is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_follows_from_the_name() {
        let place = Place::below("x", Path::new("/c")).unwrap();
        assert_eq!(place.folder(), Path::new("/c/clusters/x"));
        assert_eq!(place.network(MachineName::Node(2)), "shard-operator.x.node-2");
        assert_eq!(place.cgroup(), Path::new("shard-operator/x"));
        assert_eq!(MachineName::Node(2).address(), "10.88.0.12");
        assert_eq!(
            MachineName::all(2).map(|name| name.to_string()).collect::<Vec<_>>(),
            ["control-plane", "node-1", "node-2"]
        );
    }
}
