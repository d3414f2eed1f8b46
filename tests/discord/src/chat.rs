//! Messages: who wrote what where, and which of the bot's messages answer which of the users'.
//!
//! From: REST (the bot's) and control (users'). For: REST answers, MESSAGE_* events, `GET .../replies`. The last ones are
//! kept; their JSON is in `chat/objects.rs`. Deliberately absent: threads, webhooks but those of interactions, pins.

pub mod edit;
pub mod objects;
pub mod reactions;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::snowflake::Snowflake;
use crate::world::User;
use reactions::Reaction;

/// Edits of one message that are remembered.
const HISTORY: usize = 63;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Channel.
    pub channel: Snowflake,
    /// Its guild; none for a direct message.
    pub guild: Option<Snowflake>,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Id.
    pub id: Snowflake,
    /// Where it is.
    pub place: Place,
    /// Who wrote it.
    pub author: User,
    /// What it says now.
    pub content: String,
    /// What it said before it was edited, oldest first; at most the last 64.
    pub history: Vec<String>,
    /// The message it answers.
    pub reference: Option<Snowflake>,
    /// Users it mentions.
    pub mentions: Vec<User>,
    /// As the client gave it.
    pub nonce: Option<Value>,
    /// Embeds as the client gave them.
    pub embeds: Vec<Value>,
    /// Attachments, ready to be shown.
    pub attachments: Vec<Value>,
    /// When it was made, since the simulator's start.
    pub at: Duration,
    /// When it was edited last, since the simulator's start and in Unix milliseconds.
    pub edited: Option<(Duration, u64)>,
    /// Discord's message flags, such as 64 for one that only the user of an interaction sees.
    pub flags: u64,
    /// The interaction that it answers.
    pub interaction: Option<InteractionSource>,
    /// Components as the client gave them.
    pub components: Vec<Value>,
    /// Reactions, the oldest first.
    pub reactions: Vec<Reaction>,
}

/// The interaction that a message answers.
#[derive(Clone, Debug)]
pub struct InteractionSource {
    /// Its id.
    pub id: Snowflake,
    /// The command's name.
    pub name: String,
    /// Who used it.
    pub user: User,
    /// The first answer's message; none if this is it.
    pub original: Option<Snowflake>,
}

impl Message {
    /// Discord's type of message, answers to messages aside: 0, or 20 for the first answer to a command.
    pub fn kind(&self) -> u8 {
        let is_first = self.interaction.as_ref().is_some_and(|source| source.original.is_none());
        if is_first { 20 } else { 0 }
    }

    /// The message or interaction that it answers.
    fn answers(&self) -> Option<Snowflake> {
        self.reference.or_else(|| self.interaction.as_ref().map(|source| source.id))
    }

    /// Puts in a new content.
    pub fn edit(&mut self, content: String, at: Duration, unix_ms: u64) {
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(std::mem::replace(&mut self.content, content));
        self.edited = Some((at, unix_ms));
    }
}

/// The last messages.
#[derive(Debug)]
pub struct Chat {
    /// Ids only rise, so a message is found by its id without an index.
    messages: VecDeque<Arc<Message>>,
    answers: HashMap<Snowflake, Vec<Snowflake>>,
    capacity: usize,
}

impl Chat {
    /// A chat that keeps so many messages.
    pub fn new(capacity: usize) -> Self {
        Self { messages: VecDeque::new(), answers: HashMap::new(), capacity }
    }

    /// Adds a message, and drops the oldest when there are too many.
    pub fn add(&mut self, message: Arc<Message>) {
        if let Some(asked) = message.answers() {
            self.answers.entry(asked).or_default().push(message.id);
        }
        self.messages.push_back(message);
        while self.messages.len() > self.capacity {
            if let Some(oldest) = self.messages.pop_front() {
                self.answers.remove(&oldest.id);
                self.forget(&oldest);
            }
        }
    }

    /// The message of that id.
    pub fn get(&self, id: Snowflake) -> Option<&Message> {
        self.index(id).map(|index| &*self.messages[index])
    }

    /// The message of that id, to be edited.
    pub fn get_mut(&mut self, id: Snowflake) -> Option<&mut Message> {
        self.index(id).map(|index| Arc::make_mut(&mut self.messages[index]))
    }

    /// Deletes a message.
    pub fn delete(&mut self, id: Snowflake) -> Option<Arc<Message>> {
        let message = self.messages.remove(self.index(id)?)?;
        self.forget(&message);
        Some(message)
    }

    /// The messages of a channel that everybody there sees, oldest first.
    pub fn in_channel(&self, channel: Snowflake) -> impl DoubleEndedIterator<Item = &Message> {
        let messages = self.messages.iter().map(|message| &**message);
        messages.filter(move |message| message.place.channel == channel && !message.is_ephemeral())
    }

    /// The bots' messages that answer this message or interaction, oldest first.
    pub fn answers_to(&self, id: Snowflake) -> impl Iterator<Item = &Message> {
        let ids = self.answers.get(&id).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.get(*id)).filter(|message| message.author.bot)
    }

    /// The newest message of that author and nonce in that channel, made at `since` or later.
    pub fn with_nonce(
        &self,
        author: Snowflake,
        channel: Snowflake,
        nonce: &Value,
        since: Duration,
    ) -> Option<&Message> {
        let newest_first = self.messages.iter().rev().map(|message| &**message);
        newest_first.take_while(|message| message.at >= since).find(|message| {
            message.author.id == author
                && message.place.channel == channel
                && message.nonce.as_ref() == Some(nonce)
        })
    }

    fn index(&self, id: Snowflake) -> Option<usize> {
        self.messages.binary_search_by_key(&id, |message| message.id).ok()
    }

    /// Forgets that it answers another.
    fn forget(&mut self, message: &Message) {
        if let Some(asked) = message.answers()
            && let Some(answers) = self.answers.get_mut(&asked)
        {
            answers.retain(|other| *other != message.id);
            if answers.is_empty() {
                self.answers.remove(&asked);
            }
        }
    }
}

/// Ids of the users that a content mentions, each once, in order.
pub fn mentioned(content: &str) -> Vec<Snowflake> {
    let mut seen = HashSet::new();
    let parts = content.split("<@").skip(1).filter_map(|part| part.split_once('>'));
    let ids = parts.filter_map(|(id, _)| id.trim_start_matches('!').parse().ok().map(Snowflake));
    ids.filter(|id| seen.insert(*id)).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u64, reference: Option<u64>) -> Arc<Message> {
        Arc::new(Message {
            id: Snowflake(id),
            place: Place { channel: Snowflake(1), guild: None },
            author: User { id: Snowflake(9), name: "bot".into(), bot: true },
            content: "x".into(),
            history: Vec::new(),
            reference: reference.map(Snowflake),
            mentions: Vec::new(),
            nonce: Some(Value::from(id)),
            embeds: Vec::new(),
            attachments: Vec::new(),
            at: Duration::from_millis(id),
            edited: None,
            flags: 0,
            interaction: None,
            components: Vec::new(),
            reactions: Vec::new(),
        })
    }

    #[test]
    fn answers_are_found_by_the_message_that_they_name_and_go_with_deletion() {
        let mut chat = Chat::new(10);
        for (id, reference) in [(1, None), (2, Some(1)), (3, Some(1))] {
            chat.add(message(id, reference));
        }
        chat.delete(Snowflake(2));
        let ids: Vec<_> = chat.answers_to(Snowflake(1)).map(|message| message.id.0).collect();
        assert_eq!(ids, [3]);
    }

    #[test]
    fn only_the_last_messages_are_kept_and_nothing_of_the_others() {
        let mut chat = Chat::new(3);
        for id in 1..=100 {
            chat.add(message(id, Some(id.saturating_sub(1))));
        }
        assert_eq!(chat.messages.len(), 3);
        assert!(chat.answers.len() <= 4, "{:?}", chat.answers);
    }

    #[test]
    fn a_nonce_is_found_again_for_its_author_and_channel_while_it_is_young() {
        let mut chat = Chat::new(10);
        chat.add(message(5, None));
        let find = |author, since| {
            chat.with_nonce(Snowflake(author), Snowflake(1), &Value::from(5), since).is_some()
        };
        assert!(find(9, Duration::ZERO));
        assert!(!find(8, Duration::ZERO));
        assert!(!find(9, Duration::from_millis(6)));
    }

    #[test]
    fn mentions_are_read_in_both_spellings_and_once() {
        assert_eq!(mentioned("<@1> <@!2> <@1> <@&3> <@x> <@4"), [Snowflake(1), Snowflake(2)]);
    }
}
