//! The ground that all tests stand on: a cluster, the images on it, a simulated Discord, the installed chart, a bot online.
//!
//! Each `*_online` and `installed` is idempotent: a test asks for what it needs.

use crate::beside::Beside;
use anyhow::{Context, Result, bail, ensure};
use discord_sim::Ledger;
use serde_json::{Value, json};
use shard_tests::checkout::root;
use shard_tests::discord::{Discord, TOKEN, URL};
use shard_tests::kube::Kube;
use shard_tests::setup::{Ready, Wanted, ready};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use test_cluster::debian::Need;
use test_cluster::{Cluster, Lifetime};

/// The longest that anything may take; a test passes as soon as its condition holds.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Where the bots of the tests live; only restricted pods may run there.
pub const BOTS: &str = "bots";
/// A second bot's token.
pub const OTHER_TOKEN: &str = "MjAwMDAwMDAwMDAwMDAwMDAwMA.sim.other";
/// Tokens of bots to which something happens that would stay with a bot of other tests: each has a budget of its own.
pub const REFUSED_TOKEN: &str = "MzAwMDAwMDAwMDAwMDAwMDAwMA.sim.refused";
pub const SPENT_TOKEN: &str = "NDAwMDAwMDAwMDAwMDAwMDAwMA.sim.spent";
pub const BURNING_TOKEN: &str = "NTAwMDAwMDAwMDAwMDAwMDAwMA.sim.burning";
pub const BLOCKED_TOKEN: &str = "NjAwMDAwMDAwMDAwMDAwMDAwMA.sim.blocked";

const CLUSTER: &str = "tests";
/// IDENTIFYs a day: so few that the breaker trips after its least number of failures, ten.
const DAILY: &str = "500";
/// The namespaces that tests make.
const NAMESPACES: [&str; 4] = ["shard-operator", "discord", BOTS, "elsewhere"];

pub struct Ground {
    /// Ends before the cluster does.
    beside: Mutex<Option<Beside>>,
    pub kube: Kube,
}

impl Ground {
    /// `has_runs`: whether runs by seed go on beside.
    pub fn up(has_runs: bool) -> Result<Self> {
        let wanted = Wanted { images: true, needs: vec![Need::program("curl", &["curl"])] };
        let Ready { images, .. } = ready(wanted, &mut test_cluster::printer())?;
        let kube = Kube::up(CLUSTER, Lifetime::WithCaller, &mut test_cluster::printer())?;
        kube.is_clear(&NAMESPACES)?;
        images.iter().try_for_each(|image| kube.load(image))?;
        let tokens = [TOKEN, OTHER_TOKEN, REFUSED_TOKEN, SPENT_TOKEN, BURNING_TOKEN, BLOCKED_TOKEN].join(",");
        let settings = [
            ("GUILDS", "60"),
            ("SHARDS", "4"),
            ("MAX_CONCURRENCY", "2"),
            ("IDENTIFY_TOTAL", DAILY),
            ("TOKEN", &tokens),
        ];
        Discord::start(&kube, &settings)?;
        for namespace in ["shard-operator", BOTS] {
            kube.run(&["create", "namespace", namespace])?;
            kube.run(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"])?;
        }
        let beside = has_runs.then(|| Beside::begin(&kube)).transpose()?;
        Ok(Self { beside: Mutex::new(beside), kube })
    }

    /// The runs by seed that go on beside, if any do.
    pub fn beside(&self) -> Option<Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn discord(&self) -> Discord<'_> {
        Discord::on(&self.kube)
    }

    /// How many shards the README's bot has.
    pub fn shards(&self) -> Result<u64> {
        let bot = self.bot("mybot")?.context("the bot is gone")?;
        bot["status"]["shards"].as_u64().context("no shards in the status")
    }

    /// The chart is installed and its operator ready. Whoever takes it away puts it back with these values.
    pub fn installed(&self) -> Result<()> {
        let place = ["--namespace", "shard-operator", "deployment/shard-operator"];
        if self.kube.get(&place)?.is_some() {
            return self.kube.rolled_out("shard-operator", "shard-operator", PATIENCE);
        }
        let api = format!("discord.api={URL}");
        let command =
            ["install", "shard-operator", "charts/", "--namespace=shard-operator", "--wait", "--set", &api];
        self.kube.helm_run(root(), &command).map(drop)
    }

    /// The README's bot is online, with the total that Discord recommends or a test has set.
    pub fn online(&self) -> Result<Value> {
        self.installed()?;
        if self.kube.get(&["--namespace", BOTS, "secret", "mybot-token"])?.is_none() {
            self.secret("mybot-token", TOKEN)?;
        }
        if self.bot("mybot")?.is_none() {
            let file = root().join("bot/mybot.yaml");
            self.kube.run(&["apply", "--namespace", BOTS, "--filename", &file.to_string_lossy()])?;
        }
        self.ready("mybot")
    }

    /// The README's bot is online on two pods at least, so that one can go while another stays.
    pub fn spread(&self) -> Result<()> {
        self.online()?;
        if self.pods("mybot")?.len() < 2 {
            self.patch("mybot", &json!({ "shardsPerPod": 2 }))?;
            self.ready("mybot")?;
        }
        Ok(())
    }

    /// The cluster whose machines are the tests' own to break.
    pub fn own_cluster(&self) -> Result<&Cluster> {
        match &self.kube {
            Kube::Embedded(cluster) => Ok(cluster),
            Kube::Users(_) => {
                bail!("the machines of your cluster are not the tests' to break; unset KUBECONFIG")
            }
        }
    }

    pub fn secret(&self, name: &str, token: &str) -> Result<()> {
        let literal = format!("--from-literal=token={token}");
        self.kube.run(&["create", "secret", "generic", name, "--namespace", BOTS, &literal]).map(drop)
    }

    pub fn bot(&self, name: &str) -> Result<Option<Value>> {
        self.kube.get(&["--namespace", BOTS, "shardedbot", name])
    }

    /// Waits until a bot is Ready, of the generation that was asked for.
    pub fn ready(&self, name: &str) -> Result<Value> {
        self.kube.wait(
            &format!("{name} to be Ready"),
            PATIENCE,
            &["--namespace", BOTS, "shardedbot", name],
            |bot| {
                condition(bot, "Ready").is_some_and(|one| {
                    one["status"] == "True" && one["observedGeneration"] == bot["metadata"]["generation"]
                })
            },
        )
    }

    /// Waits until a bot's `Ready` has this reason; returns its message.
    pub fn reason(&self, name: &str, reason: &str) -> Result<String> {
        let what = format!("{name} to say {reason}");
        let bot = self.kube.wait(&what, PATIENCE, &["--namespace", BOTS, "shardedbot", name], |bot| {
            condition(bot, "Ready").is_some_and(|one| one["reason"] == reason)
        })?;
        let message = condition(&bot, "Ready")
            .and_then(|one| one["message"].as_str())
            .context("a condition without a message")?;
        Ok(message.to_owned())
    }

    /// What `kubectl describe` tells of a bot.
    pub fn described(&self, name: &str) -> Result<String> {
        let told = self.kube.run(&["describe", "sbot", name, "--namespace", BOTS])?;
        // It breaks long messages; words are looked for, not lines.
        Ok(told.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Merges into a bot's spec.
    pub fn patch(&self, name: &str, spec: &Value) -> Result<()> {
        let patch = format!("--patch={}", json!({ "spec": spec }));
        self.kube.run(&["patch", "shardedbot", name, "--namespace", BOTS, "--type=merge", &patch]).map(drop)
    }

    /// Names and UIDs of a bot's pods.
    pub fn pods(&self, name: &str) -> Result<Vec<(String, String)>> {
        let label = format!("--selector=shard-operator.dev/bot={name}");
        // kubectl prints nothing for a list of none.
        let Some(list) = self.kube.get(&["--namespace", BOTS, "pods", &label])? else {
            return Ok(Vec::new());
        };
        let of = |pod: &Value, field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let pods = list["items"].as_array().context("a list without items")?;
        Ok(pods.iter().map(|pod| (of(pod, "name"), of(pod, "uid"))).collect())
    }

    /// No identify rule was broken, no token reset, nothing answered twice; says the ledger's verdict.
    pub fn rules_were_kept(&self) -> Result<()> {
        let ledger = self.discord().ledger()?;
        let verdict = ledger.verdict();
        eprintln!("  Discord's ledger: {verdict}");
        ensure!(ledger.violations == 0, "violations: {:?}", ledger.violation_details);
        ensure!(verdict.keeps_the_rules() && verdict.doubled == 0, "Discord's ledger: {verdict}");
        ensure!(ledger.unknown_routes == 0, "unknown routes: {:?}", ledger.unknown_route_details);
        Ok(())
    }

    /// What a person would look at first.
    pub fn show_state(&self) {
        for arguments in [
            &["get", "pods,shardedbots,events", "--all-namespaces", "--output=wide"][..],
            &[
                "logs",
                "--namespace=shard-operator",
                "--tail=40",
                "--selector=app.kubernetes.io/name=shard-operator",
            ],
            &["logs", "--namespace=bots", "--tail=20", "--prefix", "--selector=shard-operator.dev/bot"],
        ] {
            match self.kube.run(arguments) {
                Ok(text) => eprintln!("$ kubectl {}\n{text}", arguments.join(" ")),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }

    /// Takes the cluster down and looks whether anything of it is left.
    pub fn down(self) -> Result<()> {
        let embedded = matches!(self.kube, Kube::Embedded(_));
        self.kube.clear(&NAMESPACES)?;
        self.kube.down()?;
        if !embedded {
            return Ok(());
        }
        let mine = format!("shard-operator.{CLUSTER}.");
        let names = Command::new("ip").args(["netns", "list"]).output().context("list network namespaces")?;
        let names = String::from_utf8_lossy(&names.stdout).into_owned();
        ensure!(!names.contains(&mine), "network namespaces are left:\n{names}");
        let mounts = std::fs::read_to_string("/proc/mounts")?;
        let place = format!("clusters/{CLUSTER}/");
        let left: Vec<_> =
            mounts.lines().filter(|line| line.contains(&mine) || line.contains(&place)).collect();
        ensure!(left.is_empty(), "mounts are left:\n{}", left.join("\n"));
        let left = processes(&place)?;
        ensure!(left.is_empty(), "processes are left:\n{}", left.join("\n"));
        let groups =
            Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "3", "-type", "d"]).output()?;
        let groups = String::from_utf8_lossy(&groups.stdout).into_owned();
        let left: Vec<_> = groups
            .lines()
            .filter(|line| {
                line.split('/').skip_while(|part| *part != "shard-operator").nth(1) == Some(CLUSTER)
            })
            .collect();
        ensure!(left.is_empty(), "cgroups are left:\n{}", left.join("\n"));
        Ok(())
    }
}

/// How many shards of the README's bot are connected. Its token is the simulator's first; a bot of another test may still be
/// on its way out when its object has gone.
pub fn connected(ledger: &Ledger) -> u64 {
    let bot = ledger.budget.application_id;
    ledger.sessions.iter().filter(|session| session.connected && session.application_id == bot).count() as u64
}

/// Command lines that name the cluster's folder.
fn processes(place: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // A process may end while it is looked at.
        let Ok(line) = std::fs::read(entry?.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(place) {
            found.push(line);
        }
    }
    Ok(found)
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == type_)
}

/// A bot of one shard with our image, that only differs from the README's in what it is called.
pub fn manifest(name: &str, secret: &str) -> Value {
    json!({
        "apiVersion": "shard-operator.dev/v1alpha1",
        "kind": "ShardedBot",
        "metadata": { "name": name, "namespace": BOTS },
        "spec": {
            "tokenSecretRef": { "name": secret },
            "shards": 1,
            "template": { "spec": {
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{
                    "name": "bot",
                    "image": concat!("ghcr.io/shard-operator/shard-bot:", env!("CARGO_PKG_VERSION")),
                    "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                }],
            } },
        },
    })
}
