//! Message content: which bot sees what of a message and of the one that it answers, in REST and in events.
//!
//! From: messages. For: REST's answers and the events of messages (`talk.rs`). Source: Discord,
//! `developers/events/gateway.mdx` "Message Content Intent". Deliberately absent: what is hidden (`chat/objects.rs`),
//! ephemeral messages.

use serde_json::Value;

use super::{Discord, State};
use crate::chat::Message;
use crate::chat::objects::{self, Hides};
use crate::intents;
use crate::snowflake::Snowflake;

impl Discord {
    /// A message as REST shows it to a bot.
    pub(crate) fn object(&self, state: &State, bot: Snowflake, message: &Message) -> Value {
        let asked = message.reference.and_then(|asked| state.chat.get(asked));
        objects::message(message, asked, hides(self.options.privileged_intents, bot, message, asked))
    }
}

/// What hides from a bot with these intents: in a guild, what neither it wrote nor mentions it.
pub(crate) fn hides(intents: u32, bot: Snowflake, message: &Message, asked: Option<&Message>) -> Hides {
    let is_hidden = |message: &Message| {
        let is_its_own = message.place.guild.is_none() || message.author.id == bot;
        let is_seen = is_its_own || message.mentions.iter().any(|user| user.id == bot);
        intents & intents::MESSAGE_CONTENT == 0 && !is_seen
    };
    Hides { own: is_hidden(message), asked: asked.is_some_and(is_hidden) }
}
