//! The operator's replicas as processes, behind one address as behind a Service.
//!
//! From a number to processes that may be killed, started, held and cut off, each by its place. Connections to the Service go to
//! one of those whose process runs, in turn. Deliberately absent: which of them leads, which they decide.

use super::door::Door;
use super::ground::Ground;
use super::{BOT, TIME_FACTOR};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often it is looked whether one has ended.
const AGAIN: Duration = Duration::from_millis(500);

/// The replicas and their Service.
#[derive(Debug)]
pub struct Replicas {
    backends: Arc<Backends>,
    service: Door,
    keeping: JoinHandle<()>,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The namespace that they watch, and that their lease is in.
    pub namespace: String,
    /// Where their logs go.
    pub folder: PathBuf,
    /// Discord's base URL.
    pub discord: String,
    /// One replica for each of these.
    pub kubeconfigs: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Backends {
    all: Mutex<Vec<Replica>>,
    next: AtomicUsize,
}

/// One replica.
#[derive(Debug)]
struct Replica {
    gate: SocketAddr,
    health: SocketAddr,
    log: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    ground: Arc<Ground>,
    child: Option<Child>,
    /// Whether it is to run: one that ends by itself is started again, as a Deployment would.
    is_wanted: bool,
}

impl Replicas {
    /// Starts them and their Service.
    pub(super) async fn start(ground: &Arc<Ground>, asked: &Asked) -> Result<Self> {
        let backends = Arc::new(Backends::default());
        let service = service(ground, &backends).await?;
        let program = ground.program("shard-operator");
        let help =
            Command::new(&program).args(["run", "--help"]).output().context("ask the operator for help")?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for (number, kubeconfig) in asked.kubeconfigs.iter().enumerate() {
            let (gate, health) = (ground.server_door()?, ground.server_door()?);
            let name = format!("{BOT}-operator-{number}");
            let mut replica = Replica {
                log: asked.folder.join(format!("{name}.log")),
                gate,
                health,
                program: program.clone(),
                arguments: arguments(asked, gate, service.address(), health, &help),
                environment: environment(asked, kubeconfig, &name, gate),
                ground: Arc::clone(ground),
                child: None,
                is_wanted: true,
            };
            replica.start()?;
            backends.all().push(replica);
        }
        let keeping = tokio::spawn(keep(Arc::clone(&backends)));
        Ok(Self { backends, service, keeping })
    }

    /// How many there are, running or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.backends.all().len()
    }

    /// Ends one at once, as a crash does.
    pub fn kill(&self, place: usize) {
        if let Some(replica) = self.backends.all().get_mut(place) {
            replica.is_wanted = false;
            replica.kill();
        }
    }

    /// Tells one to end, as a Deployment that shrinks.
    pub fn stop_one(&self, place: usize) {
        if let Some(replica) = self.backends.all().get_mut(place) {
            replica.is_wanted = false;
            replica.signal(Signal::TERM);
        }
    }

    /// Starts one that does not run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn revive(&self, place: usize) -> Result<()> {
        let mut all = self.backends.all();
        let Some(replica) = all.get_mut(place) else { return Ok(()) };
        replica.is_wanted = true;
        if replica.is_alive() { Ok(()) } else { replica.start() }
    }

    /// Stops one without ending it, as a machine that hangs, or lets it go on.
    pub fn hold(&self, place: usize, is_held: bool) {
        if let Some(replica) = self.backends.all().get(place) {
            replica.signal(if is_held { Signal::STOP } else { Signal::CONT });
        }
    }

    /// Whether pods reach the Service.
    pub fn open(&self, is_open: bool) {
        self.service.set(is_open);
    }

    /// Whether one's process runs.
    #[must_use]
    pub fn is_alive(&self, place: usize) -> bool {
        self.backends.all().get_mut(place).is_some_and(Replica::is_alive)
    }

    /// What one has logged.
    #[must_use]
    pub fn log(&self, place: usize) -> Option<String> {
        let path = self.backends.all().get(place)?.log.clone();
        std::fs::read_to_string(path).ok()
    }

    /// Where one's gate listens.
    #[must_use]
    pub fn gate(&self, place: usize) -> Option<SocketAddr> {
        self.backends.all().get(place).map(|replica| replica.gate)
    }

    /// Where one's health and metrics are.
    #[must_use]
    pub fn health(&self, place: usize) -> Option<SocketAddr> {
        self.backends.all().get(place).map(|replica| replica.health)
    }

    /// Ends all of them and the Service.
    pub async fn stop(self) {
        self.keeping.abort();
        // It ends at its next await, and nothing is started after that.
        let _ = self.keeping.await;
        for replica in self.backends.all().iter_mut() {
            replica.kill();
        }
    }
}

impl Backends {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Replica>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one that runs.
    fn pick(&self) -> Option<SocketAddr> {
        let running: Vec<_> =
            self.all().iter_mut().filter_map(|replica| replica.is_alive().then_some(replica.gate)).collect();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        (!running.is_empty()).then(|| running[turn % running.len()])
    }
}

impl Replica {
    fn start(&mut self) -> Result<()> {
        let mut command = self.ground.api().command(&self.program)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("start an operator")?);
        Ok(())
    }

    fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn service(ground: &Ground, backends: &Arc<Backends>) -> Result<Door> {
    let handing = Arc::clone(backends);
    Door::open(ground.server_door()?, move || handing.pick()).await
}

/// Starts again what ended by itself, until it is aborted.
async fn keep(backends: Arc<Backends>) {
    let mut ticks = tokio::time::interval(AGAIN);
    loop {
        ticks.tick().await;
        for replica in backends.all().iter_mut().filter(|replica| replica.is_wanted) {
            if !replica.is_alive() {
                // One that cannot be started is tried again at the next tick.
                let _ = replica.start();
            }
        }
    }
}

fn arguments(
    asked: &Asked,
    gate: SocketAddr,
    service: SocketAddr,
    health: SocketAddr,
    help: &str,
) -> Vec<String> {
    let mut arguments = vec![
        "run".to_owned(),
        format!("--gate-url=http://{service}"),
        format!("--discord-api={}", asked.discord),
        format!("--watch-namespaces={}", asked.namespace),
        format!("--listen-gate={gate}"),
        format!("--listen-health={health}"),
    ];
    if help.contains("--discord-time-factor") {
        arguments.push(format!("--discord-time-factor={TIME_FACTOR}"));
    }
    arguments
}

fn environment(asked: &Asked, kubeconfig: &Path, name: &str, gate: SocketAddr) -> Vec<(String, String)> {
    let environment = [
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("POD_NAME", name.to_owned()),
        ("POD_NAMESPACE", asked.namespace.clone()),
        ("POD_IP", gate.ip().to_string()),
        ("GATE_ADVERTISE_URL", format!("http://{gate}")),
        ("RUST_LOG", "info,shard_operator=debug".to_owned()),
        ("RUST_BACKTRACE", "1".to_owned()),
    ];
    environment.map(|(name, value)| (name.to_owned(), value)).into()
}
