//! The generator as control sees it: what is to be made, and how far it is.
//!
//! From: `/control/generator`. For: load and for tests that need a stream of events. There is one generator; starting it
//! again replaces what it does. Here requests are checked. Deliberately absent: the making (`discord/generate.rs`).

use super::{ControlError, bad, span};
use crate::discord::Discord;
use crate::generator::{Generate, GeneratorState, Work};
use crate::snowflake::ShardOf;

/// Events a second at the most.
const MOST_RATE: f64 = 1_000_000.0;
/// The longest run: a day.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;
/// Characters of a message.
const LONGEST_CONTENT: usize = 2000;

impl Discord {
    /// Starts the generator, in place of what it did before.
    pub fn generate(&self, request: &Generate) -> Result<GeneratorState, ControlError> {
        if let Some(rate) = request.rate.filter(|rate| !(*rate > 0.0 && *rate <= MOST_RATE)) {
            return Err(bad(format!("rate: found {rate}; use more than 0 to {MOST_RATE} events a second")));
        }
        if request.rate.is_none() && request.count.is_none() {
            return Err(bad("count: found none; give it, or a rate"));
        }
        let length = request.content.chars().count();
        if !(1..=LONGEST_CONTENT).contains(&length) {
            return Err(bad(format!("content: found {length} characters; use 1 to {LONGEST_CONTENT}")));
        }
        let shares = [request.messages, request.reactions, request.interactions];
        if shares.iter().all(|share| *share == 0) || shares.iter().any(|share| *share > 1_000_000) {
            return Err(bad(format!(
                "messages, reactions, interactions: found {shares:?}; use 0 to 1000000, not all 0"
            )));
        }
        let time = request.for_ms.map(|found| span("forMs", found, 1..=LONGEST_MS)).transpose()?;
        let guilds = match request.shard {
            Some(shard) => {
                let ShardOf { id, total } = shard.checked().map_err(bad)?;
                self.world.guilds_of(id, total)
            }
            None => self.world.guilds().to_vec(),
        };
        if guilds.is_empty() {
            return Err(bad("shard: it has no guild; use a smaller total or start with more --guilds"));
        }
        if request.interactions > 0 && !self.has_simple_command() {
            return Err(bad(
                "interactions: no slash command without required options is registered; let a bot register one first",
            ));
        }
        self.generator.start(Work::new(request, guilds, time, self.now()));
        Ok(self.generated())
    }

    /// How far the generator is.
    pub fn generated(&self) -> GeneratorState {
        self.generator.state(self.now())
    }

    /// Stops the generator.
    pub fn stop_generating(&self) -> GeneratorState {
        self.generator.stop();
        self.generated()
    }
}
