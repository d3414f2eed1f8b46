//! The verdict: the few figures by which a fleet is judged.
//!
//! From: a ledger. For: reports of tests and demos, `GET /ledger`'s readers in Rust. What is judged was seen by Discord, not
//! said by the fleet. Deliberately absent: thresholds; but for broken rules and resets, which are never right, readers compare.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Ledger;

/// How a fleet did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Rules of Discord's that were broken.
    pub violations: u64,
    /// Tokens that Discord would have reset.
    pub token_resets: u64,
    /// REST calls of routes that do not exist.
    pub unknown_routes: u64,
    /// Events that asked for an answer.
    pub asked: u64,
    /// Those that got one.
    pub answered: u64,
    /// Those that got none in time.
    pub lost: u64,
    /// Those whose every session ended before an answer came.
    pub dropped_with_session: u64,
    /// Second answers to the same event.
    pub doubled: u64,
    /// Answers sent again that made no second message.
    pub doubled_marked: u64,
    /// Answers to an event after one to a newer event of its guild.
    pub reordered: u64,
    /// The longest time that a shard was without a connection before it came back.
    pub longest_pause_ms: u64,
}

impl Ledger {
    /// How the fleet did so far.
    pub fn verdict(&self) -> Verdict {
        Verdict {
            violations: self.violations,
            token_resets: self.token_resets,
            unknown_routes: self.unknown_routes,
            asked: self.events.asking,
            answered: self.events.answered,
            lost: self.events.lost,
            dropped_with_session: self.events.dropped_with_session,
            doubled: self.events.doubled,
            doubled_marked: self.events.doubled_marked,
            reordered: self.events.reordered,
            longest_pause_ms: self
                .shards
                .iter()
                .map(|shard| shard.longest_pause_ms)
                .max()
                .unwrap_or_default(),
        }
    }
}

impl Verdict {
    /// Whether no rule was broken and no token reset.
    pub fn keeps_the_rules(&self) -> bool {
        self.violations == 0 && self.token_resets == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violations, token_resets, unknown_routes, asked, answered, .. } = self;
        let Self { lost, dropped_with_session, doubled, doubled_marked, reordered, longest_pause_ms, .. } =
            self;
        write!(
            f,
            "{violations} rules broken, {token_resets} token resets, {unknown_routes} unknown routes; {answered} of {asked} \
answered, {lost} lost, {dropped_with_session} dropped with their session, {doubled} doubled ({doubled_marked} more marked), \
{reordered} reordered; longest pause {longest_pause_ms} ms"
        )
    }
}
