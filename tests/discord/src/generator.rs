//! The generator: what is to be made at which rate, and how far it is.
//!
//! From: control. For: load, and streams of events of which the ledger says whether each was answered. There is one; starting
//! it again replaces what it does. Deliberately absent: the making (`discord/generate.rs`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::snowflake::{ShardOf, Snowflake};

/// What is to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Generate {
    /// Events a second, above 0 to 1,000,000; without it, as fast as it goes (a burst), which needs `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// It ends after so many events; without it, not by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// It ends after so long in real time; without it, not by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// What the messages say, 1 to 2,000 characters; `{n}` becomes the event's number in this run.
    pub content: String,
    /// Share of messages among the events.
    pub messages: u32,
    /// Share of reactions, each to a message that was made before.
    pub reactions: u32,
    /// Share of interactions, with the commands that the bots have registered.
    pub interactions: u32,
    /// Only in guilds of this shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardOf>,
    /// Whether it waits for connections that are half a log behind, instead of letting them be cut off.
    pub paced: bool,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            rate: None,
            count: None,
            for_ms: None,
            content: "!ping".to_owned(),
            messages: 1,
            reactions: 0,
            interactions: 0,
            shard: None,
            paced: false,
        }
    }
}

/// How far the generator is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorState {
    /// Whether it has more to do.
    pub running: bool,
    /// Events made in this run.
    pub made: u64,
    /// Events that by its rate should have been made by now and were not.
    pub behind: u64,
    /// Times that it waited for slow connections.
    pub waits: u64,
}

/// What is made, if anything.
#[derive(Debug, Default)]
pub struct Generator {
    work: Mutex<Option<Work>>,
    /// Rings when a run begins.
    pub bell: Notify,
}

/// One run of the generator.
#[derive(Debug)]
pub struct Work {
    pub(crate) rate: Option<f64>,
    pub(crate) count: Option<u64>,
    pub(crate) begun: Duration,
    pub(crate) ends: Option<Duration>,
    pub(crate) content: String,
    pub(crate) shares: [u64; 3],
    pub(crate) guilds: Vec<Snowflake>,
    pub(crate) paced: bool,
    pub(crate) made: u64,
    pub(crate) waits: u64,
    pub(crate) is_over: bool,
    /// The message that reactions go to: its guild and its id.
    pub(crate) newest: Option<(Snowflake, Snowflake)>,
}

impl Generator {
    /// Starts a run in place of what was done before.
    pub fn start(&self, work: Work) {
        *self.work() = Some(work);
        self.bell.notify_one();
    }

    /// Ends the run.
    pub fn stop(&self) {
        if let Some(work) = self.work().as_mut() {
            work.is_over = true;
        }
    }

    /// How far it is.
    pub fn state(&self, now: Duration) -> GeneratorState {
        let work = self.work();
        let Some(work) = work.as_ref() else { return GeneratorState::default() };
        let behind =
            if work.is_over || work.rate.is_none() { 0 } else { work.due(now).saturating_sub(work.made) };
        GeneratorState { running: !work.is_over, made: work.made, behind, waits: work.waits }
    }

    /// The run, if there is one; it may be over.
    pub fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// A run that begins now; `guilds` is not empty.
    pub fn new(request: &Generate, guilds: Vec<Snowflake>, time: Option<Duration>, now: Duration) -> Self {
        Self {
            rate: request.rate,
            count: request.count,
            begun: now,
            ends: time.map(|time| now + time),
            content: request.content.clone(),
            shares: [request.messages, request.reactions, request.interactions].map(u64::from),
            guilds,
            paced: request.paced,
            made: 0,
            waits: 0,
            is_over: false,
            newest: None,
        }
    }

    /// Events that should have been made by now.
    pub fn due(&self, now: Duration) -> u64 {
        let until = self.ends.map_or(now, |ends| ends.min(now));
        let by_rate = self.rate.map_or(u64::MAX, |rate| {
            // Both are small enough: a day at the highest rate is far below 2^53.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
            let due = (until.saturating_sub(self.begun).as_secs_f64() * rate) as u64;
            due
        });
        by_rate.min(self.count.unwrap_or(u64::MAX))
    }

    /// How long until the next event is due, or the run ends.
    pub fn wait(&self, now: Duration) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^53 events")]
        let next = self.rate.map_or(Duration::ZERO, |rate| {
            let since = Duration::try_from_secs_f64((self.made + 1) as f64 / rate);
            self.begun.saturating_add(since.unwrap_or(Duration::MAX))
        });
        self.ends.map_or(next, |ends| ends.min(next)).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_event_is_waited_for_and_not_looked_for() {
        let request = Generate { rate: Some(2.0), ..Generate::default() };
        let seconds = Duration::from_secs;
        let work = Work { made: 3, ..Work::new(&request, Vec::new(), Some(seconds(60)), seconds(10)) };
        assert_eq!(work.wait(seconds(11)), seconds(1));
        assert_eq!(work.wait(seconds(13)), Duration::ZERO, "it is late");
        let seldom = Work { rate: Some(f64::MIN_POSITIVE), ..work };
        assert_eq!(seldom.wait(seconds(11)), seconds(59), "the run ends first");
    }
}
