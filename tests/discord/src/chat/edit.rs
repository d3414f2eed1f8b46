//! Edits of a message: what a bot may change of it afterwards, and what completes a deferred answer.
//!
//! From: PATCH of a message, of `@original` or of a follow-up. For: the chat. What an edit does not name stays; the first
//! edit of a deferred answer is its content, not a change of it. Source: Discord, `developers/resources/message.mdx`
//! "Edit Message". Deliberately absent: who may edit what (`discord/talk.rs`, `discord/webhooks.rs`).

use std::time::Duration;

use serde_json::Value;

use super::Message;
use crate::snowflake::Snowflake;
use crate::world::User;

/// The flag of messages that only the user of an interaction sees.
pub const EPHEMERAL: u64 = 1 << 6;
/// The flag of a deferred answer until it is edited.
pub const LOADING: u64 = 1 << 7;
/// Flags that an edit may set: SUPPRESS_EMBEDS, IS_COMPONENTS_V2.
const EDITABLE: u64 = 1 << 2 | 1 << 15;

/// What is to be changed; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The new content.
    pub content: Option<String>,
    /// The new embeds.
    pub embeds: Option<Vec<Value>>,
    /// The new components.
    pub components: Option<Vec<Value>>,
    /// The attachments that stay.
    pub kept: Option<Vec<Snowflake>>,
    /// New attachments.
    pub files: Vec<Value>,
    /// The new flags.
    pub flags: Option<u64>,
}

impl Message {
    /// Whether only the user of an interaction sees it.
    pub fn is_ephemeral(&self) -> bool {
        self.flags & EPHEMERAL != 0
    }

    /// Whether it is a deferred answer that is still to come.
    pub fn is_loading(&self) -> bool {
        self.flags & LOADING != 0
    }

    /// Whether there is nothing to be seen of it.
    pub fn is_empty(&self) -> bool {
        let has_parts =
            !(self.embeds.is_empty() && self.components.is_empty() && self.attachments.is_empty());
        self.content.is_empty() && !has_parts
    }

    /// Carries an edit out; `mentions` are those of its content.
    pub fn apply(&mut self, edit: Edit, mentions: Vec<User>, at: Duration, unix_ms: u64) {
        let Edit { content, embeds, components, kept, files, flags } = edit;
        let was_loading = self.is_loading();
        if content.is_some() {
            self.mentions = mentions;
        }
        self.edit(content.unwrap_or_else(|| self.content.clone()), at, unix_ms);
        if was_loading {
            self.history.clear();
            self.flags &= !LOADING;
            self.edited = None;
        }
        self.embeds = embeds.unwrap_or_else(|| std::mem::take(&mut self.embeds));
        self.components = components.unwrap_or_else(|| std::mem::take(&mut self.components));
        if let Some(kept) = kept {
            let is_kept = |attachment: &Value| kept.iter().any(|id| attachment["id"] == id.to_string());
            self.attachments.retain(is_kept);
        }
        self.attachments.extend(files);
        if let Some(flags) = flags {
            self.flags = self.flags & !EDITABLE | flags & EDITABLE;
        }
    }
}
