//! Delivery: which sessions an event goes to, and what of it each may see.
//!
//! From: talk. For: the sessions' logs. The shard is `(guild_id >> 22) % total` for every total that has sessions, shard 0
//! where there is no guild; intents decide the rest. Sessions without a connection get events too: RESUME replays them.
//! Sessions get an event at different times (skew). Deliberately absent: loss; a session gets all that concerns it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Discord, State};
use crate::members::Members;
use crate::session::Session;
use crate::session::id::SessionId;
use crate::session::log::{Data, Event};
use crate::settings::InteractionsTo;
use crate::snowflake::Snowflake;
use crate::world::mix;

/// A session that got an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its shard ...
    pub shard: u32,
    /// ... of that many.
    pub total: u32,
    /// Its id.
    pub session_id: SessionId,
    /// Whether it has a connection now; if not, it gets the event when it is resumed.
    pub connected: bool,
}

/// An event before anyone got it, but for what it says.
pub(crate) struct Occasion {
    /// `t`.
    pub(crate) name: &'static str,
    /// When it was made, in real time since the start.
    pub(crate) at: Duration,
    /// Its guild; none sends it to shard 0.
    pub(crate) guild: Option<Snowflake>,
    /// Its channel, where only those get it who may view that.
    pub(crate) channel: Option<Snowflake>,
    /// The only bot that it concerns; none for all.
    pub(crate) application: Option<Snowflake>,
    /// The intent that it needs; 0 for none.
    pub(crate) intent: u32,
    /// Its number in the ledger, if that follows it.
    pub(crate) number: Option<NonZeroU64>,
}

impl State {
    /// Sends an event that says the same to all to every session that gets it.
    pub(crate) fn publish(&mut self, occasion: &Occasion, data: Members) -> Vec<Delivery> {
        let text = data.shared();
        self.publish_to_each(occasion, |_| Arc::clone(&text))
    }

    /// Sends an event to every session that gets it, with what it says to that one.
    pub(crate) fn publish_to_each(
        &mut self,
        occasion: &Occasion,
        mut says: impl FnMut(&Session) -> Arc<str>,
    ) -> Vec<Delivery> {
        let reached = self.reached_by(occasion);
        let mut deliveries = Vec::with_capacity(reached.len());
        for id in reached {
            let Some(session) = self.sessions.get(id) else { continue };
            deliveries.push(Delivery {
                shard: session.shard,
                total: session.total,
                session_id: id,
                connected: session.link.is_some(),
            });
            let data = Data::Members(says(session));
            let event = Event { name: occasion.name, data, number: occasion.number };
            self.send(occasion.at, id, occasion.guild, event);
        }
        if self.is_hidden(occasion) {
            self.record.events.hidden(occasion.number);
        } else {
            self.record.events.routed(occasion.number, deliveries.len());
        }
        deliveries
    }

    /// Whether it happens where no bot may look.
    fn is_hidden(&self, occasion: &Occasion) -> bool {
        occasion.channel.is_some_and(|channel| self.access.hides(occasion.guild, channel))
    }

    /// The sessions that get an event.
    fn reached_by(&self, occasion: &Occasion) -> Vec<SessionId> {
        if self.is_hidden(occasion) {
            return Vec::new();
        }
        let mut reached = self.sessions.reached_by(occasion.guild);
        let gets_it = |session: &Session| {
            let is_meant = occasion.application.is_none_or(|application| application == session.application);
            is_meant && (occasion.intent == 0 || session.intents & occasion.intent != 0)
        };
        reached.retain(|id| self.sessions.get(*id).is_some_and(gets_it));
        let to_one = self.settings.interactions_to == InteractionsTo::One;
        if to_one && occasion.name == "INTERACTION_CREATE" && reached.len() > 1 {
            let is_there =
                |id: &SessionId| self.sessions.get(*id).is_some_and(|session| session.link.is_some());
            if reached.iter().any(is_there) {
                reached.retain(is_there);
            }
            // Now this one, now that one: a fleet must not lean on which.
            let chance = mix(occasion.number.map_or(0, NonZeroU64::get));
            let index = usize::try_from(chance >> 8).unwrap_or_default() % reached.len();
            reached = vec![reached[index]];
        }
        reached
    }

    /// Sends an event of a guild to a session, at once or, where a skew is set, a little later.
    pub(crate) fn send(&mut self, at: Duration, id: SessionId, guild: Option<Snowflake>, event: Event) {
        let lag = self.lag(id, guild);
        let event = if lag.is_zero() {
            event
        } else {
            match self.transit.send(at + lag, id, event) {
                Ok(()) => return,
                Err(event) => {
                    // What was on its way before it must not come after it.
                    self.arrive(Duration::MAX);
                    event
                }
            }
        };
        if let Some(session) = self.sessions.get_mut(id) {
            session.push(event);
        }
    }

    /// Moves on to their sessions, in their order, the events that are due by then.
    pub(crate) fn arrive(&mut self, by: Duration) {
        while let Some((id, event)) = self.transit.arrived(by) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.push(event);
            }
        }
    }

    /// How much later than it was made a session gets an event of a guild. For one session and guild it is always the
    /// same, so that their order is kept; where sessions may differ in order, it also depends on the guild.
    fn lag(&self, id: SessionId, guild: Option<Snowflake>) -> Duration {
        let most = self.settings.skew_ms;
        if most == 0 {
            return Duration::ZERO;
        }
        let variation = self.sessions.get(id).map_or(0, |session| session.variation);
        let guild = guild.filter(|_| !self.settings.same_order).map_or(0, |guild| guild.0);
        Duration::from_micros(mix(variation ^ mix(guild)) % (u64::from(most) * 1000 + 1))
    }
}

impl Discord {
    /// Moves the events that have arrived on to their sessions; when the next one arrives.
    pub(crate) fn deliver_arrived(&self) -> Option<Duration> {
        let now = self.now();
        let next = self.read().transit.next_due()?;
        if next > now {
            return Some(next);
        }
        let mut state = self.change();
        state.arrive(now);
        state.transit.next_due()
    }
}
