//! Delivery: which sessions an event goes to, and what of it each may see.
//!
//! From: talk. For: the sessions' logs. The shard is `(guild_id >> 22) % total` for every total that has sessions, shard 0
//! where there is no guild; intents decide the rest. Sessions without a connection get events too: RESUME replays them.
//! Deliberately absent: skew, reordering and loss between sessions (later switches belong here).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Discord, State};
use crate::chat::objects::without_content;
use crate::intents;
use crate::session::Session;
use crate::session::log::{Data, Event};
use crate::snowflake::Snowflake;
use crate::world::{User, objects};

/// A session that got an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its shard ...
    pub shard: u32,
    /// ... of that many.
    pub total: u32,
    /// Its id.
    pub session_id: String,
    /// Whether it has a connection now; if not, it gets the event when it is resumed.
    pub connected: bool,
}

/// An event before anyone got it.
pub(crate) struct Occasion {
    /// `t`.
    pub(crate) name: &'static str,
    /// Its guild; none sends it to shard 0.
    pub(crate) guild: Option<Snowflake>,
    /// The only bot that it concerns; none for all.
    pub(crate) application: Option<Snowflake>,
    /// The intent that it needs.
    pub(crate) intent: u32,
    /// `d`.
    pub(crate) data: Value,
    /// For messages in guilds: those whose bots see the content without MESSAGE_CONTENT.
    pub(crate) concerns: Option<Vec<Snowflake>>,
}

impl State {
    /// Puts the event into the log of every session that gets it.
    pub(crate) fn publish(&mut self, occasion: Occasion) -> Vec<Delivery> {
        let reached = self.sessions.reached_by(occasion.guild);
        if reached.is_empty() {
            return Vec::new();
        }
        let whole: Arc<str> = occasion.data.to_string().into();
        let blank: Option<Arc<str>> =
            occasion.concerns.as_ref().map(|_| without_content(occasion.data).to_string().into());
        let mut deliveries = Vec::new();
        for id in reached {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let is_meant = occasion.application.is_none_or(|application| application == session.application);
            if !is_meant || session.intents & occasion.intent == 0 {
                continue;
            }
            let text = match (&blank, &occasion.concerns) {
                (Some(blank), Some(concerns)) if !sees_content(session, concerns) => blank,
                _ => &whole,
            };
            session.push(Event { name: occasion.name, data: Data::Text(Arc::clone(text)) });
            deliveries.push(Delivery {
                shard: session.shard,
                total: session.total,
                session_id: id,
                connected: session.link.is_some(),
            });
        }
        deliveries
    }
}

impl Discord {
    /// Answers op 8 with one GUILD_MEMBERS_CHUNK, for that session alone; a guild of another shard is not answered.
    pub(crate) fn send_members(
        &self,
        session: &str,
        guild: Snowflake,
        (query, limit): (Option<&str>, usize),
        users: &[Snowflake],
        nonce: Option<&str>,
    ) {
        let mut state = self.change();
        let Some(of) = state.sessions.get_mut(session) else { return };
        if !self.world.has_guild(guild) || guild.shard(of.total) != of.shard {
            return;
        }
        let (shard_session, application) = (of.id.clone(), of.application);
        let mut people = self.world.members_of(guild);
        people.extend(state.applications.get(&application).map(|application| application.user.clone()));
        let wanted = |user: &&User| match query {
            Some(beginning) => user.name.starts_with(beginning),
            None => users.contains(&user.id),
        };
        let limit = if limit == 0 { people.len() } else { limit };
        let members: Vec<_> =
            people.iter().filter(wanted).take(limit).map(|user| objects::member(guild, user)).collect();
        let missing: Vec<_> = users.iter().filter(|id| people.iter().all(|user| user.id != **id)).collect();
        let mut data = json!({
            "guild_id": guild, "members": members, "chunk_index": 0, "chunk_count": 1, "not_found": missing,
        });
        if let Some(nonce) = nonce {
            data["nonce"] = json!(nonce);
        }
        if let Some(session) = state.sessions.get_mut(&shard_session) {
            session.push(Event { name: "GUILD_MEMBERS_CHUNK", data: Data::Text(data.to_string().into()) });
        }
    }
}

fn sees_content(session: &Session, concerns: &[Snowflake]) -> bool {
    session.intents & intents::MESSAGE_CONTENT != 0 || concerns.contains(&session.application)
}
