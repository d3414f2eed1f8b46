//! The ground of fleets: one API server with our definition on it, our programs, and sandboxes that are used again.
//!
//! From nothing to where many fleets can run side by side, each in a namespace of its own. Whoever calls [`Ground::up`] is
//! in the cluster's network from then on, with every thread started later, and so are simulators and clients in this
//! process. Deliberately absent: anything about one fleet.

use crate::checkout::root;
use crate::setup::{Ready, Wanted, ready};
use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use test_cluster::{Api, Release, Sandbox};
use tokio::runtime::{Handle, Runtime};

/// The API server's own address.
const SERVER: &str = "10.88.0.1:6443";

/// The API server and what fleets share.
#[derive(Debug)]
pub struct Ground {
    api: Api,
    discords: Runtime,
    programs: PathBuf,
    folder: PathBuf,
    free: Mutex<Vec<Sandbox>>,
    sandboxes: AtomicU16,
    ports: AtomicU16,
    fleets: AtomicU32,
}

impl Ground {
    /// Builds the programs and starts an API server of this release; `name` keeps grounds apart. Everything ends with this process.
    ///
    /// # Errors
    /// When something cannot be built or started; says what and the remedy.
    pub fn up(name: &str, release: Release) -> Result<Self> {
        let Ready { programs, .. } = ready(Wanted::default(), &mut test_cluster::printer())?;
        let api = Api::up(name, release, &mut test_cluster::printer())?;
        let definition = root().join("crds/shardedbots.yaml");
        let definition =
            std::fs::read_to_string(&definition).with_context(|| format!("read {}", definition.display()))?;
        api.apply(&definition)?;
        api.cluster().enter_network()?;
        let discords = super::judge::runtime()?;
        let folder = api.cluster().folder().join("fleets");
        Ok(Self {
            api,
            discords,
            programs,
            folder,
            free: Mutex::default(),
            sandboxes: AtomicU16::new(0),
            ports: AtomicU16::new(0),
            fleets: AtomicU32::new(0),
        })
    }

    /// Where simulated Discords run.
    pub(super) fn discords(&self) -> &Handle {
        self.discords.handle()
    }

    /// The API server.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A client of it, as the administrator, by its own address or by another base URL.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.api.cluster().kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // A call that an API server took with it must not hold up whoever plays the kubelet.
        (config.connect_timeout, config.read_timeout) =
            (Some(Duration::from_secs(2)), Some(Duration::from_secs(10)));
        Ok(Client::try_from(config)?)
    }

    /// A client that waits as long as watches take. The other's time-out ends idle connections as well, and a call that is
    /// sent over one at that moment fails.
    pub(super) async fn long_client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.api.cluster().kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.read_timeout = None;
        Ok(Client::try_from(config)?)
    }

    /// Where the API server is.
    pub(super) fn server() -> Result<SocketAddr> {
        SERVER.parse().context("the API server's address")
    }

    /// An address at which the API server's certificate is good, and where nobody listens.
    pub(super) fn server_door(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(Self::server()?.ip(), self.port()))
    }

    /// The administrator's kubeconfig, with the API server at another address.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn write_kubeconfig(&self, path: &Path, server: SocketAddr) -> Result<()> {
        let text = std::fs::read_to_string(self.api.cluster().kubeconfig())?;
        let mut config: serde_json::Value = serde_json::from_str(&text)?;
        config["clusters"][0]["cluster"]["server"] = format!("https://{server}").into();
        std::fs::write(path, config.to_string()).with_context(|| format!("write {}", path.display()))
    }

    /// A program of ours.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A folder for a fleet, and a name that no other fleet of this ground has.
    pub(super) fn place(&self) -> Result<(String, PathBuf)> {
        let name = format!("fleet-{}", self.fleets.fetch_add(1, Ordering::Relaxed));
        let folder = self.folder.join(&name);
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok((name, folder))
    }

    /// A port that nobody here listens at. There are 12,000, and none comes again before all were used.
    pub fn port(&self) -> u16 {
        20_000 + self.ports.fetch_add(1, Ordering::Relaxed) % 12_000
    }

    /// A sandbox with its link joined: one that was given back, or a new one.
    pub(super) fn sandbox(&self) -> Result<Sandbox> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(sandbox) = free {
            sandbox.mend()?;
            return Ok(sandbox);
        }
        Ok(self.api.sandbox(self.sandboxes.fetch_add(1, Ordering::Relaxed))?)
    }

    /// Takes back a sandbox in which nothing runs any more.
    pub(super) fn give_back(&self, sandbox: Sandbox) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(sandbox);
    }

    /// Takes everything down; returns when nothing is left.
    ///
    /// # Errors
    /// When something stays.
    pub fn down(self) -> Result<()> {
        drop(self.free);
        self.discords.shutdown_background();
        Ok(self.api.down()?)
    }

    /// Keeps the folder of a fleet that failed where it outlives the ground; returns where.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let kept = test_cluster::cache()?.join("failed-fleets").join(name);
        // An older failure of the same name is of no use any more.
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept)?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "log" || extension == "json") {
                std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
            }
        }
        Ok(kept)
    }
}
