//! Webhooks of interactions: `@original` and follow-ups, as long as the token is good.
//!
//! From: REST. For: the chat and delivery. A follow-up right after a deferred answer completes that one, as Discord keeps it
//! for old bots. Source: Discord, `developers/interactions/receiving-and-responding.mdx` "Followup Messages".
//! Deliberately absent: webhooks that are not an interaction's.

use serde_json::Value;

use super::talk::{BotMessage, Refused};
use super::{Discord, State};
use crate::chat::edit::Edit;
use crate::interactions::{Answer, Interaction};
use crate::snowflake::Snowflake;

/// A webhook: its bot and its token.
pub(crate) type Webhook<'a> = (Snowflake, &'a str);

impl Discord {
    /// Whether the webhook is open, to be asked before anything of a body is read.
    pub(crate) fn may_follow_up(&self, webhook: Webhook<'_>) -> Result<(), Refused> {
        self.webhook(&self.read(), webhook).map(|_| ())
    }

    /// A follow-up.
    pub(crate) fn bot_follows_up(&self, webhook: Webhook<'_>, message: BotMessage) -> Result<Value, Refused> {
        let mut state = self.change();
        let interaction = self.webhook(&state, webhook)?;
        if let Answer::Deferred(original) = interaction.answer {
            let edit = Edit {
                content: Some(message.content),
                embeds: Some(message.embeds),
                components: Some(message.components),
                files: message.attachments,
                ..Edit::default()
            };
            return self.edit_answer(&mut state, &interaction, original, edit);
        }
        let message = self.answer_with(&mut state, &interaction, message);
        state.record.interactions.followups += 1;
        Ok(self.object(&state, webhook.0, &message))
    }

    /// One of the webhook's messages; without an id, the first answer's.
    pub(crate) fn webhook_message(
        &self,
        webhook: Webhook<'_>,
        id: Option<Snowflake>,
    ) -> Result<Value, Refused> {
        let state = self.read();
        let interaction = self.webhook(&state, webhook)?;
        let id = state.message_of(&interaction, id)?;
        state
            .chat
            .get(id)
            .map(|message| self.object(&state, webhook.0, message))
            .ok_or(Refused::UnknownMessage)
    }

    /// Edits one of the webhook's messages; a deferred answer is completed by it.
    pub(crate) fn edit_webhook_message(
        &self,
        webhook: Webhook<'_>,
        id: Option<Snowflake>,
        edit: Edit,
    ) -> Result<Value, Refused> {
        let mut state = self.change();
        let interaction = self.webhook(&state, webhook)?;
        let id = state.message_of(&interaction, id)?;
        self.edit_answer(&mut state, &interaction, id, edit)
    }

    /// Deletes one of the webhook's messages.
    pub(crate) fn delete_webhook_message(
        &self,
        webhook: Webhook<'_>,
        id: Option<Snowflake>,
    ) -> Result<(), Refused> {
        let mut state = self.change();
        let interaction = self.webhook(&state, webhook)?;
        let id = state.message_of(&interaction, id)?;
        state.delete(id, self.now());
        Ok(())
    }

    fn edit_answer(
        &self,
        state: &mut State,
        interaction: &Interaction,
        id: Snowflake,
        edit: Edit,
    ) -> Result<Value, Refused> {
        let edited = self.edit(state, id, edit)?;
        if interaction.answer == Answer::Deferred(id) {
            state.interactions.answer(interaction.id, Answer::Message(id));
        }
        Ok(edited)
    }

    fn webhook(&self, state: &State, (bot, token): Webhook<'_>) -> Result<Interaction, Refused> {
        let interaction = state.interactions.webhook(bot, token, self.clock.rules());
        interaction.cloned().map_err(Refused::Interaction)
    }
}

impl State {
    /// The id of a message, if it answers this interaction.
    fn message_of(&self, interaction: &Interaction, id: Option<Snowflake>) -> Result<Snowflake, Refused> {
        let id = id.or_else(|| interaction.answer.original());
        let message = id.and_then(|id| self.chat.get(id));
        let source = message.and_then(|message| message.interaction.as_ref());
        let is_its_own = source.is_some_and(|source| source.id == interaction.id);
        id.filter(|_| is_its_own).ok_or(Refused::UnknownMessage)
    }
}
