//! History: what was written in a channel, read back, and who is where: direct channels, members, bots.
//!
//! From: REST. For: `rest/{messages,users,guilds}.rs`. Ephemeral messages are not part of it. Source: Discord,
//! `developers/resources/message.mdx` "Get Channel Messages". Deliberately absent: searches, pins.

use serde_json::{Value, json};

use super::Discord;
use super::talk::Refused;
use crate::paging::Page;
use crate::snowflake::Snowflake;
use crate::world::{self, User, channel_objects};

impl Discord {
    /// A page of a channel's messages, newest first.
    pub(crate) fn history(
        &self,
        bot: Snowflake,
        channel: Snowflake,
        page: &Page,
    ) -> Result<Vec<Value>, Refused> {
        let state = self.read();
        self.place(&state, bot, channel)?;
        let messages: Vec<_> = state.chat.in_channel(channel).collect();
        let (from, to) =
            range(messages.len(), page, |id| messages.partition_point(|message| message.id < id));
        let object = |id| -> Result<Value, Refused> {
            let message = state.seen(channel, id)?;
            let mut value = self.object(&state, bot, message);
            if !message.reactions.is_empty() {
                value["reactions"] = json!(message.reactions_for(bot));
            }
            Ok(value)
        };
        messages[from..to].iter().rev().map(|message| object(message.id)).collect()
    }

    /// One message.
    pub(crate) fn message(
        &self,
        bot: Snowflake,
        channel: Snowflake,
        id: Snowflake,
    ) -> Result<Value, Refused> {
        let page = Page { limit: 1, after: Some(Snowflake(id.0.saturating_sub(1))), ..Page::default() };
        let found = self.history(bot, channel, &page)?.pop();
        found.filter(|message| message["id"] == id.to_string()).ok_or(Refused::UnknownMessage)
    }

    /// The direct channel between a bot and a person; none if there are too many, or no such person.
    pub(crate) fn direct_channel(&self, bot: Snowflake, person: Snowflake) -> Option<Value> {
        if !self.is_person(person) {
            return None;
        }
        let person = world::person(person);
        let place = self.change().direct_place(bot, &person, self.clock.unix_ms())?;
        Some(channel_objects::direct(place.channel, &person))
    }

    /// A user: a bot, or whoever could have that id.
    pub(crate) fn user(&self, id: Snowflake) -> Option<User> {
        self.bot(id).or_else(|| self.is_person(id).then(|| world::person(id)))
    }

    /// Everybody in a guild, bots too, by rising ids.
    pub(crate) fn members(&self, guild: Snowflake) -> Vec<User> {
        let mut members = self.world.members_of(guild);
        members.extend(self.read().applications.values().map(|application| application.user.clone()));
        members.sort_by_key(|user| user.id);
        members
    }

    /// What a bot's owner says of it; with a text, from now on.
    pub(crate) fn description(&self, bot: Snowflake, change: Option<String>) -> String {
        let mut state = self.change();
        let Some(application) = state.applications.get_mut(&bot) else { return String::new() };
        if let Some(description) = change {
            application.description = description;
        }
        application.description.clone()
    }

    /// Ids carry the time at which their owner came: nobody has one of the future, or none.
    fn is_person(&self, id: Snowflake) -> bool {
        id.0 > 0 && id.time_ms() <= self.clock.unix_ms() && self.bot(id).is_none()
    }
}

/// Which of so many messages, oldest first, a page means; `at` is the place of an id among them.
fn range(count: usize, page: &Page, at: impl Fn(Snowflake) -> usize) -> (usize, usize) {
    if let Some(around) = page.around {
        let from = at(around).saturating_sub(page.limit / 2);
        return (from, (from + page.limit).min(count));
    }
    if let Some(after) = page.after {
        let from = at(Snowflake(after.0.saturating_add(1)));
        return (from, (from + page.limit).min(count));
    }
    let to = page.before.map_or(count, at);
    (to.saturating_sub(page.limit), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_newest_or_the_nearest_to_what_it_names() {
        let ids: Vec<_> = (10..20).map(Snowflake).collect();
        let of = |page: &Page| {
            let (from, to) = range(ids.len(), page, |id| ids.partition_point(|other| *other < id));
            ids[from..to].iter().map(|id| id.0).collect::<Vec<_>>()
        };
        let page = Page { limit: 3, ..Page::default() };
        let table = [
            (page, vec![17, 18, 19]),
            (Page { before: Some(Snowflake(12)), ..page }, vec![10, 11]),
            (Page { after: Some(Snowflake(12)), ..page }, vec![13, 14, 15]),
            (Page { after: Some(Snowflake(18)), ..page }, vec![19]),
            (Page { around: Some(Snowflake(15)), ..page }, vec![14, 15, 16]),
            (Page { around: Some(Snowflake(1)), ..page }, vec![10, 11, 12]),
        ];
        for (page, expected) in table {
            assert_eq!(of(&page), expected, "{page:?}");
        }
    }
}
