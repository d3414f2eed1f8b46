//! Replicas of the operator as futures.
//!
//! From a number to a running operator with its HTTP; killed, it is gone at once, without a word to its lease; stopped, it gives the
//! lease back. Deliberately absent: the Deployment, which would start another.

use super::NAMESPACE;
use super::containers::{Around, Process};
use crate::fleet::door::Door;
use anyhow::{Context, Result};
use clap::Parser as _;
use shard_operator::config::{Command, CommandLine, Config};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Who it is at the API server.
const USER: &str = "system:serviceaccount:shard-operator:shard-operator";
/// The name by which pods reach the gate.
const SERVICE: &str = "shard-operator.shard-operator.svc";
/// How long an orderly stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// All replicas.
pub struct Operators {
    around: Around,
    discord: String,
    running: BTreeMap<u32, Replica>,
}

struct Replica {
    /// Where pods reach its gate.
    door: Door,
    process: Process,
}

/// Where a replica's own gate listens, behind its door.
const BEHIND: u16 = 18_080;
/// Where its door is.
const GATE: u16 = 8_080;

impl Operators {
    pub(super) async fn begin(around: Around, discord: &str, replicas: u32) -> Result<Self> {
        let mut operators = Self { around, discord: discord.to_owned(), running: BTreeMap::new() };
        for number in 0..replicas {
            operators.start(number).await?;
        }
        Ok(operators)
    }

    /// Starts one, anew if it runs.
    ///
    /// # Errors
    /// When its options make no sense.
    pub async fn start(&mut self, number: u32) -> Result<()> {
        self.kill(number);
        let address = self.around.network.address();
        let config = self.config(address)?;
        let pod = format!("shard-operator-{number}");
        let machine =
            self.around.machine(&pod, address, USER, NAMESPACE, vec![("POD_NAME".into(), pod.clone())]);
        let process = Process::begin(machine, |machine| async move {
            shard_operator::run(config, machine).await.map_err(anyhow::Error::from)
        });
        let behind = SocketAddr::new(address, BEHIND);
        let door = Door::open(SocketAddr::new(address, GATE), move || Some(behind)).await?;
        self.running.insert(number, Replica { door, process });
        self.tell_names();
        Ok(())
    }

    /// Ends one at once.
    pub fn kill(&mut self, number: u32) {
        if let Some(Replica { process, .. }) = self.running.remove(&number) {
            process.kill();
            self.tell_names();
        }
    }

    /// Tells one to stop and waits until it has.
    ///
    /// # Errors
    /// How it ended, if not well.
    pub async fn stop(&mut self, number: u32) -> Result<()> {
        let Replica { process, door } = self.running.remove(&number).context("no such replica runs")?;
        let ended = process.stop(STOPS_WITHIN).await;
        drop(door);
        self.tell_names();
        ended
    }

    /// Whether pods reach the gates.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.running.values().for_each(|replica| replica.door.set(is_reachable));
    }

    /// Whether this one runs.
    #[must_use]
    pub fn runs(&self, number: u32) -> bool {
        self.running.get(&number).is_some_and(|replica| !replica.process.has_ended())
    }

    fn config(&self, address: IpAddr) -> Result<Config> {
        let line = CommandLine::try_parse_from([
            "shard-operator",
            "run",
            &format!("--gate-url=http://{SERVICE}:8080"),
            &format!("--discord-api={}", self.discord),
            &format!("--gate-advertise-url=http://{address}:8080"),
            &format!("--listen-gate={address}:{BEHIND}"),
            &format!("--listen-health={address}:8081"),
            &format!("--lease-namespace={NAMESPACE}"),
        ])?;
        match line.command {
            Command::Run(typed) => Ok(typed.into_meant()?),
            Command::Crd => anyhow::bail!("run was meant"),
        }
    }

    fn tell_names(&self) {
        let all = self.running.values().map(|replica| replica.door.address().ip()).collect();
        self.around.network.name(SERVICE, all);
    }
}
