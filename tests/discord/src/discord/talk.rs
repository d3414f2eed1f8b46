//! Talk: users and bots write and type; every word becomes an event for the sessions it concerns.
//!
//! From: control (users) and REST (bots). For: the chat, the ledger's counts and delivery.
//! A user's message always arrives; a bot's is checked as Discord checks it. Deliberately absent: permissions (bots are
//! moderators everywhere), the reading of requests, edits and deletions (`discord/amend.rs`).

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::content::hides;
use super::delivery::{Delivery, Occasion};
use super::{DirectChannel, Discord, State, ms};
use crate::chat::objects::message_event;
use crate::chat::{InteractionSource, Message, Place, mentioned};
use crate::intents;
use crate::interactions::Closed;
use crate::ledger::EventKind;
use crate::options::Token;
use crate::record::events::Made;
use crate::snowflake::Snowflake;
use crate::world::channel_objects;
use crate::world::channels::View;
use crate::world::objects::MemberObject;
use crate::world::{self, User};

/// How long a nonce is remembered for `enforce_nonce` ("the past few minutes").
const NONCE_LIFE: Duration = Duration::from_secs(300);
/// What commands begin with.
const PREFIX: char = '!';
/// Channels between a person and a bot that may exist.
const DIRECT_CHANNELS: usize = 10_000;

/// A user's message to be written.
#[derive(Clone, Debug)]
pub(crate) struct UserMessage {
    pub(crate) content: String,
    /// The guild; none for a direct message to the first bot.
    pub(crate) guild: Option<Snowflake>,
    /// The channel of that guild; `general` where none is given.
    pub(crate) channel: Option<Snowflake>,
    /// Its author; a member of the guild where none is given.
    pub(crate) author: Option<Snowflake>,
    /// Whether a bot is to answer it; where that is not said, its content does.
    pub(crate) asks: Option<bool>,
}

/// A bot's message to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct BotMessage {
    pub(crate) content: String,
    pub(crate) embeds: Vec<Value>,
    pub(crate) attachments: Vec<Value>,
    /// The message it answers, and whether that one must exist.
    pub(crate) reference: Option<(Snowflake, bool)>,
    pub(crate) nonce: Option<Value>,
    /// Whether a message with the same nonce is answered with the first one.
    pub(crate) enforce_nonce: bool,
    pub(crate) components: Vec<Value>,
    pub(crate) flags: u64,
    /// The interaction it answers.
    pub(crate) interaction: Option<InteractionSource>,
}

/// Why a bot's word was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownChannel,
    UnknownMessage,
    UnknownReference,
    UnknownEmoji,
    Empty,
    TooManyReactions,
    NotTheAuthor,
    NotInDirectMessages,
    MissingAccess,
    NotText,
    Interaction(Closed),
}

impl Discord {
    /// A user writes; the message and who got it.
    pub(crate) fn user_writes(&self, request: UserMessage) -> Result<(Arc<Message>, Vec<Delivery>), String> {
        let mut state = self.change();
        let author = request.author.map(world::person);
        let (place, author) = if let Some(guild) = request.guild {
            let author = author.or_else(|| self.world.members_of(guild).pop());
            let channel = request.channel.unwrap_or_else(|| world::channel_of(guild));
            (Place { channel, guild: Some(guild) }, author.unwrap_or_else(world::somebody))
        } else {
            let author = author.unwrap_or_else(world::somebody);
            (self.direct_place(&mut state, &author)?, author)
        };
        Ok(self.write(&mut state, place, author, request.content, request.asks))
    }

    /// A person writes; the message's id.
    pub(crate) fn make_message(
        &self,
        state: &mut State,
        place: Place,
        author: User,
        content: String,
    ) -> Snowflake {
        self.write(state, place, author, content, None).0.id
    }

    fn write(
        &self,
        state: &mut State,
        place: Place,
        author: User,
        content: String,
        asks: Option<bool>,
    ) -> (Arc<Message>, Vec<Delivery>) {
        let text = BotMessage { content, ..BotMessage::default() };
        let message = self.new_message(state, place, author, text);
        let made = Made {
            id: message.id,
            kind: EventKind::Message,
            guild: place.guild,
            at_ms: ms(message.at),
            // Who may not view it cannot answer it.
            asks: !state.access.hides(place.guild, place.channel)
                && asks.unwrap_or_else(|| message.content.starts_with(PREFIX)),
        };
        let number = state.record.events.made(made);
        let deliveries = state.announce("MESSAGE_CREATE", &message, number);
        state.record.messages.made += 1;
        state.record.messages.delivered += u64::from(!deliveries.is_empty());
        (message, deliveries)
    }

    /// A bot writes; the message as REST answers it.
    pub(crate) fn bot_writes(
        &self,
        bot: Snowflake,
        channel: Snowflake,
        request: &BotMessage,
    ) -> Result<Value, Refused> {
        let mut state = self.change();
        let place = self.place(&state, bot, channel)?;
        if let (true, Some(nonce)) = (request.enforce_nonce, &request.nonce) {
            let since = self.now().saturating_sub(NONCE_LIFE);
            let before = state.chat.with_nonce(bot, channel, nonce, since);
            if let Some(message) = before.map(|message| self.object(&state, bot, message)) {
                state.record.events.repeated();
                return Ok(message);
            }
        }
        let mut request = request.clone();
        if let Some((asked, must_exist)) = request.reference {
            let is_here = state.seen(channel, asked).is_ok();
            if !is_here && must_exist {
                return Err(Refused::UnknownReference);
            }
            request.reference = request.reference.filter(|_| is_here);
        }
        let author = state.author(bot);
        let message = self.new_message(&mut state, place, author, request);
        state.announce("MESSAGE_CREATE", &message, None);
        state.record.messages.by_bots += 1;
        let asked = message.reference.and_then(|asked| state.chat.get(asked));
        let is_reply = asked.is_some_and(|asked| !asked.author.bot);
        state.record.messages.replies += u64::from(is_reply);
        if let Some(asked) = message.reference {
            state.record.events.answered(asked, bot, ms(message.at));
        }
        Ok(self.object(&state, bot, &message))
    }

    /// A bot types.
    pub(crate) fn bot_types(&self, bot: Snowflake, channel: Snowflake) -> Result<(), Refused> {
        let mut state = self.change();
        let place = self.place(&state, bot, channel)?;
        let mut data =
            json!({ "channel_id": channel, "user_id": bot, "timestamp": self.clock.unix_ms() / 1000 });
        let application = state.only_bot(place);
        let mut intent = intents::DIRECT_MESSAGE_TYPING;
        if let Some(guild) = place.guild {
            data["guild_id"] = json!(guild);
            data["member"] = json!(MemberObject::whole(guild, &state.author(bot)).acting());
            intent = intents::GUILD_MESSAGE_TYPING;
        }
        let occasion = Occasion {
            name: "TYPING_START",
            at: self.now(),
            guild: place.guild,
            channel: Some(place.channel),
            application,
            intent,
            number: None,
        };
        state.publish(&occasion, data.into());
        Ok(())
    }

    /// A channel as REST answers it.
    pub(crate) fn channel(&self, bot: Snowflake, channel: Snowflake) -> Result<Value, Refused> {
        let state = self.read();
        if let Some((guild, kind)) = self.world.channel(channel) {
            let seen = channel_objects::rest(&self.world.access, guild, kind, bot);
            return seen.ok_or(Refused::MissingAccess);
        }
        self.place(&state, bot, channel)?;
        let direct = state.direct.get(&channel);
        let object = direct.map(|direct| channel_objects::direct(channel, &direct.person));
        object.ok_or(Refused::UnknownChannel)
    }

    /// Whether the message is known, and the bots' answers to it.
    pub(crate) fn answers_to(&self, id: Snowflake) -> Option<Vec<Message>> {
        let state = self.read();
        state.chat.get(id)?;
        Some(state.chat.answers_to(id).cloned().collect())
    }

    /// The channel between a person and the first bot.
    fn direct_place(&self, state: &mut State, person: &User) -> Result<Place, String> {
        let first_bot = self.options.tokens.first().map(Token::application);
        let unix_ms = self.clock.unix_ms();
        first_bot.and_then(|bot| state.direct_place(bot, person, unix_ms)).ok_or_else(|| {
            format!("authorId: found one more than {DIRECT_CHANNELS} authors of direct messages; use fewer")
        })
    }

    pub(crate) fn place(&self, state: &State, bot: Snowflake, channel: Snowflake) -> Result<Place, Refused> {
        if let Some((guild, kind)) = self.world.channel(channel) {
            return match self.world.access.view(guild, kind) {
                View::Hidden => Err(Refused::MissingAccess),
                _ if !kind.takes_messages() => Err(Refused::NotText),
                _ => Ok(Place { channel, guild: Some(guild) }),
            };
        }
        let is_direct = state.direct.get(&channel).is_some_and(|direct| direct.application == bot);
        is_direct.then_some(Place { channel, guild: None }).ok_or(Refused::UnknownChannel)
    }

    pub(crate) fn new_message(
        &self,
        state: &mut State,
        place: Place,
        author: User,
        of: BotMessage,
    ) -> Arc<Message> {
        let id = state.mint.next(self.clock.unix_ms());
        let mut attachments = of.attachments;
        state.number(&mut attachments, self.clock.unix_ms());
        let message = Arc::new(Message {
            id,
            place,
            author,
            mentions: state.mentions(&of.content),
            content: of.content,
            history: Vec::new(),
            reference: of.reference.map(|(asked, _)| asked),
            nonce: of.nonce,
            embeds: of.embeds,
            attachments,
            at: self.now(),
            edited: None,
            flags: of.flags,
            interaction: of.interaction,
            components: of.components,
            reactions: Vec::new(),
        });
        state.chat.add(Arc::clone(&message));
        message
    }
}

impl State {
    /// A user, whether bot or person.
    pub(crate) fn author(&self, id: Snowflake) -> User {
        self.applications.get(&id).map_or_else(|| world::person(id), |application| application.user.clone())
    }

    pub(crate) fn mentions(&self, content: &str) -> Vec<User> {
        mentioned(content).into_iter().map(|id| self.author(id)).collect()
    }

    /// The channel between a person and a bot; none if there are too many.
    pub(crate) fn direct_place(&mut self, bot: Snowflake, person: &User, unix_ms: u64) -> Option<Place> {
        let pair = (bot, person.id);
        let channel = if let Some(channel) = self.direct_of.get(&pair) {
            *channel
        } else if self.direct.len() < DIRECT_CHANNELS && self.applications.contains_key(&bot) {
            let channel = self.mint.next(unix_ms);
            self.direct.insert(channel, DirectChannel { person: person.clone(), application: bot });
            self.direct_of.insert(pair, channel);
            channel
        } else {
            return None;
        };
        Some(Place { channel, guild: None })
    }

    /// The only bot that a place concerns; none in a guild.
    pub(crate) fn only_bot(&self, place: Place) -> Option<Snowflake> {
        let direct = self.direct.get(&place.channel).filter(|_| place.guild.is_none());
        direct.map(|direct| direct.application)
    }

    pub(crate) fn announce(
        &mut self,
        name: &'static str,
        message: &Message,
        number: Option<NonZeroU64>,
    ) -> Vec<Delivery> {
        if message.is_ephemeral() {
            return Vec::new();
        }
        let guild = message.place.guild;
        let occasion = Occasion {
            name,
            at: message.edited.map_or(message.at, |(at, _)| at),
            guild,
            channel: Some(message.place.channel),
            application: self.only_bot(message.place),
            intent: if guild.is_some() { intents::GUILD_MESSAGES } else { intents::DIRECT_MESSAGES },
            number,
        };
        let asked = message.reference.and_then(|asked| self.chat.get(asked)).cloned();
        // Written down once for all that may see the same of it.
        let mut texts = HashMap::new();
        self.publish_to_each(&occasion, |session| {
            let hides = hides(session.intents, session.application, message, asked.as_ref());
            let text =
                texts.entry(hides).or_insert_with(|| message_event(message, asked.as_ref(), hides).shared());
            Arc::clone(text)
        })
    }
}
