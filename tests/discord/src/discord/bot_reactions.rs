//! Reactions of bots: they come and go, and become events.
//!
//! From: REST. For: the chat and delivery. Source: Discord, `developers/events/gateway-events.mdx` "Message Reaction Add".
//! Deliberately absent: reactions of people (`discord/reactions.rs`), and the removal of others' reactions.

use serde_json::json;

use super::delivery::Occasion;
use super::talk::Refused;
use super::{Discord, State};
use crate::chat::reactions::{emoji_object, is_emoji};
use crate::intents;
use crate::snowflake::Snowflake;
use crate::world::{User, objects};

impl Discord {
    /// A bot reacts to a message.
    pub(crate) fn bot_reacts(
        &self,
        bot: Snowflake,
        (channel, id): (Snowflake, Snowflake),
        emoji: &str,
    ) -> Result<(), Refused> {
        let mut state = self.change();
        self.reacted_to(&state, bot, (channel, id), emoji)?;
        let message = state.chat.get_mut(id).ok_or(Refused::UnknownMessage)?;
        let is_new = message.react(bot, emoji).ok_or(Refused::TooManyReactions)?;
        if is_new {
            self.announce_reaction(&mut state, "MESSAGE_REACTION_ADD", bot, id, emoji);
        }
        Ok(())
    }

    /// A bot takes its reaction back.
    pub(crate) fn bot_unreacts(
        &self,
        bot: Snowflake,
        (channel, id): (Snowflake, Snowflake),
        emoji: &str,
    ) -> Result<(), Refused> {
        let mut state = self.change();
        self.reacted_to(&state, bot, (channel, id), emoji)?;
        let message = state.chat.get_mut(id).ok_or(Refused::UnknownMessage)?;
        if message.unreact(bot, emoji) {
            self.announce_reaction(&mut state, "MESSAGE_REACTION_REMOVE", bot, id, emoji);
        }
        Ok(())
    }

    /// Who reacted to a message with an emoji.
    pub(crate) fn reactors(
        &self,
        bot: Snowflake,
        place: (Snowflake, Snowflake),
        emoji: &str,
    ) -> Result<Vec<User>, Refused> {
        let state = self.read();
        self.reacted_to(&state, bot, place, emoji)?;
        let message = state.seen(place.0, place.1)?;
        let reaction = message.reactions.iter().find(|reaction| reaction.emoji == emoji);
        let mut users = reaction.map(|reaction| reaction.users.clone()).unwrap_or_default();
        users.sort_unstable();
        Ok(users.into_iter().map(|id| state.author(id)).collect())
    }

    /// That channel, message and emoji exist for the bot.
    fn reacted_to(
        &self,
        state: &State,
        bot: Snowflake,
        (channel, id): (Snowflake, Snowflake),
        emoji: &str,
    ) -> Result<(), Refused> {
        self.place(state, bot, channel)?;
        state.seen(channel, id)?;
        is_emoji(emoji).then_some(()).ok_or(Refused::UnknownEmoji)
    }

    fn announce_reaction(
        &self,
        state: &mut State,
        name: &'static str,
        bot: Snowflake,
        id: Snowflake,
        emoji: &str,
    ) {
        let Some(message) = state.chat.get(id) else { return };
        let (place, author) = (message.place, message.author.id);
        let mut data = json!({
            "user_id": bot, "channel_id": place.channel, "message_id": id, "emoji": emoji_object(emoji), "burst": false,
            "type": 0,
        });
        if let Some(guild) = place.guild {
            data["guild_id"] = json!(guild);
        }
        if name == "MESSAGE_REACTION_ADD" {
            data["message_author_id"] = json!(author);
            if let Some(guild) = place.guild {
                data["member"] = objects::member(guild, &state.author(bot));
            }
        }
        let of_guild = place.guild.is_some();
        state.publish(Occasion {
            name,
            at: self.now(),
            guild: place.guild,
            application: state.only_bot(place),
            intent: if of_guild {
                intents::GUILD_MESSAGE_REACTIONS
            } else {
                intents::DIRECT_MESSAGE_REACTIONS
            },
            data: data.into(),
            concerns: None,
            number: None,
        });
    }
}
