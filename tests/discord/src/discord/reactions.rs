//! Reactions: they come and go, and become events.
//!
//! From: REST (bots) and the generator (people). For: the chat and delivery. Source: Discord,
//! `developers/events/gateway-events.mdx` "Message Reaction Add". Deliberately absent: custom emojis, the removal of others'
//! reactions, and a store of the generator's, which come by the thousand to the same message.

use std::num::NonZeroU64;

use super::delivery::Occasion;
use super::talk::Refused;
use super::{Discord, State, ms};
use crate::chat::Place;
use crate::chat::reactions::{emoji_object, is_emoji};
use crate::intents;
use crate::ledger::EventKind;
use crate::members::Members;
use crate::record::events::Made;
use crate::snowflake::Snowflake;
use crate::world::objects::MemberObject;
use crate::world::{User, channel_of};

/// The event of a reaction that was not there before.
const ADDED: &str = "MESSAGE_REACTION_ADD";
/// What people of the generator react with.
const THUMBS_UP: &str = "\u{1f44d}";

/// Whose reaction to what with what.
struct Reacted<'a> {
    user: &'a User,
    place: Place,
    message: Snowflake,
    /// Of the message, where that is still known.
    author: Option<Snowflake>,
    emoji: &'a str,
}

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
            self.announce_reaction(&mut state, ADDED, (bot, id), emoji);
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
            self.announce_reaction(&mut state, "MESSAGE_REACTION_REMOVE", (bot, id), emoji);
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

    /// A person reacts to a message of a guild.
    pub(crate) fn make_reaction(
        &self,
        state: &mut State,
        guild: Snowflake,
        message: Snowflake,
        person: &User,
    ) {
        let at_ms = ms(self.now());
        let id = state.mint.next(self.clock.unix_ms());
        let made = Made { id, kind: EventKind::Reaction, guild: Some(guild), at_ms, asks: false };
        let number = state.record.events.made(made);
        let known = state.chat.get(message);
        let author = known.map(|message| message.author.id);
        let elsewhere = || Place { channel: channel_of(guild), guild: Some(guild) };
        let place = known.map_or_else(elsewhere, |message| message.place);
        let reacted = Reacted { user: person, place, message, author, emoji: THUMBS_UP };
        self.publish_reaction(state, ADDED, &reacted, number);
    }

    fn announce_reaction(
        &self,
        state: &mut State,
        name: &'static str,
        (bot, id): (Snowflake, Snowflake),
        emoji: &str,
    ) {
        let Some(message) = state.chat.get(id) else { return };
        let (place, author, user) = (message.place, Some(message.author.id), &state.author(bot));
        self.publish_reaction(state, name, &Reacted { user, place, message: id, author, emoji }, None);
    }

    fn publish_reaction(
        &self,
        state: &mut State,
        name: &'static str,
        of: &Reacted<'_>,
        number: Option<NonZeroU64>,
    ) {
        let mut data = Members::new()
            .with("user_id", &of.user.id)
            .with("channel_id", &of.place.channel)
            .with("message_id", &of.message)
            .with("emoji", &emoji_object(of.emoji))
            .with("burst", &false)
            .with("type", &0);
        if let Some(guild) = of.place.guild {
            data.add("guild_id", &guild);
        }
        if name == ADDED {
            if let Some(author) = of.author {
                data.add("message_author_id", &author);
            }
            if let Some(guild) = of.place.guild {
                data.add("member", &MemberObject::whole(guild, of.user).acting());
            }
        }
        let intent = match of.place.guild {
            Some(_) => intents::GUILD_MESSAGE_REACTIONS,
            None => intents::DIRECT_MESSAGE_REACTIONS,
        };
        let application = state.only_bot(of.place);
        let Place { channel, guild } = of.place;
        let channel = Some(channel);
        let occasion = Occasion { name, at: self.now(), guild, channel, application, intent, number };
        state.publish(&occasion, data);
    }
}
