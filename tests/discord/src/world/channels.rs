//! A guild's channels: which there are, and which of them the bots may view.
//!
//! From: the guild's id, the seed, and what control has changed since. For: delivery, REST, GUILD_CREATE. Every guild has `general`,
//! and a staff area: a category with a text and a voice channel, which a share of the guilds hides from the bots. Who may view is
//! the rule of Discord's page: whoever has VIEW_CHANNEL; a category also if any channel in it can be viewed. Source: Discord,
//! `developers/resources/channel.mdx` "Obfuscated Channels". Deliberately absent: threads, forums, and differences between bots.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::snowflake::Snowflake;

use super::mix;

/// Ids that a guild and its channels take, the guild's first.
pub const IDS: u64 = 8;
/// All of a share.
const ALL: u64 = 100;

/// One of a guild's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `general`, a text channel that nobody is kept from at the start.
    General,
    /// The category `Staff`.
    Category,
    /// The text channel in it.
    StaffText,
    /// The voice channel in it.
    StaffVoice,
}

/// All of them, in the order of their ids.
pub const KINDS: [Kind; 4] = [Kind::General, Kind::Category, Kind::StaffText, Kind::StaffVoice];

impl Kind {
    /// The channel's id in a guild, as if made in the same instant.
    pub fn of(self, guild: Snowflake) -> Snowflake {
        Snowflake(guild.0 + 1 + self as u64)
    }

    /// The guild that a channel would be in, and which of its channels it would be.
    pub fn read(channel: Snowflake) -> Option<(Snowflake, Self)> {
        let place = usize::try_from(channel.0 % IDS).ok()?;
        let kind = KINDS.get(place.checked_sub(1)?)?;
        Some((Snowflake(channel.0 - channel.0 % IDS), *kind))
    }

    /// Whether messages can be written in it; in voice channels they can.
    pub fn takes_messages(self) -> bool {
        self != Self::Category
    }

    /// Whether it is a text channel.
    pub fn is_text(self) -> bool {
        matches!(self, Self::General | Self::StaffText)
    }

    /// The category that it is in.
    pub fn parent(self) -> Option<Self> {
        matches!(self, Self::StaffText | Self::StaffVoice).then_some(Self::Category)
    }
}

/// How a channel stands to the bots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Everybody views it; it has no overwrites.
    Open,
    /// Everybody is denied it, and the bots are allowed.
    Allowed,
    /// Everybody is denied it, the bots too; but a channel in this category can be viewed.
    ByChild,
    /// The bots are denied it.
    Hidden,
}

/// Which channels the bots may view.
#[derive(Debug)]
pub struct Access {
    seed: u64,
    /// Guilds of a hundred whose staff area is hidden.
    share: u64,
    /// What control has said, by channel.
    changed: RwLock<HashMap<Snowflake, bool>>,
}

impl Access {
    /// At the start, by seed; `share` is a percentage.
    pub fn new(seed: u64, share: u32) -> Self {
        Self { seed, share: u64::from(share), changed: RwLock::default() }
    }

    /// How one of a guild's channels stands.
    pub fn view(&self, guild: Snowflake, kind: Kind) -> View {
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        let own = |kind: Kind| match changed.get(&kind.of(guild)) {
            Some(true) => View::Allowed,
            Some(false) => View::Hidden,
            None if kind != Kind::General && self.is_staff_hidden(guild) => View::Hidden,
            None => View::Open,
        };
        let view = own(kind);
        let has_seen_child =
            || KINDS.into_iter().any(|child| child.parent() == Some(kind) && own(child) != View::Hidden);
        if view == View::Hidden && has_seen_child() { View::ByChild } else { view }
    }

    /// Whether what happens in a channel is kept from the bots; in a direct one, never.
    pub fn hides(&self, guild: Option<Snowflake>, channel: Snowflake) -> bool {
        let kind = Kind::read(channel).filter(|(of, _)| guild == Some(*of));
        kind.is_some_and(|(guild, kind)| self.view(guild, kind) == View::Hidden)
    }

    /// The first of a guild's text channels that the bots may view.
    pub fn seen_text(&self, guild: Snowflake) -> Option<Snowflake> {
        let seen = |kind: &Kind| kind.is_text() && self.view(guild, *kind) != View::Hidden;
        KINDS.into_iter().find(seen).map(|kind| kind.of(guild))
    }

    /// Allows the bots a channel, or denies it.
    pub fn set(&self, channel: Snowflake, is_seen: bool) {
        self.changed.write().unwrap_or_else(PoisonError::into_inner).insert(channel, is_seen);
    }

    fn is_staff_hidden(&self, guild: Snowflake) -> bool {
        mix(self.seed ^ mix(guild.0 ^ 0x0005_1AFF)) % ALL < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: Snowflake = Snowflake(800);

    fn views(access: &Access) -> Vec<View> {
        KINDS.into_iter().map(|kind| access.view(GUILD, kind)).collect()
    }

    #[test]
    fn a_channels_id_says_its_guild_and_what_it_is() {
        for kind in KINDS {
            assert_eq!(Kind::read(kind.of(GUILD)), Some((GUILD, kind)));
        }
        for other in [800, 805, 807] {
            assert_eq!(Kind::read(Snowflake(other)), None, "{other}");
        }
    }

    #[test]
    fn a_share_of_the_guilds_hides_its_staff_area_whole_and_never_general() {
        use View::{Hidden, Open};
        assert_eq!(views(&Access::new(1, 0)), [Open; 4]);
        assert_eq!(views(&Access::new(1, 100)), [Open, Hidden, Hidden, Hidden]);
        let access = Access::new(1, 25);
        let hidden = |guild: &u64| access.hides(Some(Snowflake(*guild * 8)), Snowflake(*guild * 8 + 3));
        let count = (1..=4000).filter(hidden).count();
        assert!((900..1100).contains(&count), "{count} of 4000");
    }

    #[test]
    fn a_category_can_be_viewed_while_any_channel_in_it_can() {
        use View::{Allowed, ByChild, Hidden, Open};
        let access = Access::new(1, 100);
        access.set(Kind::StaffVoice.of(GUILD), true);
        assert_eq!(views(&access), [Open, ByChild, Hidden, Allowed]);
        access.set(Kind::Category.of(GUILD), true);
        access.set(Kind::StaffVoice.of(GUILD), false);
        assert_eq!(views(&access), [Open, Allowed, Hidden, Hidden]);
        access.set(Kind::General.of(GUILD), false);
        assert_eq!(access.seen_text(GUILD), None);
        access.set(Kind::StaffText.of(GUILD), true);
        assert_eq!(access.seen_text(GUILD), Some(Snowflake(803)));
        assert!(access.hides(Some(GUILD), Snowflake(801)) && !access.hides(None, Snowflake(801)));
    }
}
