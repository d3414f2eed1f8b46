//! Replicas of the operator as futures.
//!
//! From a number to a running operator with its HTTP; killed, it is gone at once, without a word to its lease; stopped, it gives the
//! lease back. One that ends by itself, as when its lease is lost, is started again; one that a test ended is not until the test says so.

use super::NAMESPACE;
use super::containers::{Around, Host, Process};
use super::network::GATE;
use crate::fleet::door::Door;
use crate::fleet::proxy::Tamper;
use anyhow::{Context, Result};
use clap::Parser as _;
use shard_operator::config::{Command, CommandLine, Config};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Who it is at the API server.
const USER: &str = "system:serviceaccount:shard-operator:shard-operator";
/// How long an orderly stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// Where a replica's own gate listens, behind its door.
const BEHIND: u16 = 18_080;
/// Where its pages for the kubelet and for Prometheus are.
const HEALTH: u16 = 8_081;

/// How soon one that ended by itself is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// All replicas, and whoever starts those again that end by themselves.
pub struct Operators {
    replicas: Arc<Replicas>,
    supervisor: JoinHandle<()>,
}

/// All replicas.
pub struct Replicas {
    around: Around,
    count: u32,
    /// They belong to so many installations, one after the other.
    installations: u32,
    /// Namespaces that they watch; none: all.
    watched: Vec<String>,
    tampers: Vec<Arc<Tamper>>,
    /// So many times they were installed.
    installed: AtomicU32,
    running: Mutex<BTreeMap<u32, Replica>>,
    /// Whether pods reach their gates, also of one that is started now.
    is_reachable: AtomicBool,
}

struct Replica {
    /// Where pods reach its gate.
    door: Door,
    process: Process,
}

impl Operators {
    /// `tampers`: who tampers with what each of them asks, if anybody does.
    pub(super) async fn begin(
        around: Around,
        [count, installations]: [u32; 2],
        watched: Vec<String>,
        tampers: &[Arc<Tamper>],
    ) -> Result<Self> {
        let (tampers, installed) = (tampers.to_vec(), AtomicU32::new(1));
        let replicas = Replicas {
            around,
            count,
            installations,
            watched,
            tampers,
            installed,
            running: Mutex::default(),
            is_reachable: AtomicBool::new(true),
        };
        for number in 0..count {
            replicas.start(number).await?;
        }
        let replicas = Arc::new(replicas);
        let supervisor = tokio::spawn(Arc::clone(&replicas).supervise());
        Ok(Self { replicas, supervisor })
    }
}

impl Deref for Operators {
    type Target = Replicas;

    fn deref(&self) -> &Replicas {
        &self.replicas
    }
}

impl Replicas {
    async fn supervise(self: Arc<Self>) {
        loop {
            tokio::time::sleep(AGAIN).await;
            let has_ended =
                |(number, replica): (&u32, &Replica)| replica.process.has_ended().then_some(*number);
            let ended: Vec<_> = self.running().iter().filter_map(has_ended).collect();
            for number in ended {
                if let Err(error) = self.start(number).await {
                    tracing::error!(number, %error, "a replica of the operator cannot be started again");
                }
            }
        }
    }

    /// How many were asked for.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Starts one, anew if it runs.
    ///
    /// # Errors
    /// When its options make no sense.
    pub async fn start(&self, number: u32) -> Result<()> {
        self.kill(number);
        let address = self.around.network.address();
        let pod = format!("shard-operator-{number}");
        let config = self.config(number, &pod, address)?;
        let tamper = self.tampers.get(number as usize).cloned();
        let variables = vec![("POD_NAME".to_owned(), pod.clone())];
        let machine = self.around.machine(Host {
            name: &pod,
            address,
            is_pod: false,
            user: USER,
            variables,
            tamper,
        })?;
        let process = Process::begin(machine, |machine| async move {
            shard_operator::run(config, machine).await.map_err(anyhow::Error::from)
        });
        let behind = SocketAddr::new(address, BEHIND);
        let door = Door::open(SocketAddr::new(address, GATE), move || Some(behind)).await?;
        door.set(self.is_reachable.load(Ordering::Relaxed));
        self.around.network.name(host_name(&pod), vec![address]);
        self.running().insert(number, Replica { door, process });
        self.tell_names();
        Ok(())
    }

    /// Starts those that do not run; one that lost its lease has ended by itself.
    ///
    /// # Errors
    /// When its options make no sense.
    pub async fn revive(&self, number: u32) -> Result<()> {
        if self.runs(number) { Ok(()) } else { self.start(number).await }
    }

    /// The same, of all of them.
    ///
    /// # Errors
    /// When its options make no sense.
    pub async fn revive_all(&self) -> Result<()> {
        for number in 0..self.count {
            self.revive(number).await?;
        }
        Ok(())
    }

    /// Ends one at once.
    pub fn kill(&self, number: u32) {
        let killed = self.running().remove(&number);
        if let Some(Replica { process, .. }) = killed {
            process.end();
            self.tell_names();
        }
    }

    /// Ends all of them at once.
    pub fn kill_all(&self) {
        (0..self.count).for_each(|number| self.kill(number));
    }

    /// Ends all of them and their Service, and installs them again behind another one.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn reinstall(&self) -> Result<()> {
        self.kill_all();
        self.installed.fetch_add(1, Ordering::Relaxed);
        self.revive_all().await
    }

    /// The name by which pods reach the gate of an installation.
    fn service(&self, installation: u32) -> String {
        format!("{}.operators-{}.svc", release(installation), self.installed.load(Ordering::Relaxed))
    }

    /// Tells one to stop and waits until it has.
    ///
    /// # Errors
    /// How it ended, if not well.
    pub async fn stop(&self, number: u32) -> Result<()> {
        let stopped = self.running().remove(&number);
        let Replica { process, door } = stopped.context("no such replica runs")?;
        let ended = process.stop(STOPS_WITHIN).await;
        drop(door);
        self.tell_names();
        ended
    }

    /// Tells one to stop and waits for nothing; how it ends is its own affair.
    pub fn begin_to_stop(&self, number: u32) {
        let stopped = self.running().remove(&number);
        if let Some(Replica { process, door }) = stopped {
            tokio::spawn(async move {
                // Where it was out of reach of the API server it cannot give its lease back.
                let _ = process.stop(STOPS_WITHIN).await;
                drop(door);
            });
            self.tell_names();
        }
    }

    /// Whether pods reach the gates.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.is_reachable.store(is_reachable, Ordering::Relaxed);
        self.running().values().for_each(|replica| replica.door.set(is_reachable));
    }

    /// Whether this one runs.
    #[must_use]
    pub fn runs(&self, number: u32) -> bool {
        self.running().get(&number).is_some_and(|replica| !replica.process.has_ended())
    }

    /// What this one says on a page for the kubelet and for Prometheus.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub async fn page(&self, number: u32, path: &str) -> Result<String> {
        let gate = self.gate(number).context("no such replica runs")?;
        let mut stream = TcpStream::connect((gate.ip(), HEALTH)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Where the gate of this one is, if it runs.
    #[must_use]
    pub fn gate(&self, number: u32) -> Option<SocketAddr> {
        self.running().get(&number).map(|replica| replica.door.address())
    }

    fn config(&self, number: u32, pod: &str, address: IpAddr) -> Result<Config> {
        let installation = number % self.installations;
        let line = CommandLine::try_parse_from([
            "shard-operator",
            "run",
            &format!("--gate-url=http://{}:{GATE}", self.service(installation)),
            &format!("--discord-api=http://{}", self.around.discord),
            &format!("--gate-advertise-url=http://{}:{GATE}", host_name(pod)),
            &format!("--listen-gate={address}:{BEHIND}"),
            &format!("--listen-health={address}:{HEALTH}"),
            &format!("--lease-namespace={NAMESPACE}"),
            &format!("--lease-name={}", release(installation)),
            &format!("--watch-namespaces={}", self.watched.join(",")),
        ])?;
        match line.command {
            Command::Run(typed) => Ok(typed.into_meant()?),
            Command::Crd => anyhow::bail!("run was meant"),
        }
    }

    fn tell_names(&self) {
        for installation in 0..self.installations {
            let running = self.running();
            let of_it = running.iter().filter(|(number, _)| *number % self.installations == installation);
            let all = of_it.map(|(_, replica)| replica.door.address().ip()).collect();
            self.around.network.name(self.service(installation), all);
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u32, Replica>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        self.supervisor.abort();
        self.kill_all();
    }
}

/// The name of an installation's Service and Lease.
fn release(installation: u32) -> String {
    if installation == 0 { "shard-operator".to_owned() } else { format!("shard-operator-{installation}") }
}

/// The name of a replica's host: a name, so that a way of its own leads there.
fn host_name(pod: &str) -> String {
    format!("{pod}.shard-operator.svc")
}
