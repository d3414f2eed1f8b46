//! Access of the bots to channels: given, taken, and told to every session of the guild's shard.
//!
//! From: control. For: CHANNEL_UPDATE, whole where access was gained and obfuscated where it was lost; the category of the channel
//! gets one too where that changes what can be viewed of it. Source: Discord, `developers/resources/channel.mdx` "Obfuscated
//! Channels". Deliberately absent: how access came about (roles, overwrites, voice); only its effect is here.

use super::delivery::{Delivery, Occasion};
use super::{Discord, State};
use crate::intents;
use crate::members::Members;
use crate::snowflake::Snowflake;
use crate::world::channel_objects::{self, Told};
use crate::world::channels::{Kind, View};

impl Discord {
    /// Gives the bots access to a channel, or takes it; the channels that this changed, and who was told.
    pub(crate) fn set_access(
        &self,
        guild: Snowflake,
        kind: Kind,
        is_seen: bool,
    ) -> (Vec<Snowflake>, Vec<Delivery>) {
        let mut state = self.change();
        let concerned: Vec<_> = [Some(kind), kind.parent()].into_iter().flatten().collect();
        let views = |kinds: &[Kind]| -> Vec<View> {
            kinds.iter().map(|kind| self.world.access.view(guild, *kind)).collect()
        };
        let before = views(&concerned);
        // To give what everybody has would only put an overwrite there.
        let is_news = (before[0] != View::Hidden && before[0] != View::ByChild) != is_seen;
        if !is_news {
            return (Vec::new(), Vec::new());
        }
        self.world.access.set(kind.of(guild), is_seen);
        let after = views(&concerned);
        let mut told = Vec::new();
        let changed: Vec<_> =
            concerned.iter().zip(before).zip(after).filter(|((_, before), after)| before != after).collect();
        for ((kind, _), _) in &changed {
            told = self.announce_channel(&mut state, guild, **kind);
        }
        (changed.iter().map(|((kind, _), _)| kind.of(guild)).collect(), told)
    }

    fn announce_channel(&self, state: &mut State, guild: Snowflake, kind: Kind) -> Vec<Delivery> {
        let hidden_bitrate = state.settings.hidden_voice_bitrate;
        let occasion = Occasion {
            name: "CHANNEL_UPDATE",
            at: self.now(),
            guild: Some(guild),
            channel: None,
            application: None,
            intent: intents::GUILDS,
            number: None,
        };
        let access = &self.world.access;
        state.publish_to_each(&occasion, |session| {
            let told = Told { bot: session.application, hidden_bitrate };
            Members::from(channel_objects::gateway(access, guild, kind, told)).shared()
        })
    }
}
