//! Reactions of people: somebody answers a message with an emoji.
//!
//! From: the generator. For: MESSAGE_REACTION_ADD; those of bots are in `discord/bot_reactions.rs`. Source: Discord,
//! `developers/events/gateway-events.mdx` "Message Reaction Add". Deliberately absent: custom emojis, and a store of who
//! reacted with what.

use super::delivery::Occasion;
use super::{Discord, State, ms};
use crate::intents;
use crate::ledger::EventKind;
use crate::members::Members;
use crate::record::events::Made;
use crate::snowflake::Snowflake;
use crate::world::objects::MemberObject;
use crate::world::{User, channel_of};

impl Discord {
    /// A person reacts to a message of a guild.
    pub(crate) fn make_reaction(
        &self,
        state: &mut State,
        guild: Snowflake,
        message: Snowflake,
        person: &User,
    ) {
        let at = self.now();
        let id = state.mint.next(self.clock.unix_ms());
        let made = Made { id, kind: EventKind::Reaction, guild: Some(guild), at_ms: ms(at), asks: false };
        let number = state.record.events.made(made);
        let data = Members::new()
            .with("user_id", &person.id)
            .with("channel_id", &channel_of(guild))
            .with("message_id", &message)
            .with("guild_id", &guild)
            .with("member", &MemberObject::whole(guild, person))
            .with("emoji", &serde_json::json!({ "id": null, "name": "\u{1f44d}" }))
            .with("burst", &false)
            .with("type", &0);
        state.publish(Occasion {
            name: "MESSAGE_REACTION_ADD",
            at,
            guild: Some(guild),
            application: None,
            intent: intents::GUILD_MESSAGE_REACTIONS,
            data,
            concerns: None,
            number,
        });
    }
}
