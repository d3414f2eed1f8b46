//! Interactions: which exist, what their tokens still allow, and Discord's deadlines for answering them.
//!
//! From: uses of commands, and calls of the callback and its webhook, at `now` of Discord's time. For: REST. A first answer is
//! due in 3 s, else the token is worth nothing; with it, the webhook works for 15 minutes. The last ones are kept.
//! Source: Discord, `developers/interactions/receiving-and-responding.mdx`. Deliberately absent: components, modals' answers.

pub mod callback;
pub mod objects;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::chat::Place;
use crate::snowflake::Snowflake;
use crate::world::User;

/// The first answer is due in this time.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// With a first answer the token is valid for this time.
pub const LIFE: Duration = Duration::from_secs(15 * 60);
/// Interactions that are remembered.
const MOST: usize = 20_000;

/// A use of a command by a user. It shows its token to nobody.
#[derive(Clone)]
pub struct Interaction {
    /// Its id.
    pub id: Snowflake,
    /// The bot whose command it is.
    pub application: Snowflake,
    /// What opens its callback and its webhook.
    pub token: String,
    /// Where the command was used.
    pub place: Place,
    /// Who used it.
    pub user: User,
    /// The command, with group and subcommand.
    pub command: String,
    /// When, in Discord's time.
    pub at: Duration,
    /// What was answered first.
    pub answer: Answer,
}

/// The first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None yet.
    Awaited,
    /// A message.
    Message(Snowflake),
    /// A message to come, shown as "thinking" until it is edited.
    Deferred(Snowflake),
    /// Something that leaves no message, such as a modal.
    Other,
}

/// Why a call was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// 10062: there is no such interaction, or it was too late.
    Unknown,
    /// 40060: it has a first answer.
    Acknowledged,
    /// 10015: there is no first answer yet, so there is no webhook.
    NoWebhook,
    /// 50027: the token is not this interaction's, or not valid any more.
    BadToken,
}

/// The interactions that are remembered.
#[derive(Default)]
pub struct Interactions {
    by_id: HashMap<Snowflake, Interaction>,
    by_token: HashMap<String, Snowflake>,
    order: VecDeque<Snowflake>,
}

impl Interactions {
    /// Adds one, and forgets the oldest when there are too many.
    pub fn add(&mut self, interaction: Interaction) {
        self.by_token.insert(interaction.token.clone(), interaction.id);
        self.order.push_back(interaction.id);
        self.by_id.insert(interaction.id, interaction);
        while self.order.len() > MOST {
            let oldest = self.order.pop_front().and_then(|id| self.by_id.remove(&id));
            if let Some(oldest) = oldest {
                self.by_token.remove(&oldest.token);
            }
        }
    }

    /// The one of that id.
    pub fn get(&self, id: Snowflake) -> Option<&Interaction> {
        self.by_id.get(&id)
    }

    /// Lets a first answer in, or says why not.
    pub fn open(&self, id: Snowflake, token: &str, now: Duration) -> Result<&Interaction, Closed> {
        let interaction = self.by_id.get(&id).ok_or(Closed::Unknown)?;
        if interaction.token != token {
            return Err(Closed::BadToken);
        }
        match interaction.answer {
            Answer::Awaited if now.saturating_sub(interaction.at) > DEADLINE => Err(Closed::Unknown),
            Answer::Awaited => Ok(interaction),
            _ if now.saturating_sub(interaction.at) > LIFE => Err(Closed::Unknown),
            _ => Err(Closed::Acknowledged),
        }
    }

    /// Writes the first answer down.
    pub fn answer(&mut self, id: Snowflake, answer: Answer) {
        if let Some(interaction) = self.by_id.get_mut(&id) {
            interaction.answer = answer;
        }
    }

    /// Lets a call of the webhook in, or says why not.
    pub fn webhook(
        &self,
        application: Snowflake,
        token: &str,
        now: Duration,
    ) -> Result<&Interaction, Closed> {
        let interaction = self.by_token.get(token).and_then(|id| self.by_id.get(id));
        let interaction = interaction.ok_or(Closed::BadToken)?;
        if interaction.application != application {
            return Err(Closed::NoWebhook);
        }
        let age = now.saturating_sub(interaction.at);
        match interaction.answer {
            Answer::Awaited if age > DEADLINE => Err(Closed::BadToken),
            Answer::Awaited => Err(Closed::NoWebhook),
            _ if age > LIFE => Err(Closed::BadToken),
            _ => Ok(interaction),
        }
    }
}

impl fmt::Debug for Interaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Interaction");
        shown.field("id", &self.id).field("application", &self.application).field("place", &self.place);
        shown.field("user", &self.user).field("command", &self.command).field("at", &self.at);
        shown.field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl fmt::Debug for Interactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

impl Answer {
    /// The message that `@original` means.
    pub fn original(self) -> Option<Snowflake> {
        match self {
            Self::Message(id) | Self::Deferred(id) => Some(id),
            Self::Awaited | Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: Snowflake = Snowflake(1);

    fn interaction(id: u64) -> Interaction {
        Interaction {
            id: Snowflake(id),
            application: BOT,
            token: format!("t{id}"),
            place: Place { channel: Snowflake(8), guild: Some(Snowflake(7)) },
            user: crate::world::somebody(),
            command: "ping".into(),
            at: Duration::from_secs(100),
            answer: Answer::Awaited,
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_secs(100) + Duration::from_millis(ms)
    }

    #[test]
    fn a_first_answer_is_taken_for_three_seconds_and_once() {
        let mut interactions = Interactions::default();
        interactions.add(interaction(5));
        let open = |interactions: &Interactions, token: &str, ms| {
            interactions.open(Snowflake(5), token, at(ms)).map(|interaction| interaction.id)
        };
        assert_eq!(open(&interactions, "t5", 3000), Ok(Snowflake(5)));
        assert_eq!(open(&interactions, "t5", 3001), Err(Closed::Unknown));
        assert_eq!(open(&interactions, "t6", 0), Err(Closed::BadToken));
        assert_eq!(interactions.open(Snowflake(6), "t6", at(0)).unwrap_err(), Closed::Unknown);
        interactions.answer(Snowflake(5), Answer::Deferred(Snowflake(9)));
        assert_eq!(open(&interactions, "t5", 100), Err(Closed::Acknowledged));
        assert_eq!(open(&interactions, "t5", 4000), Err(Closed::Acknowledged));
    }

    #[test]
    fn the_webhook_opens_with_the_first_answer_and_closes_after_a_quarter_of_an_hour() {
        let mut interactions = Interactions::default();
        interactions.add(interaction(5));
        let webhook = |interactions: &Interactions, bot, token: &str, ms| {
            interactions.webhook(bot, token, at(ms)).map(|interaction| interaction.id)
        };
        assert_eq!(webhook(&interactions, BOT, "t5", 100), Err(Closed::NoWebhook));
        assert_eq!(webhook(&interactions, BOT, "t5", 3001), Err(Closed::BadToken));
        interactions.answer(Snowflake(5), Answer::Message(Snowflake(9)));
        assert_eq!(webhook(&interactions, BOT, "t5", 900_000), Ok(Snowflake(5)));
        assert_eq!(webhook(&interactions, BOT, "t5", 900_001), Err(Closed::BadToken));
        assert_eq!(webhook(&interactions, Snowflake(2), "t5", 100), Err(Closed::NoWebhook));
        assert_eq!(webhook(&interactions, BOT, "other", 100), Err(Closed::BadToken));
    }

    #[test]
    fn an_interaction_does_not_show_its_token() {
        let mut interactions = Interactions::default();
        let secret = Interaction { token: "s3cret".into(), ..interaction(5) };
        assert!(format!("{secret:?}").contains("ping") && !format!("{secret:?}").contains("s3cret"));
        interactions.add(secret);
        assert!(!format!("{interactions:?}").contains("s3cret"));
    }

    #[test]
    fn only_the_last_interactions_are_remembered() {
        let mut interactions = Interactions::default();
        for id in 1..=(MOST as u64 + 10) {
            interactions.add(interaction(id));
        }
        assert_eq!((interactions.by_id.len(), interactions.by_token.len()), (MOST, MOST));
        assert!(interactions.get(Snowflake(10)).is_none() && interactions.get(Snowflake(11)).is_some());
    }
}
