//! The command line: from what was typed to what is meant, in one place.
//!
//! Read once, at the start. Errors name the option, what was found and the remedy. Deliberately absent: anything
//! about one bot, which stands in its spec, and any secret.

use crate::leader::Post;
use crate::model::{Addresses, NodeLoss};
use clap::{Args, Parser, Subcommand};
use shard_contract::pace::{MAX_FACTOR, Pace};
use std::net::{IpAddr, SocketAddr};

/// Runs sharded Discord bots on Kubernetes.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The two commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller and the gate until SIGTERM.
    Run(Box<AsTyped>),
    /// Print the CustomResourceDefinition as YAML, for `kubectl apply -f -`.
    Crd,
}

/// Options as they were typed.
#[derive(Args, Clone, Debug)]
pub struct AsTyped {
    /// URL under which pods reach the gate, for example http://shard-operator.shard-operator.svc:8080
    #[arg(long, env = "GATE_URL")]
    pub gate_url: String,
    /// Base URL of Discord's REST API, without /api; left out: Discord itself. Pods are told the same
    #[arg(long, env = "DISCORD_API")]
    pub discord_api: Option<String>,
    /// How many times faster than real time a simulated Discord's time passes, 1 to 100; only with --discord-api
    #[arg(long, env = "DISCORD_TIME_FACTOR", default_value_t = 1)]
    pub discord_time_factor: u32,
    /// What to do about pods on a lost node: Replace deletes them by force when it is sure enough, Wait leaves them to a person
    #[arg(long, env = "ON_NODE_LOSS", default_value = "Replace", value_parser = ["Replace", "Wait"])]
    pub on_node_loss: String,
    /// Name of the Lease that decides which replica leads
    #[arg(long, env = "LEASE_NAME", default_value = "shard-operator")]
    pub lease_name: String,
    /// Its namespace
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub lease_namespace: String,
    /// URL under which pods reach the gate of this replica, as the lease says it; left out: the pod's address, else --gate-url
    #[arg(long, env = "GATE_ADVERTISE_URL")]
    pub gate_advertise_url: Option<String>,
    /// Address of this pod
    #[arg(long, env = "POD_IP", hide = true)]
    pub pod_ip: Option<IpAddr>,
    /// Namespaces to watch, separated by commas; left out: all
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Address of the gate: /v1/identify, /v1/identified, /v1/report, for pods with a token for its audience
    #[arg(long, env = "LISTEN_GATE", default_value = "[::]:8080")]
    pub listen_gate: SocketAddr,
    /// Address of /livez, /readyz and /metrics, for the kubelet and for Prometheus
    #[arg(long, env = "LISTEN_HEALTH", default_value = "[::]:8081")]
    pub listen_health: SocketAddr,
    /// How many bots are reconciled at the same time, 1 to 256
    #[arg(long, env = "CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
}

/// Options as they are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What pods must know.
    pub addresses: Addresses,
    /// Which Lease, and what it says of this replica.
    pub post: Post,
    /// Namespaces to watch; empty: all.
    pub watch_namespaces: Vec<String>,
    /// Address of the gate.
    pub listen_gate: SocketAddr,
    /// Address of health and metrics.
    pub listen_health: SocketAddr,
    /// How many bots are reconciled at the same time.
    pub concurrency: u16,
}

/// An option that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{option}: found {found:?}; expected {expected}")]
pub struct BadOption {
    option: &'static str,
    found: String,
    expected: &'static str,
}

impl AsTyped {
    /// Turns what was typed into what is meant.
    ///
    /// # Errors
    /// [`BadOption`] names the first option that makes no sense.
    pub fn into_meant(self) -> Result<Config, BadOption> {
        let Self {
            gate_url,
            discord_api,
            discord_time_factor,
            on_node_loss,
            lease_name,
            lease_namespace,
            gate_advertise_url,
            pod_ip,
            mut watch_namespaces,
            listen_gate,
            listen_health,
            concurrency,
        } = self;
        watch_namespaces.retain(|name| !name.is_empty());
        watch_namespaces.sort();
        watch_namespaces.dedup();
        let discord = discord_api.filter(|url| !url.is_empty());
        let time_factor = time_factor(discord_time_factor, discord.is_some())?;
        let gate = base_url("--gate-url", &gate_url)?;
        let own = pod_ip.map(|ip| format!("http://{}", SocketAddr::new(ip, listen_gate.port())));
        let advertised = match gate_advertise_url.filter(|url| !url.is_empty()) {
            Some(url) => base_url("--gate-advertise-url", &url)?,
            None => own.unwrap_or_else(|| gate.clone()),
        };
        Ok(Config {
            addresses: Addresses {
                installation: format!("{lease_namespace}/{lease_name}"),
                gate,
                discord: discord.map(|url| base_url("--discord-api", &url)).transpose()?,
                time_factor,
                on_node_loss: if on_node_loss == "Wait" { NodeLoss::Wait } else { NodeLoss::Replace },
            },
            post: Post { namespace: lease_namespace, name: lease_name, gate: advertised },
            watch_namespaces,
            listen_gate,
            listen_health,
            concurrency,
        })
    }
}

fn time_factor(typed: u32, has_simulator: bool) -> Result<Pace, BadOption> {
    let bad = |expected| BadOption { option: "--discord-time-factor", found: typed.to_string(), expected };
    if !(1..=MAX_FACTOR).contains(&typed) {
        return Err(bad("1 to 100"));
    }
    if typed > 1 && !has_simulator {
        return Err(bad("1 without --discord-api: Discord itself knows no other time"));
    }
    Ok(Pace::from(typed))
}

fn base_url(option: &'static str, typed: &str) -> Result<String, BadOption> {
    let bad = || BadOption {
        option,
        found: typed.to_owned(),
        expected: "http://HOST[:PORT] or https://HOST[:PORT], without /api",
    };
    let rest = typed.strip_prefix("http://").or_else(|| typed.strip_prefix("https://")).ok_or_else(bad)?;
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@' | '/')) {
        return Err(bad());
    }
    Ok(typed.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> AsTyped {
        let line = CommandLine::try_parse_from(["shard-operator", "run"].iter().chain(arguments)).unwrap();
        match line.command {
            Command::Run(typed) => *typed,
            Command::Crd => unreachable!("run was typed"),
        }
    }

    #[test]
    fn trailing_slashes_empty_values_and_repeats_do_not_count() {
        let typed =
            parse(&["--gate-url", "http://gate:8080/", "--discord-api", "", "--watch-namespaces", "b,a,,b"]);
        let meant = typed.into_meant().unwrap();
        assert_eq!(
            meant.addresses,
            Addresses {
                gate: "http://gate:8080".into(),
                installation: "default/shard-operator".into(),
                ..Addresses::default()
            }
        );
        assert_eq!(meant.watch_namespaces, ["a", "b"]);
    }

    #[test]
    fn a_url_that_makes_no_sense_is_named() {
        for bad in ["gate:8080", "ftp://gate", "http://", "http://user@gate", "http://gate/api/v10"] {
            let error = parse(&["--gate-url", bad]).into_meant().unwrap_err();
            assert!(error.to_string().starts_with(&format!("--gate-url: found {bad:?}")), "{error}");
        }
    }

    #[test]
    fn the_lease_says_where_this_replica_is() {
        let gate = |more: &[&str]| {
            let typed: Vec<_> = ["--gate-url", "http://gate:8080"].iter().chain(more).copied().collect();
            parse(&typed).into_meant().unwrap().post.gate
        };
        assert_eq!(gate(&[]), "http://gate:8080");
        assert_eq!(gate(&["--pod-ip", "10.0.0.7"]), "http://10.0.0.7:8080");
        assert_eq!(gate(&["--pod-ip", "fd00::7"]), "http://[fd00::7]:8080");
        assert_eq!(gate(&["--pod-ip", "10.0.0.7", "--gate-advertise-url", "http://a:1/"]), "http://a:1");
    }

    #[test]
    fn only_a_simulators_time_can_be_faster() {
        let factor = |more: &[&str]| {
            let typed: Vec<_> = ["--gate-url", "http://gate"].iter().chain(more).copied().collect();
            parse(&typed).into_meant().map(|meant| meant.addresses.time_factor.factor())
        };
        assert_eq!(factor(&["--discord-time-factor", "10", "--discord-api", "http://sim"]), Ok(10));
        assert_eq!(factor(&["--discord-time-factor", "1"]), Ok(1));
        let error = factor(&["--discord-time-factor", "10"]).unwrap_err().to_string();
        assert!(
            error.starts_with("--discord-time-factor: found \"10\"") && error.contains("--discord-api"),
            "{error}"
        );
        assert!(factor(&["--discord-time-factor", "101", "--discord-api", "http://sim"]).is_err());
    }
}
