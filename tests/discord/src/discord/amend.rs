//! Amendments: messages are edited and deleted, and that becomes events, too.
//!
//! From: REST (bots' messages and answers to interactions). For: the chat and delivery. Source: Discord,
//! `developers/resources/message.mdx` "Edit Message", "Delete Message". Deliberately absent: what an edit does to a message
//! (`chat/edit.rs`), bulk deletion.

use std::time::Duration;

use serde_json::{Value, json};

use super::delivery::Occasion;
use super::talk::Refused;
use super::{Discord, State};
use crate::chat::edit::Edit;
use crate::chat::{Message, Place};
use crate::intents;
use crate::snowflake::Snowflake;

impl Discord {
    /// A bot edits its message; what is none stays.
    pub(crate) fn bot_edits(
        &self,
        bot: Snowflake,
        (channel, id): (Snowflake, Snowflake),
        edit: Edit,
    ) -> Result<Value, Refused> {
        let mut state = self.change();
        self.place(&state, bot, channel)?;
        let message = state.seen(channel, id)?;
        if message.author.id != bot {
            return Err(Refused::NotTheAuthor);
        }
        self.edit(&mut state, id, edit)
    }

    /// Carries an edit out and announces it.
    pub(crate) fn edit(&self, state: &mut State, id: Snowflake, mut edit: Edit) -> Result<Value, Refused> {
        let (now, unix_ms) = (self.now(), self.clock.unix_ms());
        let mentions = state.mentions(edit.content.as_deref().unwrap_or_default());
        state.number(&mut edit.files, unix_ms);
        let message = state.chat.get_mut(id).ok_or(Refused::UnknownMessage)?;
        let mut edited = message.clone();
        edited.apply(edit, mentions, now, unix_ms);
        if edited.is_empty() {
            return Err(Refused::Empty);
        }
        *message = edited.clone();
        state.record.messages.edits += 1;
        state.announce("MESSAGE_UPDATE", &edited, None);
        Ok(self.object(state, edited.author.id, &edited))
    }

    /// A bot deletes a message: its own, or in a guild anyone's.
    pub(crate) fn bot_deletes(
        &self,
        bot: Snowflake,
        channel: Snowflake,
        id: Snowflake,
    ) -> Result<(), Refused> {
        let mut state = self.change();
        let place = self.place(&state, bot, channel)?;
        let message = state.seen(channel, id)?;
        if place.guild.is_none() && message.author.id != bot {
            return Err(Refused::NotInDirectMessages);
        }
        state.delete(id, self.now());
        Ok(())
    }
}

impl State {
    /// A message of a channel that everybody there sees.
    pub(crate) fn seen(&self, channel: Snowflake, id: Snowflake) -> Result<&Message, Refused> {
        let is_seen = |message: &&Message| message.place.channel == channel && !message.is_ephemeral();
        self.chat.get(id).filter(is_seen).ok_or(Refused::UnknownMessage)
    }

    /// Deletes a message and announces that.
    pub(crate) fn delete(&mut self, id: Snowflake, at: Duration) {
        let Some(message) = self.chat.delete(id).filter(|message| !message.is_ephemeral()) else { return };
        let Place { channel, guild } = message.place;
        let mut data = json!({ "id": id, "channel_id": channel });
        if let Some(guild) = guild {
            data["guild_id"] = json!(guild);
        }
        self.publish(
            &Occasion {
                name: "MESSAGE_DELETE",
                at,
                guild,
                channel: Some(message.place.channel),
                application: self.only_bot(message.place),
                intent: if guild.is_some() { intents::GUILD_MESSAGES } else { intents::DIRECT_MESSAGES },
                number: None,
            },
            data.into(),
        );
    }

    /// Gives attachments their ids.
    pub(crate) fn number(&mut self, attachments: &mut [Value], unix_ms: u64) {
        for attachment in attachments {
            attachment["id"] = json!(self.mint.next(unix_ms));
        }
    }
}
