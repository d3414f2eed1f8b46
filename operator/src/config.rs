//! The command line: from what was typed to what is meant, in one place.
//!
//! Read once, at the start. Errors name the option, what was found and the remedy. Deliberately absent: anything
//! about one bot, which stands in its spec, and any secret.

use crate::model::Addresses;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;

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
    Run(AsTyped),
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
    /// Namespaces to watch, separated by commas; left out: all
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Address of the gate: /v1/identify, /v1/identified, /v1/report, for pods with a token for its audience
    #[arg(long, env = "LISTEN_GATE", default_value = "0.0.0.0:8080")]
    pub listen_gate: SocketAddr,
    /// Address of /livez, /readyz and /metrics, for the kubelet and for Prometheus
    #[arg(long, env = "LISTEN_HEALTH", default_value = "0.0.0.0:8081")]
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
        let Self { gate_url, discord_api, mut watch_namespaces, listen_gate, listen_health, concurrency } =
            self;
        watch_namespaces.retain(|name| !name.is_empty());
        watch_namespaces.sort();
        watch_namespaces.dedup();
        let discord = discord_api.filter(|url| !url.is_empty());
        Ok(Config {
            addresses: Addresses {
                gate: base_url("--gate-url", &gate_url)?,
                discord: discord.map(|url| base_url("--discord-api", &url)).transpose()?,
                ..Addresses::default()
            },
            watch_namespaces,
            listen_gate,
            listen_health,
            concurrency,
        })
    }
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
            Command::Run(typed) => typed,
            Command::Crd => unreachable!("run was typed"),
        }
    }

    #[test]
    fn trailing_slashes_empty_values_and_repeats_do_not_count() {
        let typed =
            parse(&["--gate-url", "http://gate:8080/", "--discord-api", "", "--watch-namespaces", "b,a,,b"]);
        let meant = typed.into_meant().unwrap();
        assert_eq!(meant.addresses, Addresses { gate: "http://gate:8080".into(), ..Addresses::default() });
        assert_eq!(meant.watch_namespaces, ["a", "b"]);
    }

    #[test]
    fn a_url_that_makes_no_sense_is_named() {
        for bad in ["gate:8080", "ftp://gate", "http://", "http://user@gate", "http://gate/api/v10"] {
            let error = parse(&["--gate-url", bad]).into_meant().unwrap_err();
            assert!(error.to_string().starts_with(&format!("--gate-url: found {bad:?}")), "{error}");
        }
    }
}
