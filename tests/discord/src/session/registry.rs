//! All sessions, found by id and by the shard that an event goes to.
//!
//! Ordered, so that whoever goes through them does so in the same order in each run. From: entry and the end of sessions. For: delivery, which must not look at sessions that an event does not concern.
//! Deliberately absent: rules; several sessions of one `[shard, total]` and several totals at once are Discord's way.

use std::collections::BTreeMap;

use super::Session;
use super::id::SessionId;
use crate::snowflake::Snowflake;

/// The sessions that exist, connected or not.
#[derive(Debug, Default)]
pub struct Registry {
    by_id: BTreeMap<SessionId, Session>,
    /// Total -> shard -> ids.
    by_shard: BTreeMap<u32, BTreeMap<u32, Vec<SessionId>>>,
}

impl Registry {
    /// Adds a session.
    pub fn insert(&mut self, session: Session) {
        let shards = self.by_shard.entry(session.total).or_default();
        shards.entry(session.shard).or_default().push(session.id);
        self.by_id.insert(session.id, session);
    }

    /// Ends a session.
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.by_id.remove(&id)?;
        if let Some(shards) = self.by_shard.get_mut(&session.total) {
            if let Some(ids) = shards.get_mut(&session.shard) {
                ids.retain(|other| *other != id);
            }
            shards.retain(|_, ids| !ids.is_empty());
        }
        self.by_shard.retain(|_, shards| !shards.is_empty());
        Some(session)
    }

    /// The session of that id.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    /// The session of that id.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    /// Every session.
    pub fn all(&self) -> impl Iterator<Item = &Session> {
        self.by_id.values()
    }

    /// Ids of the sessions that an event of this guild goes to; without a guild, those of each shard 0.
    pub fn reached_by(&self, guild: Option<Snowflake>) -> Vec<SessionId> {
        let reached = self
            .by_shard
            .iter()
            .filter_map(|(total, shards)| shards.get(&guild.map_or(0, |guild| guild.shard(*total))));
        reached.flatten().copied().collect()
    }

    /// Whether a session is still there that was to get the event of this number in this guild (without one: at shard 0). One without
    /// a connection whose place another session has taken since is not: nobody will RESUME it.
    pub fn can_bring(&self, guild: Option<Snowflake>, event: u64) -> bool {
        let reached = self.reached_by(guild);
        let sessions = || reached.iter().filter_map(|id| self.by_id.get(id));
        sessions().any(|session| {
            let is_replaced = session.link.is_none()
                && sessions().any(|other| other.total == session.total && other.ready_at > session.ready_at);
            session.ready_after < event && !is_replaced
        })
    }

    /// Ids of the sessions for which `is_over` holds.
    pub fn ids_where(&self, is_over: impl Fn(&Session) -> bool) -> Vec<SessionId> {
        self.by_id.values().filter(|session| is_over(session)).map(|session| session.id).collect()
    }
}
