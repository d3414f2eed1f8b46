//! Environment -> [`Config`]: from "as typed" to "as meant", once, at the start.
//!
//! Two places are known. In a pod the operator sets everything, and the shards follow from the pod's ordinal by the
//! same function that the operator uses. On a developer's machine `SHARD_TOTAL=1 DISCORD_TOKEN=... cargo run -p
//! shard-bot` is all: that process holds every shard. Deliberately absent: the gate's address and Discord's, which
//! may change under a running pod (see [`crate::edges::layouts`]), and the token of a pod, which is a file (see
//! [`crate::edges::token`]).

use std::ops::Range;

use shard_contract::{env, layout, names};
use shard_machine::Machine;

use crate::edges::token::Token;

/// The most shards that one pod may hold: a report and a call to the gate name at most this many.
const MAX_SHARDS_PER_POD: u32 = 256;

/// How a local run is started, for messages.
const LOCAL_RUN: &str = "SHARD_TOTAL=1 DISCORD_TOKEN=... cargo run -p shard-bot";

/// What this process is to do.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The number Discord routes by.
    pub(crate) total: u32,
    /// The shards of this process.
    pub(crate) shards: Range<u32>,
    /// Where it runs.
    pub(crate) place: Place,
}

/// Where the process runs.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a pod that shard-operator made.
    Pod(Pod),
    /// On a developer's machine, without Kubernetes.
    Local(Local),
}

/// What a pod knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Name of the `ShardedBot`.
    pub(crate) bot: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Number of the layout.
    pub(crate) layout: u32,
    /// Ordinal in the layout, from 0.
    pub(crate) ordinal: u32,
    /// Its UID; empty in a layout of revision 1.
    pub(crate) uid: String,
    /// Its node; empty in a layout of revision 1.
    pub(crate) node: String,
}

#[cfg(test)]
impl Pod {
    /// The first pod of a first layout.
    pub(crate) fn of_a_test() -> Self {
        Self {
            bot: "b".into(),
            namespace: "n".into(),
            layout: 1,
            ordinal: 0,
            uid: "u".into(),
            node: "here".into(),
        }
    }
}

/// What a local run is given.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// The bot's token.
    pub(crate) token: Token,
    /// Base URL of another Discord, for example a simulator.
    pub(crate) api: Option<String>,
}

/// A variable that does not make sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither a pod nor a local run.
    #[error(
        "neither {} nor {} is set: in a pod shard-operator sets the first; to run here: {LOCAL_RUN}",
        env::BOT,
        env::TOTAL
    )]
    NoPlace,
    /// A variable is missing.
    #[error("{variable} is not set: {remedy}")]
    Missing {
        /// Its name.
        variable: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A variable has a value that cannot be used.
    #[error("{variable} is {found:?}: {remedy}")]
    Unusable {
        /// Its name.
        variable: &'static str,
        /// Its value. Never a secret.
        found: String,
        /// What to do.
        remedy: String,
    },
}

impl Config {
    /// Reads the environment of the process on this machine.
    pub(crate) fn of(machine: &Machine) -> Result<Self, ConfigError> {
        Self::read(&|name| machine.variable(name))
    }

    /// Reads variables by `lookup`; an empty one counts as not set.
    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let lookup = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        if let Some(bot) = lookup(env::BOT) {
            return read_pod(bot, &lookup);
        }
        if lookup(env::TOTAL).is_none() {
            return Err(ConfigError::NoPlace);
        }
        read_local(&lookup)
    }
}

fn read_pod(bot: String, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let number = |variable, least, most| {
        let remedy = "shard-operator sets it; do not set it in the template".to_owned();
        let found = lookup(variable).ok_or(ConfigError::Missing { variable, remedy })?;
        parse_number(variable, &found, least, most)
    };
    let total = number(env::TOTAL, 1, layout::MAX_TOTAL)?;
    let pods = number(env::PODS, 1, total)?;
    let ordinal = read_ordinal(pods, lookup)?;
    let shards = layout::shards_of(ordinal, pods, total);
    if shards.len() > MAX_SHARDS_PER_POD as usize {
        return Err(ConfigError::Unusable {
            variable: env::PODS,
            found: pods.to_string(),
            remedy: format!("a pod holds at most {MAX_SHARDS_PER_POD} shards; lower spec.shardsPerPod"),
        });
    }
    let remedy = "shard-operator sets it from the pod's namespace".to_owned();
    let namespace =
        lookup(env::NAMESPACE).ok_or(ConfigError::Missing { variable: env::NAMESPACE, remedy })?;
    let layout = number(env::LAYOUT, 1, u32::MAX)?;
    let uid = lookup(env::POD_UID).unwrap_or_default();
    let node = lookup(env::NODE_NAME).unwrap_or_default();
    Ok(Config { total, shards, place: Place::Pod(Pod { bot, namespace, layout, ordinal, uid, node }) })
}

/// The ordinal, from its variable or from the pod name's suffix.
fn read_ordinal(pods: u32, lookup: &dyn Fn(&str) -> Option<String>) -> Result<u32, ConfigError> {
    if let Some(found) = lookup(env::ORDINAL) {
        return parse_number(env::ORDINAL, &found, 0, pods - 1);
    }
    let name = lookup(env::POD_NAME).ok_or_else(|| ConfigError::Missing {
        variable: env::POD_NAME,
        remedy: format!("it or {} must say the pod's ordinal; shard-operator sets both", env::ORDINAL),
    })?;
    match names::parse_pod(&name) {
        Some((_, _, ordinal)) if ordinal < pods => Ok(ordinal),
        _ => Err(ConfigError::Unusable {
            variable: env::POD_NAME,
            found: name,
            remedy: format!("a pod name ends in its ordinal, 0 to {}, as in mybot-1-0", pods - 1),
        }),
    }
}

fn read_local(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let found = lookup(env::TOTAL).unwrap_or_default();
    let total = parse_number(env::TOTAL, &found, 1, MAX_SHARDS_PER_POD)?;
    let token = lookup(env::DISCORD_TOKEN).ok_or_else(|| ConfigError::Missing {
        variable: env::DISCORD_TOKEN,
        remedy: format!("a local run needs the bot's token: {LOCAL_RUN}"),
    })?;
    let api = lookup(env::DISCORD_API).map(|api| check_api(&api)).transpose()?;
    Ok(Config { total, shards: 0..total, place: Place::Local(Local { token: Token::new(&token), api }) })
}

/// The base URL without a trailing slash.
fn check_api(found: &str) -> Result<String, ConfigError> {
    let base = found.trim_end_matches('/');
    match reqwest::Url::parse(base) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(base.to_owned()),
        _ => Err(ConfigError::Unusable {
            variable: env::DISCORD_API,
            found: found.to_owned(),
            remedy:
                "it is a base URL as in http://127.0.0.1:8090, without /api; leave it out for Discord itself"
                    .to_owned(),
        }),
    }
}

fn parse_number(variable: &'static str, found: &str, least: u32, most: u32) -> Result<u32, ConfigError> {
    found.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| ConfigError::Unusable {
        variable,
        found: found.to_owned(),
        remedy: format!("it must be a whole number from {least} to {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const POD: [(&str, &str); 9] = [
        ("SHARD_POD_UID", "u-1"),
        ("SHARD_NODE_NAME", "n-1"),
        ("SHARD_BOT", "my-bot"),
        ("SHARD_LAYOUT", "4"),
        ("SHARD_TOTAL", "8"),
        ("SHARD_PODS", "3"),
        ("SHARD_ORDINAL", "1"),
        ("SHARD_POD_NAME", "my-bot-4-1"),
        ("SHARD_NAMESPACE", "bots"),
    ];

    fn pod_with(variable: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
        POD.iter().map(|&(name, old)| (name, if name == variable { value } else { old })).collect()
    }

    #[test]
    fn a_pod_holds_the_shards_of_its_ordinal() {
        let config = read(&POD).unwrap();
        assert_eq!((config.total, config.shards), (8, 3..6));
        let Place::Pod(pod) = config.place else { panic!("a pod") };
        let expected = Pod {
            bot: "my-bot".into(),
            namespace: "bots".into(),
            layout: 4,
            ordinal: 1,
            uid: "u-1".into(),
            node: "n-1".into(),
        };
        assert_eq!(pod, expected);
    }

    #[test]
    fn without_an_ordinal_the_pod_name_says_it() {
        assert_eq!(read(&pod_with("SHARD_ORDINAL", "")).unwrap().shards, 3..6);
        let mut variables = pod_with("SHARD_POD_NAME", "my-bot-4-2");
        variables.retain(|(name, _)| *name != "SHARD_ORDINAL");
        assert_eq!(read(&variables).unwrap().shards, 6..8);
    }

    #[test]
    fn a_local_run_holds_every_shard() {
        let config = read(&[
            ("SHARD_TOTAL", "2"),
            ("DISCORD_TOKEN", "abc.def"),
            ("DISCORD_API", "http://127.0.0.1:8090/"),
        ])
        .unwrap();
        assert_eq!((config.total, config.shards.clone()), (2, 0..2));
        let Place::Local(local) = &config.place else { panic!("local") };
        assert_eq!(local.api.as_deref(), Some("http://127.0.0.1:8090"));
        assert!(!format!("{config:?}").contains("abc"), "the token redacts itself");
    }

    #[test]
    fn messages_name_the_variable_what_was_found_and_the_remedy() {
        type Case = (Vec<(&'static str, &'static str)>, &'static [&'static str]);
        let cases: [Case; 8] = [
            (vec![], &["SHARD_BOT", "SHARD_TOTAL=1 DISCORD_TOKEN=... cargo run"]),
            (vec![("SHARD_TOTAL", "1")], &["DISCORD_TOKEN", "not set", "cargo run"]),
            (vec![("SHARD_TOTAL", "one")], &["SHARD_TOTAL", "\"one\"", "1 to 256"]),
            (
                vec![("SHARD_TOTAL", "1"), ("DISCORD_TOKEN", "t"), ("DISCORD_API", "127.0.0.1:1")],
                &["DISCORD_API", "\"127.0.0.1:1\"", "http://127.0.0.1:8090"],
            ),
            (pod_with("SHARD_ORDINAL", "3"), &["SHARD_ORDINAL", "\"3\"", "0 to 2"]),
            (pod_with("SHARD_PODS", "9"), &["SHARD_PODS", "\"9\"", "1 to 8"]),
            (pod_with("SHARD_NAMESPACE", ""), &["SHARD_NAMESPACE", "not set", "shard-operator"]),
            (pod_with("SHARD_TOTAL", "16385"), &["SHARD_TOTAL", "\"16385\"", "16384"]),
        ];
        for (variables, expected) in cases {
            let said = read(&variables).unwrap_err().to_string();
            for part in expected {
                assert!(said.contains(part), "{said:?} should contain {part:?}");
            }
        }
    }
}
