//! Commands in the state: the store under the lock, with ids from the mint and the day of Discord's clock.
//!
//! From: REST. For: `rest/commands.rs` and interactions. Deliberately absent: the rules (`commands.rs`), requests.

use serde_json::Value;

use super::Discord;
use crate::commands::definition::Definition;
use crate::commands::{NotTaken, Scope};
use crate::snowflake::Snowflake;

impl Discord {
    /// The commands of a scope as REST answers them.
    pub(crate) fn commands(&self, scope: Scope, with_localizations: bool) -> Vec<Value> {
        let state = self.read();
        state.commands.list(scope).iter().map(|command| command.object(scope, with_localizations)).collect()
    }

    /// One of them.
    pub(crate) fn command(&self, scope: Scope, id: Snowflake) -> Result<Value, NotTaken> {
        let state = self.read();
        let command = state.commands.get(scope, id).ok_or(NotTaken::Unknown)?;
        Ok(command.object(scope, true))
    }

    /// Registers a command; it, and whether it is a new one.
    pub(crate) fn register(&self, scope: Scope, definition: Definition) -> Result<(Value, bool), NotTaken> {
        let (now, unix_ms) = (self.clock.rules(), self.clock.unix_ms());
        let mut state = self.change();
        let state = &mut *state;
        let mint = || state.mint.next(unix_ms);
        let (command, is_new) = state.commands.upsert(scope, definition, now, mint)?;
        Ok((command.object(scope, true), is_new))
    }

    /// Puts these in the place of all.
    pub(crate) fn register_all(
        &self,
        scope: Scope,
        definitions: Vec<Definition>,
    ) -> Result<Vec<Value>, NotTaken> {
        let (now, unix_ms) = (self.clock.rules(), self.clock.unix_ms());
        let mut state = self.change();
        let state = &mut *state;
        let mint = || state.mint.next(unix_ms);
        let commands = state.commands.replace(scope, definitions, now, mint)?;
        Ok(commands.iter().map(|command| command.object(scope, true)).collect())
    }

    /// What a command is now, for a change of it.
    pub(crate) fn definition(&self, scope: Scope, id: Snowflake) -> Result<Definition, NotTaken> {
        let state = self.read();
        let command = state.commands.get(scope, id).ok_or(NotTaken::Unknown)?;
        Ok(command.definition.clone())
    }

    /// Gives a command another definition.
    pub(crate) fn redefine(&self, scope: Scope, id: Snowflake, to: Definition) -> Result<Value, NotTaken> {
        let unix_ms = self.clock.unix_ms();
        let mut state = self.change();
        let version = state.mint.next(unix_ms);
        let command = state.commands.change(scope, id, to, version)?;
        Ok(command.object(scope, true))
    }

    /// Removes a command.
    pub(crate) fn unregister(&self, scope: Scope, id: Snowflake) -> Result<(), NotTaken> {
        self.change().commands.remove(scope, id).then_some(()).ok_or(NotTaken::Unknown)
    }
}
