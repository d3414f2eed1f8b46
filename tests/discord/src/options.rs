//! What a simulator is started with: as meant (`Options`), for tests and for the binary.
//!
//! From: defaults, tests, or the command line (`arguments.rs`). For: the whole simulator, read once at the start. What may
//! change while it runs is in `settings.rs`. Deliberately absent: environment and files; only the binary reads those.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;

use crate::intents;
use crate::snowflake::{EPOCH_MS, Snowflake};

/// A well-formed token that is nobody's: its first part names application 1000000000000000000.
pub const FAKE_TOKEN: &str = "MTAwMDAwMDAwMDAwMDAwMDAwMA.sim.token";

/// Time factors that can be had.
pub const TIME_FACTORS: std::ops::RangeInclusive<f64> = 0.1..=1000.0;

/// How a simulator behaves. `Options::default()` listens at a free port of loopback.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base of the gateway's URL, `ws://host:port`; without it each client is sent back to the host that it called.
    pub public_url: Option<String>,
    /// Tokens that are known; those with the same first part belong to the same bot. At least one.
    pub tokens: Vec<Token>,
    /// Guilds in the world; every bot is in all of them. 0 to 500,000.
    pub guilds: u32,
    /// Recommended shards; by default one for each 1,000 guilds begun.
    pub shards: Option<u32>,
    /// Buckets: IDENTIFYs in 5 s. At least 1.
    pub max_concurrency: u32,
    /// IDENTIFYs in a day.
    pub identify_total: u32,
    /// IDENTIFYs left at the start; by default all.
    pub identify_remaining: Option<u32>,
    /// Seed of the world.
    pub seed: u64,
    /// By how much Discord's time spans are made shorter: 10 makes 5 s half a second. Heartbeats and sessions have their own.
    pub time_factor: f64,
    /// How long a session without a connection can be resumed.
    pub session_life: Duration,
    /// What HELLO asks for.
    pub heartbeat_interval: Duration,
    /// Events that a session keeps for RESUME, beside its first GUILD_CREATEs. A client that lags further is cut off.
    pub replay_events: usize,
    /// Sessions get an event up to so much later than it was made, each by a time of its own. 0 to 10,000.
    pub skew_ms: u32,
    /// A heartbeat is acknowledged so much after it came, as over a real network; in real milliseconds. 0 to 1,000.
    pub ack_ms: u32,
    /// Events whose details the ledger keeps.
    pub ledger_events: usize,
    /// Guilds of a hundred whose staff area (a category with a text and a voice channel) the bots may not view. 0 to 100.
    pub hidden_share: u32,
    /// Whether the bots may kick members; without it they hear of no requests to join.
    pub kick_members: bool,
    /// Privileged intents that the bots may use, as bits.
    pub privileged_intents: u32,
    /// For whole fleets in one thread, on a runtime whose clock is paused: time begins at this moment and passes as the runtime's does,
    /// what is drawn by lot comes from the seed, and an IDENTIFY counts from when it is read.
    pub paused_at: Option<Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            tokens: vec![Token::new(FAKE_TOKEN)],
            guilds: 100,
            shards: None,
            max_concurrency: 1,
            identify_total: 1000,
            identify_remaining: None,
            seed: 1,
            time_factor: 1.0,
            session_life: Duration::from_secs(90),
            heartbeat_interval: Duration::from_millis(41_250),
            replay_events: 4096,
            skew_ms: 10,
            ack_ms: 5,
            ledger_events: 100_000,
            hidden_share: 12,
            kick_members: true,
            privileged_intents: intents::PRIVILEGED,
            paused_at: None,
        }
    }
}

/// A bot's token. It shows itself to nobody, fake or not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Surrounding white space and a leading `Bot ` are not part of it.
    pub fn new(token: &str) -> Self {
        let token = token.trim();
        Self(token.strip_prefix("Bot ").unwrap_or(token).trim().to_owned())
    }

    /// Whether it could stand in a header: 1 to 200 visible ASCII characters.
    pub fn is_well_formed(&self) -> bool {
        (1..=200).contains(&self.0.len()) && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The bot it belongs to: its first part, a number in base64; where it is none, a number made from that part.
    pub fn application(&self) -> Snowflake {
        let first = self.0.split('.').next().unwrap_or_default();
        let number = base64(first).and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        number.filter(|id| *id != 0).map_or_else(|| made_up(first), Snowflake)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(of {})", self.application())
    }
}

fn made_up(text: &str) -> Snowflake {
    let hash = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    Snowflake::made_at(EPOCH_MS + 100_000_000_000 + (hash >> 32), hash)
}

/// Both alphabets, padding optional; nothing where a character is of neither.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_of_a_token_names_its_bot() {
        assert_eq!(Token::new(FAKE_TOKEN).application(), Snowflake(1_000_000_000_000_000_000));
        assert_eq!(Token::new("MTAw.x.y").application(), Snowflake(100));
        assert_eq!(Token::new("secret").application(), Token::new("secret.other").application());
        assert_ne!(Token::new("secret").application(), Token::new("another").application());
    }

    #[test]
    fn the_word_bot_before_a_token_and_its_line_end_are_not_part_of_it() {
        assert_eq!(Token::new("Bot MTAw.x.y\n"), Token::new("MTAw.x.y"));
    }

    #[test]
    fn a_token_never_shows_itself() {
        assert!(!format!("{:?}", Token::new(FAKE_TOKEN)).contains("MTAw"));
    }

    #[test]
    fn tokens_with_spaces_or_nothing_in_them_are_not_well_formed() {
        for (token, expected) in [(FAKE_TOKEN, true), ("", false), ("a b", false), ("\u{e9}", false)] {
            assert_eq!(Token::new(token).is_well_formed(), expected, "{token}");
        }
    }
}
