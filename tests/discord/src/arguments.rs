//! The command line, as typed, and its way to `Options`, as meant.
//!
//! From: arguments and `DISCORD_SIM_...` variables. For: the binary. Every value is checked here, with its range; what is
//! wrong is said in the words of the option. Deliberately absent: defaults of its own; they are those of `Options`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use thiserror::Error;

use crate::intents;
use crate::options::{FAKE_TOKEN, Options, TIME_FACTORS, Token};

/// A simulated Discord for bots and their operators: gateway v10, REST /api/v10, identify limits, daily budget, sessions
/// that resume, and a ledger of everything at /ledger. It has no authentication but the bots' tokens: let it listen at
/// loopback or in a test's own network only.
#[derive(Debug, Parser)]
#[command(name = "discord-sim", version, after_help = EXAMPLES, next_line_help = true, allow_negative_numbers = true)]
pub struct Arguments {
    /// IP address (or localhost) and port to listen at; port 0 takes a free one
    #[arg(long, env = "DISCORD_SIM_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090", value_parser = listen)]
    listen: SocketAddr,
    /// Base URL of the gateway as clients reach it, such as ws://discord:8090 [default: the host that each client called]
    #[arg(long, env = "DISCORD_SIM_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// A bot's token; repeat it (in the variable: separate by commas) for several. Tokens with the same first part
    /// belong to the same bot [default: a well-formed fake one, unless --token-file is given]
    #[arg(
        long = "token",
        env = "DISCORD_SIM_TOKEN",
        value_name = "TOKEN",
        value_delimiter = ',',
        hide_env_values = true
    )]
    tokens: Vec<String>,
    /// File with tokens, one a line; read once, at the start, and added to those of --token
    #[arg(long, env = "DISCORD_SIM_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Guilds in the world, 0 to 500000; every bot is in all of them
    #[arg(long, env = "DISCORD_SIM_GUILDS", value_name = "N", default_value_t = 100, value_parser = whole(0..=500_000))]
    guilds: u32,
    /// Recommended shards, 1 to 100000; a shard with more than 2500 guilds is refused [default: one for every 1000 guilds
    /// begun]
    #[arg(long, env = "DISCORD_SIM_SHARDS", value_name = "N", value_parser = whole(1..=100_000))]
    shards: Option<u32>,
    /// IDENTIFYs allowed in 5 seconds, one for each value of shard modulo this number; 1 to 10000
    #[arg(long, env = "DISCORD_SIM_MAX_CONCURRENCY", value_name = "N", default_value_t = 1, value_parser = whole(1..=10_000))]
    max_concurrency: u32,
    /// IDENTIFYs of a day, 1 to 10000000; the one after the last costs the token
    #[arg(long, env = "DISCORD_SIM_IDENTIFY_TOTAL", value_name = "N", default_value_t = 1000, value_parser = whole(1..=10_000_000))]
    identify_total: u32,
    /// IDENTIFYs left at the start, 0 to --identify-total [default: all]
    #[arg(long, env = "DISCORD_SIM_IDENTIFY_REMAINING", value_name = "N", value_parser = whole(0..=10_000_000))]
    identify_remaining: Option<u32>,
    /// Seed of the world, any whole number from 0: the same seed and number of guilds make the same ids
    #[arg(long, env = "DISCORD_SIM_SEED", value_name = "N", default_value_t = 1)]
    seed: u64,
    /// By how much Discord's windows (5 s for IDENTIFY, 60 s for sends, REST limits, the day of the budget) are made
    /// shorter, 0.1 to 1000: 10 makes 5 seconds half a second. Heartbeats and sessions have options of their own
    #[arg(long, env = "DISCORD_SIM_TIME_FACTOR", value_name = "FACTOR", default_value_t = 1.0, value_parser = time_factor)]
    time_factor: f64,
    /// Seconds for which a session without a connection can be resumed, 0 to 86400
    #[arg(long, env = "DISCORD_SIM_SESSION_SECONDS", value_name = "SECONDS", default_value_t = 90, value_parser = whole(0..=86_400))]
    session_seconds: u32,
    /// Milliseconds between heartbeats, 100 to 600000; after one and a half times that without one, close 4009
    #[arg(long, env = "DISCORD_SIM_HEARTBEAT_MS", value_name = "MS", default_value_t = 41_250, value_parser = whole(100..=600_000))]
    heartbeat_ms: u32,
    /// Events that a session keeps for RESUME, 1 to 1000000; a client that lags further behind is cut off
    #[arg(long, env = "DISCORD_SIM_REPLAY_EVENTS", value_name = "N", default_value_t = 4096, value_parser = whole(1..=1_000_000))]
    replay_events: u32,
    /// Milliseconds by which sessions may get an event later than it was made, each session by a time of its own; 0 to 10000
    #[arg(long, env = "DISCORD_SIM_SKEW_MS", value_name = "MS", default_value_t = 10, value_parser = whole(0..=10_000))]
    skew_ms: u32,
    /// Milliseconds after which a heartbeat is acknowledged, 0 to 1000: libraries take an answer that comes in no time, as none
    /// does over a network, for a connection that is dead
    #[arg(long, env = "DISCORD_SIM_ACK_MS", value_name = "MS", default_value_t = 5, value_parser = whole(0..=1000))]
    ack_ms: u32,
    /// Events whose details the ledger keeps, 1 to 10000000; counters count for ever
    #[arg(long, env = "DISCORD_SIM_LEDGER_EVENTS", value_name = "N", default_value_t = 100_000, value_parser = whole(1..=10_000_000))]
    ledger_events: u32,
    /// Percentage of the guilds, 0 to 100, whose staff area (a category with a text and a voice channel) the bots may not view:
    /// it comes obfuscated over the gateway, REST leaves it out
    #[arg(long, env = "DISCORD_SIM_HIDDEN_SHARE", value_name = "PERCENT", default_value_t = 12, value_parser = whole(0..=100))]
    hidden_share: u32,
    /// Whether the bots may kick members, true or false; if not, they hear of no requests to join
    #[arg(long, env = "DISCORD_SIM_KICK_MEMBERS", value_name = "BOOLEAN", default_value_t = true, action = ArgAction::Set)]
    kick_members: bool,
    /// Privileged intents that the bots may use, separated by commas: members, presences, content, or none
    #[arg(long, env = "DISCORD_SIM_PRIVILEGED_INTENTS", value_name = "LIST", default_value = "members,presences,content", value_parser = privileged)]
    privileged_intents: u32,
}

const EXAMPLES: &str = "\
Examples:
  discord-sim --guilds 5000 --shards 4
      a bot of 5000 guilds; what it prints says how to point twilight and seven other libraries at it
  discord-sim --shards 16 --max-concurrency 16 --time-factor 10
      a start of 16 shards at once, and waiting times of a tenth
  discord-sim --identify-total 20 --identify-remaining 3
      a bot that has nearly used up its day
  discord-sim --listen 0.0.0.0:8090 --public-url ws://discord:8090
      in a container, for bots in others

What only Discord could confirm is a switch of POST /control/settings: closeAnswer (own, normal), hiddenVoiceBitrate (true, false),
ackMs (0 to 1000) and more, which GET /control/settings lists.

A variable counts where its option is not given. Logs go to stderr by RUST_LOG, by default warn.
It ends on SIGTERM or Ctrl-C with 0; with 1 where it cannot run, and 2 for options that it does not take.";

impl Arguments {
    /// Takes the command line. Behind an alias of cargo's that ends in `--`, another one is typed out of habit
    /// (`cargo discord -- --help`): one in front does not count.
    pub fn typed(line: impl Iterator<Item = OsString>) -> Self {
        Self::parse_from(
            line.enumerate().filter(|(place, word)| *place != 1 || word != "--").map(|(_, word)| word),
        )
    }
}

/// What is wrong with the options beyond a single value.
#[derive(Debug, Error)]
pub enum ArgumentError {
    /// The token file cannot be read.
    #[error("--token-file: cannot read {path}; give a readable file with one token a line")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token file has no token.
    #[error("--token-file: {0} has no token in it; write one a line")]
    NoToken(PathBuf),
    /// A token that could not stand in a header.
    #[error("--token: the {0}. token is not 1 to 200 visible ASCII characters; copy it again")]
    BadToken(usize),
    /// More left than there are.
    #[error("--identify-remaining: found {remaining}, more than --identify-total, {total}; use 0 to {total}")]
    Remaining {
        /// Left.
        remaining: u32,
        /// All.
        total: u32,
    },
}

impl Arguments {
    /// The options that are meant; reads the token file.
    pub fn options(self) -> Result<Options, ArgumentError> {
        let mut tokens: Vec<_> = self.tokens.iter().map(|token| Token::new(token)).collect();
        if let Some(path) = self.token_file {
            let read = std::fs::read_to_string(&path);
            let text = read.map_err(|source| ArgumentError::TokenFile { path: path.clone(), source })?;
            let before = tokens.len();
            tokens.extend(text.lines().filter(|line| !line.trim().is_empty()).map(Token::new));
            if tokens.len() == before {
                return Err(ArgumentError::NoToken(path));
            }
        }
        if tokens.is_empty() {
            tokens.push(Token::new(FAKE_TOKEN));
        }
        if let Some(bad) = tokens.iter().position(|token| !token.is_well_formed()) {
            return Err(ArgumentError::BadToken(bad + 1));
        }
        let total = self.identify_total;
        if let Some(remaining) = self.identify_remaining.filter(|remaining| *remaining > total) {
            return Err(ArgumentError::Remaining { remaining, total });
        }
        Ok(Options {
            listen: self.listen,
            public_url: self.public_url,
            tokens,
            guilds: self.guilds,
            shards: self.shards,
            max_concurrency: self.max_concurrency,
            identify_total: total,
            identify_remaining: self.identify_remaining,
            seed: self.seed,
            time_factor: self.time_factor,
            session_life: Duration::from_secs(self.session_seconds.into()),
            heartbeat_interval: Duration::from_millis(self.heartbeat_ms.into()),
            replay_events: usize::try_from(self.replay_events).unwrap_or(usize::MAX),
            skew_ms: self.skew_ms,
            ack_ms: self.ack_ms,
            ledger_events: usize::try_from(self.ledger_events).unwrap_or(usize::MAX),
            hidden_share: self.hidden_share,
            kick_members: self.kick_members,
            privileged_intents: self.privileged_intents,
            paused_at: None,
        })
    }
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let wrong =
        "use an IP address and a port from 0 to 65535, such as 127.0.0.1:8090, 0.0.0.0:8090 or [::1]:8090";
    address.as_deref().unwrap_or(text).trim().parse().map_err(|_| wrong.to_owned())
}

fn whole(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    move |text| {
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("use a whole number from {} to {}", range.start(), range.end()))
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let url = text.trim().trim_end_matches('/');
    let schemes = [("ws://", "ws://"), ("wss://", "wss://"), ("http://", "ws://"), ("https://", "wss://")];
    let found = schemes.iter().find_map(|(typed, meant)| Some((*meant, url.strip_prefix(typed)?)));
    match found {
        Some((scheme, host)) if is_host(host) => Ok(format!("{scheme}{host}")),
        _ => Err("use ws://host:port or wss://host, without a query".to_owned()),
    }
}

/// Whether it is a host, perhaps with a port and a path.
fn is_host(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    !host.is_empty() && !host.starts_with(':') && is_port && !text.contains([' ', '?', '#'])
}

fn time_factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| TIME_FACTORS.contains(factor));
    factor.ok_or_else(|| "use a number from 0.1 to 1000".to_owned())
}

fn privileged(text: &str) -> Result<u32, String> {
    let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.try_fold(0, |bits, word| match word {
        "members" => Ok(bits | intents::GUILD_MEMBERS),
        "presences" => Ok(bits | intents::GUILD_PRESENCES),
        "content" => Ok(bits | intents::MESSAGE_CONTENT),
        "none" => Ok(bits),
        other => Err(format!("found {other}; use members, presences, content, or none")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let arguments = [&["discord-sim"], arguments].concat();
        let arguments = Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?;
        arguments.options().map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_the_defaults_are_those_of_the_library_at_port_8090() {
        let options = parse(&[]).unwrap();
        let expected = Options { listen: "127.0.0.1:8090".parse().unwrap(), ..Options::default() };
        assert_eq!(format!("{options:?}"), format!("{expected:?}"));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_option() {
        let table: [(&[&str], &str); 15] = [
            (&["--listen", "127.0.0.1:99999"], "a port from 0 to 65535"),
            (&["--listen", "8090"], "such as 127.0.0.1:8090"),
            (&["--guilds", "500001"], "'--guilds <N>': use a whole number from 0 to 500000"),
            (&["--guilds", "x"], "from 0 to 500000"),
            (&["--shards", "0"], "from 1 to 100000"),
            (&["--shards", "-1"], "from 1 to 100000"),
            (&["--max-concurrency", "0"], "--max-concurrency"),
            (&["--time-factor", "0"], "0.1 to 1000"),
            (&["--time-factor", "NaN"], "0.1 to 1000"),
            (&["--public-url", "discord:8090"], "ws://host:port"),
            (&["--public-url", "ws://discord:port"], "ws://host:port"),
            (&["--public-url", "ws://:8090"], "ws://host:port"),
            (&["--identify-total", "5", "--identify-remaining", "6"], "use 0 to 5"),
            (&["--token", "a b"], "1. token"),
            (&["--token-file", "/does/not/exist"], "/does/not/exist"),
        ];
        for (arguments, expected) in table {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_public_url_becomes_a_websockets() {
        let table =
            [("http://sim:1/", "ws://sim:1"), ("wss://sim", "wss://sim"), ("ws://[::1]", "ws://[::1]")];
        for (typed, meant) in table {
            assert_eq!(public_url(typed).unwrap(), meant);
        }
    }
}
