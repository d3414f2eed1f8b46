//! Channels that the bots may view or not.
//!
//! From: `/control/channels...`. For: tests of bots that meet a channel which they may not view, or not any more.
//! Deliberately absent: channels that come and go, and differences between bots.

use serde::{Deserialize, Serialize};

use super::{ControlError, bad};
use crate::discord::{Delivery, Discord};
use crate::snowflake::Snowflake;
use crate::world::channels::{KINDS, Kind, View};

/// The bots get access to a channel, or lose it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelAccess {
    /// The channel, of any guild.
    pub channel_id: Snowflake,
    /// Whether the bots may view it from now on.
    pub visible: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedAccess {
    /// The channels that were told of: the one that was meant, and its category where that changed too. None where nothing changed.
    pub channel_ids: Vec<Snowflake>,
    /// The sessions into whose logs that went.
    pub delivered_to: Vec<Delivery>,
}

/// What a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChannelKind {
    /// Messages are written there.
    Text,
    /// People talk there.
    Voice,
    /// Other channels are in it.
    Category,
}

/// One of a guild's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// Its id.
    pub channel_id: Snowflake,
    /// What it is.
    pub kind: ChannelKind,
    /// The category that it is in.
    pub parent_id: Option<Snowflake>,
    /// Whether the bots may view it.
    pub visible: bool,
}

impl Discord {
    /// The channels of a guild.
    pub fn channels_of(&self, guild: Snowflake) -> Result<Vec<ChannelState>, ControlError> {
        if !self.world.has_guild(guild) {
            return Err(bad(format!("guild: {guild} does not exist; see GET /control/guilds")));
        }
        let state = |kind: Kind| ChannelState {
            channel_id: kind.of(guild),
            kind: match kind {
                Kind::General | Kind::StaffText => ChannelKind::Text,
                Kind::StaffVoice => ChannelKind::Voice,
                Kind::Category => ChannelKind::Category,
            },
            parent_id: kind.parent().map(|parent| parent.of(guild)),
            visible: self.world.access.view(guild, kind) != View::Hidden,
        };
        Ok(KINDS.into_iter().map(state).collect())
    }

    /// Gives the bots access to a channel, or takes it: CHANNEL_UPDATE.
    pub fn change_access(&self, request: ChannelAccess) -> Result<ChangedAccess, ControlError> {
        let (guild, kind) = self.channel_for(request.channel_id)?;
        let (channel_ids, delivered_to) = self.set_access(guild, kind, request.visible);
        Ok(ChangedAccess { channel_ids, delivered_to })
    }

    /// The guild of a channel that a request names, and what the channel is.
    pub(crate) fn channel_for(&self, channel: Snowflake) -> Result<(Snowflake, Kind), ControlError> {
        let known = Kind::read(channel).filter(|(guild, _)| self.world.has_guild(*guild));
        known.ok_or_else(|| {
            bad(format!("channelId: {channel} is no channel of a guild; see GET /control/channels?guild=ID"))
        })
    }

    /// The guild of a channel that a request wants to have something written in.
    pub(crate) fn talk_channel_for(&self, channel: Snowflake) -> Result<Snowflake, ControlError> {
        let (guild, kind) = self.channel_for(channel)?;
        let is_fine = kind.takes_messages();
        let category = || bad(format!("channelId: {channel} is a category; use one of the channels in it"));
        is_fine.then_some(guild).ok_or_else(category)
    }
}
