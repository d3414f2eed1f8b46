//! Message content: which bot sees what of a message and of the one that it answers, in REST and in events.
//!
//! From: messages. For: REST's answers and the events of messages that answer others; those that answer none go the short
//! way (`delivery.rs`). Source: Discord, `developers/events/gateway.mdx` "Message Content Intent".
//! Deliberately absent: what is hidden (`chat/objects.rs`), ephemeral messages.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde_json::Value;

use super::{Delivery, Discord, State};
use crate::chat::Message;
use crate::chat::objects::{self, Hides};
use crate::intents;
use crate::session::log::{Data, Event};
use crate::snowflake::Snowflake;

impl Discord {
    /// A message as REST shows it to a bot.
    pub(crate) fn object(&self, state: &State, bot: Snowflake, message: &Message) -> Value {
        let asked = message.reference.and_then(|asked| state.chat.get(asked));
        objects::message(message, asked, hides(self.options.privileged_intents, bot, message, asked))
    }
}

impl State {
    /// Announces a message that answers another one in a guild: a session may see the content of one and not of the other.
    pub(crate) fn announce_reply(
        &mut self,
        (name, number): (&'static str, Option<NonZeroU64>),
        guild: Snowflake,
        message: &Message,
        asked: &Message,
    ) -> Vec<Delivery> {
        let at = message.edited.map_or(message.at, |(at, _)| at);
        let mut texts: HashMap<Hides, Arc<str>> = HashMap::new();
        let mut deliveries = Vec::new();
        for id in self.sessions.reached_by(Some(guild)) {
            let session = self.sessions.get(id);
            let Some(session) = session.filter(|session| session.intents & intents::GUILD_MESSAGES != 0)
            else {
                continue;
            };
            let hides = hides(session.intents, session.application, message, Some(asked));
            let text = texts
                .entry(hides)
                .or_insert_with(|| objects::message_event(message, Some(asked), hides).shared());
            deliveries.push(Delivery {
                shard: session.shard,
                total: session.total,
                session_id: id,
                connected: session.link.is_some(),
            });
            let event = Event { name, data: Data::Members(Arc::clone(text)), number };
            self.send(at, id, Some(guild), event);
        }
        self.record.events.routed(number, deliveries.len());
        deliveries
    }
}

/// What hides from a bot with these intents.
fn hides(intents: u32, bot: Snowflake, message: &Message, asked: Option<&Message>) -> Hides {
    let is_hidden = |message: &Message| {
        let is_its_own = message.place.guild.is_none() || message.author.id == bot;
        let is_seen = is_its_own || message.mentions.iter().any(|user| user.id == bot);
        intents & intents::MESSAGE_CONTENT == 0 && !is_seen
    };
    Hides { own: is_hidden(message), asked: asked.is_some_and(is_hidden) }
}
