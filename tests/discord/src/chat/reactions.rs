//! Reactions to messages: who reacted with which emoji.
//!
//! From: `PUT .../reactions/{emoji}/@me`. For: REST's messages and MESSAGE_REACTION_* events. Source: Discord,
//! `developers/resources/message.mdx` "Reaction Object". Deliberately absent: custom emojis (no guild has any), bursts.

use serde_json::{Value, json};

use super::Message;
use crate::snowflake::Snowflake;

/// Different emojis that a message may have.
pub const MOST_EMOJIS: usize = 20;
/// Bytes that an emoji may have; families are long.
const LONGEST_EMOJI: usize = 64;

/// One emoji under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// The emoji itself.
    pub emoji: String,
    /// Who reacted with it, the first one first.
    pub users: Vec<Snowflake>,
}

/// Whether a text can be an emoji: no letters, and something beyond ASCII.
pub fn is_emoji(text: &str) -> bool {
    text.len() <= LONGEST_EMOJI && !text.is_ascii() && !text.chars().any(char::is_alphabetic)
}

/// An emoji as events have it.
pub fn emoji_object(emoji: &str) -> Value {
    json!({ "id": null, "name": emoji })
}

impl Message {
    /// Adds a user's reaction; none if there are too many emojis, false if it was there.
    pub fn react(&mut self, user: Snowflake, emoji: &str) -> Option<bool> {
        if let Some(known) = self.reactions.iter_mut().find(|reaction| reaction.emoji == emoji) {
            let is_new = !known.users.contains(&user);
            known.users.extend(is_new.then_some(user));
            return Some(is_new);
        }
        if self.reactions.len() >= MOST_EMOJIS {
            return None;
        }
        self.reactions.push(Reaction { emoji: emoji.to_owned(), users: vec![user] });
        Some(true)
    }

    /// Takes a user's reaction away; false if there was none.
    pub fn unreact(&mut self, user: Snowflake, emoji: &str) -> bool {
        let Some(known) = self.reactions.iter_mut().find(|reaction| reaction.emoji == emoji) else {
            return false;
        };
        let before = known.users.len();
        known.users.retain(|other| *other != user);
        let is_less = known.users.len() < before;
        self.reactions.retain(|reaction| !reaction.users.is_empty());
        is_less
    }

    /// The reactions as this user sees them.
    pub fn reactions_for(&self, user: Snowflake) -> Vec<Value> {
        let object = |reaction: &Reaction| {
            let count = reaction.users.len();
            json!({
                "emoji": emoji_object(&reaction.emoji), "count": count, "me": reaction.users.contains(&user),
                "count_details": { "normal": count, "burst": 0 }, "me_burst": false, "burst_colors": [],
            })
        };
        self.reactions.iter().map(object).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emojis_are_told_from_texts() {
        for (text, expected) in [
            ("👍", true),
            ("👨‍👩‍👧‍👦", true),
            ("1️⃣", true),
            ("x", false),
            ("ä", false),
            ("", false),
            ("name:1", false),
        ] {
            assert_eq!(is_emoji(text), expected, "{text}");
        }
    }
}
