//! Interactions in the state: a user uses a command, and its bot answers first.
//!
//! From: control (uses) and REST (callbacks). For: the sessions of the guild's shard, of every total, whatever their
//! intents, and the chat. Deadlines are in `interactions.rs`, in Discord's time. Source: Discord,
//! `developers/interactions/receiving-and-responding.mdx`. Deliberately absent: endpoint URLs, follow-ups (`webhooks.rs`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::delivery::{Delivery, Occasion};
use super::talk::{BotMessage, Refused};
use super::{Discord, State, ms};
use crate::chat::edit::{EPHEMERAL, LOADING};
use crate::chat::{InteractionSource, Message, Place};
use crate::commands::Command;
use crate::commands::call::{self, Named};
use crate::form_errors::Object;
use crate::interactions::callback::{DEFERRED, MESSAGE, MODAL};
use crate::interactions::{Answer, Closed, Interaction, objects};
use crate::ledger::EventKind;
use crate::record::events::Made;
use crate::snowflake::Snowflake;
use crate::world::{self, User};

/// A command to be used.
#[derive(Clone, Debug)]
pub(crate) struct CommandUse {
    /// Its name; for subcommands with their words.
    pub(crate) command: String,
    /// Options by name.
    pub(crate) options: Object,
    /// The guild; none for a direct message.
    pub(crate) guild: Option<Snowflake>,
    /// The channel of that guild; `general` where none is given.
    pub(crate) channel: Option<Snowflake>,
    /// Who uses it; a member of the guild where none is given.
    pub(crate) user: Option<Snowflake>,
    /// The bot; any that has such a command where none is given.
    pub(crate) application: Option<Snowflake>,
}

/// A first answer that was found right.
#[derive(Clone, Debug)]
pub(crate) enum FirstAnswer {
    Message(Box<BotMessage>),
    Deferred { is_ephemeral: bool },
    Modal,
}

impl Discord {
    /// A user uses a command; the interaction and who got it, or what is wrong.
    pub(crate) fn user_commands(&self, request: &CommandUse) -> Result<(Interaction, Vec<Delivery>), String> {
        let mut state = self.change();
        let (application, mut data, named) = state.command_data(request)?;
        let user = request.user.map(world::person);
        let (place, user) = if let Some(guild) = request.guild {
            let user = user.or_else(|| self.world.members_of(guild).pop());
            let channel = request.channel.unwrap_or_else(|| world::channel_of(guild));
            let place = Place { channel, guild: Some(guild) };
            (place, user.unwrap_or_else(world::somebody))
        } else {
            let user = user.unwrap_or_else(world::somebody);
            let place = state.direct_place(application, &user, self.clock.unix_ms());
            (place.ok_or("userId: there are too many direct channels; use fewer users")?, user)
        };
        self.resolve(&state, (application, place), &named, &mut data);
        let command = request.command.trim_start_matches('/').to_owned();
        let interaction = self.new_interaction(&mut state, application, place, user, command);
        let deliveries = self.announce_interaction(&mut state, &interaction, &data);
        Ok((interaction, deliveries))
    }

    /// A person uses a command of a guild that needs no options; false if there is none.
    pub(crate) fn make_interaction(
        &self,
        state: &mut State,
        place: Place,
        person: &User,
        chance: u64,
    ) -> bool {
        let all: Vec<_> = state.applications.keys().copied().collect();
        let simple = state.commands.simple(&all, place.guild);
        let index = usize::try_from(chance >> 32).unwrap_or_default() % simple.len().max(1);
        let Some((application, of, command)) = simple.get(index) else { return false };
        let (application, name) = (*application, command.definition.name.clone());
        let data = command_object(command, *of);
        let interaction = self.new_interaction(state, application, place, person.clone(), name);
        self.announce_interaction(state, &interaction, &data);
        true
    }

    /// Whether a bot has registered a command that needs no options.
    pub(crate) fn has_simple_command(&self) -> bool {
        self.read().commands.has_simple()
    }

    /// Whether a first answer is taken, to be asked before anything of a body is read.
    pub(crate) fn may_acknowledge(&self, id: Snowflake, token: &str) -> Result<(), Refused> {
        self.opened(&mut self.change(), id, token).map(|_| ())
    }

    /// A bot answers first; as a callback `with_response` is answered.
    pub(crate) fn bot_acknowledges(
        &self,
        id: Snowflake,
        token: &str,
        answer: FirstAnswer,
    ) -> Result<Value, Refused> {
        let mut state = self.change();
        let mut interaction = self.opened(&mut state, id, token)?;
        let (kind, message) = match answer {
            FirstAnswer::Message(message) => (MESSAGE, Some(*message)),
            FirstAnswer::Deferred { is_ephemeral } => {
                let flags = LOADING | if is_ephemeral { EPHEMERAL } else { 0 };
                (DEFERRED, Some(BotMessage { flags, ..BotMessage::default() }))
            }
            FirstAnswer::Modal => (MODAL, None),
        };
        let message = message.map(|message| self.answer_with(&mut state, &interaction, message));
        interaction.answer = match &message {
            Some(message) if kind == DEFERRED => Answer::Deferred(message.id),
            Some(message) => Answer::Message(message.id),
            None => Answer::Other,
        };
        state.interactions.answer(id, interaction.answer);
        state.record.interactions.acknowledged += 1;
        state.record.events.answered(id, interaction.application, ms(self.now()));
        let is_ephemeral = message.as_ref().is_some_and(|message| message.is_ephemeral());
        let object = message
            .filter(|_| kind == MESSAGE)
            .map(|message| self.object(&state, interaction.application, &message));
        Ok(objects::callback(&interaction, kind, is_ephemeral, object))
    }

    /// Whether the interaction is known, and the bot's answers to it that can be read.
    pub(crate) fn answers_to_interaction(&self, id: Snowflake) -> Option<Vec<Message>> {
        let state = self.read();
        state.interactions.get(id)?;
        Some(state.chat.answers_to(id).filter(|message| !message.is_loading()).cloned().collect())
    }

    /// Writes a message that answers an interaction.
    pub(crate) fn answer_with(
        &self,
        state: &mut State,
        to: &Interaction,
        message: BotMessage,
    ) -> Arc<Message> {
        let source = InteractionSource {
            id: to.id,
            name: to.command.clone(),
            user: to.user.clone(),
            original: to.answer.original(),
        };
        let message = BotMessage { interaction: Some(source), ..message };
        let author = state.author(to.application);
        let message = self.new_message(state, to.place, author, message);
        state.announce("MESSAGE_CREATE", &message, None);
        state.record.messages.by_bots += 1;
        message
    }

    fn opened(&self, state: &mut State, id: Snowflake, token: &str) -> Result<Interaction, Refused> {
        let opened = state.interactions.open(id, token, self.clock.rules()).cloned();
        opened.map_err(|closed| {
            let counts = &mut state.record.interactions;
            counts.acknowledged_again += u64::from(closed == Closed::Acknowledged);
            counts.unknown_or_late += u64::from(closed == Closed::Unknown);
            Refused::Interaction(closed)
        })
    }

    fn new_interaction(
        &self,
        state: &mut State,
        application: Snowflake,
        place: Place,
        user: User,
        command: String,
    ) -> Interaction {
        let interaction = Interaction {
            id: state.mint.next(self.clock.unix_ms()),
            application,
            token: format!("{:032x}{:032x}", self.random(), self.random()),
            place,
            user,
            command,
            at: self.clock.rules(),
            answer: Answer::Awaited,
        };
        state.interactions.add(interaction.clone());
        interaction
    }

    fn announce_interaction(
        &self,
        state: &mut State,
        interaction: &Interaction,
        data: &Value,
    ) -> Vec<Delivery> {
        let at = self.now();
        let (id, guild) = (interaction.id, interaction.place.guild);
        let made = Made { id, kind: EventKind::Interaction, guild, at_ms: ms(at), asks: true };
        let number = state.record.events.made(made);
        let deliveries = state.publish(
            &Occasion {
                name: "INTERACTION_CREATE",
                at,
                guild,
                // Interactions come whether or not the bot may view the channel.
                channel: None,
                application: Some(interaction.application),
                intent: 0,
                number,
            },
            objects::event(&self.world, interaction, data).into(),
        );
        state.record.interactions.made += 1;
        state.record.interactions.delivered += u64::from(!deliveries.is_empty());
        deliveries
    }

    /// Adds what the options name.
    fn resolve(&self, state: &State, (bot, place): (Snowflake, Place), named: &Named, data: &mut Value) {
        let users: Vec<User> = named.users.iter().map(|id| state.author(*id)).collect();
        for user in &users {
            data["resolved"]["users"][user.id.to_string()] = world::objects::user(user);
            if let Some(guild) = place.guild {
                data["resolved"]["members"][user.id.to_string()] =
                    objects::resolved_member(&self.world, guild);
            }
        }
        for channel in named.channels.iter().filter(|id| self.world.channel(**id).is_some()) {
            let object = objects::resolved_channel(&self.world, *channel, bot);
            data["resolved"]["channels"][channel.to_string()] = object;
        }
        for role in named.roles.iter().filter(|role| Some(**role) == place.guild) {
            data["resolved"]["roles"][role.to_string()] = world::objects::everyone(&self.world, *role);
        }
    }
}

impl State {
    /// The bot that is meant, the interaction's `data`, and what that names.
    fn command_data(&self, request: &CommandUse) -> Result<(Snowflake, Value, Named), String> {
        let all: Vec<_> = self.applications.keys().copied().collect();
        let meant = match request.application {
            Some(bot) if !all.contains(&bot) => {
                return Err(format!("applicationId: {bot} is no bot here; leave it out"));
            }
            Some(bot) => vec![bot],
            None => all,
        };
        // The whole first: names of menu commands have spaces in them.
        let whole = request.command.trim_start_matches('/');
        let mut words = whole.split_whitespace();
        let first = words.next().unwrap_or_default();
        let found = self.commands.find(&meant, request.guild, first);
        let Some((application, of, command)) =
            found.or_else(|| self.commands.find(&meant, request.guild, whole))
        else {
            let names = self.commands.names(&meant, request.guild);
            return Err(format!(
                "command: found {whole}; registered are [{}]; a bot registers commands with PUT \
                 /api/v10/applications/{{id}}/commands or .../guilds/{{guild}}/commands",
                names.join(", ")
            ));
        };
        let words: Vec<_> = words.collect();
        let (options, named) = call::options(command, &words, &request.options)?;
        let mut data = command_object(command, of);
        if !options.is_empty() {
            data["options"] = json!(options);
        }
        Ok((application, data, named))
    }
}

/// A command as an interaction's `data` has it.
fn command_object(command: &Command, of: Option<Snowflake>) -> Value {
    let definition = &command.definition;
    let mut data = json!({ "id": command.id, "name": definition.name, "type": definition.kind });
    if let Some(guild) = of {
        data["guild_id"] = json!(guild);
    }
    data
}
