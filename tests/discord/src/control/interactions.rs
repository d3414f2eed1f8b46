//! Control of interactions: a user uses a command, and what the bot answered.
//!
//! From: typed requests, in-process or over HTTP. For: tests and demos of slash commands. The command must have been
//! registered by a bot, as at Discord. Deliberately absent: menus of users and messages, components, autocomplete.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::messages::{Reply, ReplyWait};
use super::{ControlError, bad};
use crate::discord::interactions::CommandUse;
use crate::discord::{Delivery, Discord};
use crate::snowflake::{ShardOf, Snowflake};

/// A user uses a slash command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewInteraction {
    /// Its name; for a subcommand with its words, such as `role user get`.
    pub command: String,
    /// Options by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// In this channel of a guild, also one that the bots may not view; it wins over `guildId` and `shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<Snowflake>,
    /// In this guild; it wins over `shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<Snowflake>,
    /// In a guild of this shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardOf>,
    /// Who uses it; by default a member of the guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Snowflake>,
    /// The bot; by default one that has such a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<Snowflake>,
    /// Not in a guild but in the channel between user and bot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
}

/// An interaction that was made, and who got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeInteraction {
    /// The interaction.
    pub interaction_id: Snowflake,
    /// Its bot.
    pub application_id: Snowflake,
    /// Its channel.
    pub channel_id: Snowflake,
    /// Its guild; none in a direct channel.
    pub guild_id: Option<Snowflake>,
    /// The sessions into whose logs it went.
    pub delivered_to: Vec<Delivery>,
}

impl Discord {
    /// A user uses a slash command.
    pub fn post_interaction(&self, request: NewInteraction) -> Result<MadeInteraction, ControlError> {
        if request.user_id == Some(Snowflake(0)) {
            return Err(bad("userId: found 0; use a snowflake, or leave it out"));
        }
        let channel = request.channel_id;
        let named = channel.map(|channel| self.talk_channel_for(channel)).transpose()?.or(request.guild_id);
        let guild = if request.direct { None } else { Some(self.guild_for(named, request.shard)?) };
        let NewInteraction { command, options, user_id: user, application_id: application, .. } = request;
        let request = CommandUse { command, options, guild, channel, user, application };
        let (interaction, delivered_to) = self.user_commands(&request).map_err(ControlError::BadRequest)?;
        Ok(MadeInteraction {
            interaction_id: interaction.id,
            application_id: interaction.application,
            channel_id: interaction.place.channel,
            guild_id: interaction.place.guild,
            delivered_to,
        })
    }

    /// The bot's answers to an interaction, deferred ones once they are complete, as soon as there is what is waited for.
    pub async fn interaction_replies(
        &self,
        interaction: Snowflake,
        wait: &ReplyWait,
    ) -> Result<Vec<Reply>, ControlError> {
        let unknown =
            || format!("interaction: {interaction} is not known; use an id of the last 20,000 interactions");
        self.replies_to(wait, || self.answers_to_interaction(interaction).ok_or_else(unknown)).await
    }
}
