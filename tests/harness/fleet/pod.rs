//! One pod as a process in a sandbox: volumes, environment and container as its template says.
//!
//! From a Pod object to a running program and back to how it ended. What the kubelet would mount is mounted: Secrets, bound
//! tokens (the API server made and will verify them), empty folders, the account's own folder. The bot's container alone is
//! run, by the program that has its image's name. Deliberately absent: probes, restarts and deletion (`kubelet.rs`).

use super::ground::Ground;
use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, Pod, Secret, ServiceAccount, Volume};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use test_cluster::Sandbox;

/// Where an account's own token is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What pods are run with.
pub(super) struct Around {
    /// Programs and sandboxes.
    pub ground: Arc<Ground>,
    /// The kubelet's own way to the API server.
    pub client: Client,
    /// The test's own way: asked once, it waits as long as it takes.
    pub patient: Client,
    /// The pods' way to it.
    pub api: SocketAddr,
}

/// A pod that was given to a machine.
#[derive(Debug)]
pub struct Running {
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    sandbox: Sandbox,
    folder: PathBuf,
    program: PathBuf,
    environment: Vec<(String, String)>,
    mounts: Vec<(PathBuf, PathBuf)>,
    log: PathBuf,
    child: Option<Child>,
    /// How often its container was started after the first time.
    pub restarts: u32,
    /// Whether it is cut off.
    pub is_cut: bool,
}

impl Running {
    /// Prepares a pod's volumes and starts its container.
    pub(super) async fn start(around: &Around, pod: &Pod, folder: &Path) -> Result<Self> {
        let Around { ground, client, api, .. } = around;
        let (name, uid) = (pod.name_any(), pod.uid().context("a pod without a UID")?);
        let sandbox = ground.sandbox()?;
        let folder = folder.join(&uid);
        let container = container(pod)?;
        let mut mounts = mount_volumes(client, pod, container, &folder).await?;
        mounts.push((account(ground, client, pod, &folder).await?, ACCOUNT.into()));
        let hosts = folder.join("hosts");
        std::fs::write(&hosts, "127.0.0.1 localhost\n")?;
        mounts.push((hosts, "/etc/hosts".into()));
        let mut environment = environment(pod, container, sandbox.address())?;
        for (name, value) in [
            ("KUBERNETES_SERVICE_HOST", api.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", api.port().to_string()),
            ("RUST_LOG", "info,shard_bot=debug".to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ] {
            environment.push((name.to_owned(), value));
        }
        let mut running = Self {
            log: folder.parent().unwrap_or(&folder).join(format!("{name}.log")),
            program: ground.program(container.image.as_deref().context("a container without an image")?),
            name,
            uid,
            sandbox,
            folder,
            environment,
            mounts,
            child: None,
            restarts: 0,
            is_cut: false,
        };
        running.run()?;
        Ok(running)
    }

    /// Starts the container again; its volumes are as they were left.
    pub fn restart(&mut self) -> Result<()> {
        self.restarts += 1;
        self.run()
    }

    fn run(&mut self) -> Result<()> {
        // Inside the sandbox `/run` is memory, and `/var/run` leads there.
        let real = |path: &PathBuf| match path.strip_prefix("/var/run") {
            Ok(rest) => Path::new("/run").join(rest),
            Err(_) => path.clone(),
        };
        let mounts: Vec<_> = self.mounts.iter().map(|(from, to)| (from.clone(), real(to))).collect();
        let mut command = self.sandbox.command(&self.program, &mounts)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/");
        self.child = Some(command.spawn().context("start a bot")?);
        Ok(())
    }

    /// Whether its process runs; one that has ended is cleared away.
    pub fn is_alive(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.child = None;
        }
        !ended
    }

    /// Sends a signal to its process, if it has one.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// Where it can be reached.
    pub fn address(&self) -> &str {
        self.sandbox.address()
    }

    /// Tells it the names of all pods.
    pub fn write_hosts(&self, hosts: &str) -> Result<()> {
        // In place: what is mounted is the file, not its name.
        std::fs::write(self.folder.join("hosts"), hosts).context("write a pod's hosts")
    }

    /// Cuts its link.
    pub fn cut(&mut self) -> Result<()> {
        self.is_cut = true;
        Ok(self.sandbox.cut()?)
    }

    /// Joins its link.
    pub fn mend(&mut self) -> Result<()> {
        self.is_cut = false;
        Ok(self.sandbox.mend()?)
    }

    /// Ends its process at once, without a word, and gives its sandbox back.
    pub fn end(mut self, ground: &Ground) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        ground.give_back(self.sandbox);
    }
}

/// The container that is the bot's, as the operator finds it too.
pub(crate) fn container(pod: &Pod) -> Result<&Container> {
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let named = containers.iter().find(|container| container.name == "bot");
    named.or(containers.first()).context("a pod without containers")
}

async fn mount_volumes(
    client: &Client,
    pod: &Pod,
    container: &Container,
    folder: &Path,
) -> Result<Vec<(PathBuf, PathBuf)>> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.as_deref().unwrap_or_default() {
        // The account's own, which the API server added: made by `account`.
        if mount.mount_path == ACCOUNT {
            continue;
        }
        let volume = volumes.iter().find(|volume| volume.name == mount.name).context("a mount of nothing")?;
        let from = folder.join("volumes").join(&volume.name);
        std::fs::create_dir_all(&from)?;
        fill(client, pod, volume, &from).await?;
        mounts.push((from, PathBuf::from(&mount.mount_path)));
    }
    Ok(mounts)
}

/// Writes what a volume holds.
pub(crate) async fn fill(client: &Client, pod: &Pod, volume: &Volume, folder: &Path) -> Result<()> {
    if volume.empty_dir.is_some() {
        return Ok(());
    }
    if let Some(source) = &volume.secret {
        let api: Api<Secret> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let secret = api.get(source.secret_name.as_deref().unwrap_or_default()).await?;
        for item in source.items.iter().flatten() {
            let value = secret.data.as_ref().and_then(|data| data.get(&item.key));
            let value = value.with_context(|| format!("the Secret has no key {}", item.key))?;
            replace(&folder.join(&item.path), &value.0)?;
        }
        return Ok(());
    }
    let Some(projected) = &volume.projected else { bail!("a volume of a kind that is not played here") };
    for source in projected.sources.iter().flatten() {
        if let Some(wanted) = &source.service_account_token {
            let token = token(client, pod, wanted.audience.clone()).await?;
            replace(&folder.join(&wanted.path), token.as_bytes())?;
        }
    }
    Ok(())
}

/// Whoever reads sees the old or the new, never a half.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content)?;
    std::fs::rename(&beside, path).with_context(|| format!("write {}", path.display()))
}

/// The folder in which a client looks for its account.
async fn account(ground: &Ground, client: &Client, pod: &Pod, folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("account");
    std::fs::create_dir_all(&folder)?;
    replace(&folder.join("token"), token(client, pod, None).await?.as_bytes())?;
    replace(&folder.join("namespace"), pod.namespace().unwrap_or_default().as_bytes())?;
    std::fs::copy(ground.api().authority(), folder.join("ca.crt"))?;
    Ok(folder)
}

/// A token that is bound to this pod.
async fn token(client: &Client, pod: &Pod, audience: Option<String>) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let account =
        pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let bound = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: Some(pod.name_any()),
        uid: pod.uid(),
    };
    let spec = TokenRequestSpec {
        attestations: None,
        audiences: audience.map(|audience| vec![audience]),
        bound_object_ref: Some(bound),
        expiration_seconds: Some(3_600),
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    made.status.and_then(|status| status.token).context("a token request without a token")
}

/// The container's variables.
pub(crate) fn environment(pod: &Pod, container: &Container, address: &str) -> Result<Vec<(String, String)>> {
    let mut environment = Vec::new();
    for variable in container.env.iter().flatten() {
        let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        let value = match (&variable.value, field) {
            (Some(value), _) => value.clone(),
            (None, Some(field)) => field_of(pod, &field.field_path, address)?,
            (None, None) => String::new(),
        };
        environment.push((variable.name.clone(), value));
    }
    Ok(environment)
}

/// A field of the pod, as the downward API gives it.
fn field_of(pod: &Pod, path: &str, address: &str) -> Result<String> {
    let quoted = |of: &str| path.strip_prefix(of)?.strip_prefix("['")?.strip_suffix("']").map(str::to_owned);
    if let Some(label) = quoted("metadata.labels") {
        return Ok(pod.labels().get(&label).cloned().unwrap_or_default());
    }
    if let Some(annotation) = quoted("metadata.annotations") {
        return Ok(pod.annotations().get(&annotation).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "status.podIP" => address.to_owned(),
        other => bail!("the template asks for the field {other}, which is not played here"),
    })
}
