//! Application commands: the store of what bots have registered, global or for one guild, with Discord's numbers.
//!
//! From: definitions that were checked (`commands/definition.rs`). For: the routes of commands and for interactions, which
//! look a command up by its name. A name is there once per kind and scope; registering it again changes it.
//! Source: Discord, `developers/interactions/application-commands.mdx`. Deliberately absent: permissions, entry points.

pub mod call;
pub mod choices;
pub mod definition;
mod fields;
mod typed;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::form_errors::Object;
use crate::rules::{Use, Window};
use crate::snowflake::Snowflake;
use definition::{CHAT_INPUT, Definition};

/// Commands of kind 1, 2 and 3 that a scope may have.
const MOST: [(u8, usize); 3] = [(CHAT_INPUT, 100), (2, 15), (3, 15)];
/// Commands that a scope may get in a day.
const CREATES: (u32, Duration) = (200, Duration::from_secs(24 * 60 * 60));

/// Where a command is: the bot's, and in one guild or in all.
pub type Scope = (Snowflake, Option<Snowflake>);

/// A registered command.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its id.
    pub id: Snowflake,
    /// Changes whenever the command does.
    pub version: Snowflake,
    /// What it is.
    pub definition: Definition,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// More commands of this kind than a scope may have.
    TooMany(usize),
    /// More new ones than a day has; they may come again after this.
    TooManyToday(Duration),
    /// Another command of the scope has that name.
    NameTaken,
    /// There is no such command.
    Unknown,
}

/// All commands of all bots.
#[derive(Debug, Default)]
pub struct Commands {
    scopes: HashMap<Scope, Registered>,
}

#[derive(Debug)]
struct Registered {
    commands: Vec<Command>,
    creates: Window,
}

impl Commands {
    /// The commands of a scope, in the order of their registration.
    pub fn list(&self, scope: Scope) -> &[Command] {
        self.scopes.get(&scope).map(|registered| registered.commands.as_slice()).unwrap_or_default()
    }

    /// One of them.
    pub fn get(&self, scope: Scope, id: Snowflake) -> Option<&Command> {
        self.list(scope).iter().find(|command| command.id == id)
    }

    /// Registers a command, or changes the one of that kind and name; whether it is a new one.
    pub fn upsert(
        &mut self,
        scope: Scope,
        definition: Definition,
        now: Duration,
        mut mint: impl FnMut() -> Snowflake,
    ) -> Result<(Command, bool), NotTaken> {
        let registered = self.scope(scope);
        let version = mint();
        if let Some(known) = registered.commands.iter_mut().find(|known| known.is(&definition)) {
            *known = Command { id: known.id, version, definition };
            return Ok((known.clone(), false));
        }
        let of_its_kind = registered.commands.iter().filter(|known| known.definition.kind == definition.kind);
        check_number(definition.kind, of_its_kind.count() + 1)?;
        registered.create(now)?;
        let command = Command { id: version, version, definition };
        registered.commands.push(command.clone());
        Ok((command, true))
    }

    /// Puts these commands in the place of all; those of a known kind and name keep their ids.
    pub fn replace(
        &mut self,
        scope: Scope,
        definitions: Vec<Definition>,
        now: Duration,
        mut mint: impl FnMut() -> Snowflake,
    ) -> Result<&[Command], NotTaken> {
        for (kind, _) in MOST {
            let of_kind = definitions.iter().filter(|definition| definition.kind == kind);
            check_number(kind, of_kind.count())?;
        }
        let registered = self.scope(scope);
        let mut commands = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let known = registered.commands.iter().find(|known| known.is(&definition));
            let command = match known {
                Some(known) if known.definition == definition => known.clone(),
                Some(known) => Command { id: known.id, version: mint(), definition },
                None => {
                    registered.create(now)?;
                    let id = mint();
                    Command { id, version: id, definition }
                }
            };
            commands.push(command);
        }
        registered.commands = commands;
        Ok(&registered.commands)
    }

    /// Gives a command another definition.
    pub fn change(
        &mut self,
        scope: Scope,
        id: Snowflake,
        definition: Definition,
        version: Snowflake,
    ) -> Result<Command, NotTaken> {
        let registered = self.scope(scope);
        if registered.commands.iter().any(|other| other.id != id && other.is(&definition)) {
            return Err(NotTaken::NameTaken);
        }
        let command = registered.commands.iter_mut().find(|command| command.id == id);
        let command = command.ok_or(NotTaken::Unknown)?;
        *command = Command { id, version, definition };
        Ok(command.clone())
    }

    /// Removes a command; false where there was none.
    pub fn remove(&mut self, scope: Scope, id: Snowflake) -> bool {
        let Some(registered) = self.scopes.get_mut(&scope) else { return false };
        let before = registered.commands.len();
        registered.commands.retain(|command| command.id != id);
        registered.commands.len() < before
    }

    /// The command of that name that a user in a guild (or in none) sees, and whose it is: a guild's own before global ones.
    pub fn find(
        &self,
        applications: &[Snowflake],
        guild: Option<Snowflake>,
        name: &str,
    ) -> Option<(Snowflake, Option<Snowflake>, &Command)> {
        let of_guild = guild.into_iter().map(Some);
        let mut scopes = of_guild.chain([None]).flat_map(|of| applications.iter().map(move |bot| (*bot, of)));
        scopes.find_map(|(bot, of)| {
            let command = self.list((bot, of)).iter().find(|command| command.definition.name == name)?;
            Some((bot, of, command))
        })
    }

    /// Slash commands that can be used there without saying more, and whose they are.
    pub fn simple(
        &self,
        applications: &[Snowflake],
        guild: Option<Snowflake>,
    ) -> Vec<(Snowflake, Option<Snowflake>, &Command)> {
        let of_guild = guild.into_iter().map(Some);
        let scopes = of_guild.chain([None]).flat_map(|of| applications.iter().map(move |bot| (*bot, of)));
        let all = scopes.flat_map(|(bot, of)| self.list((bot, of)).iter().map(move |one| (bot, of, one)));
        all.filter(|(_, _, command)| command.definition.is_simple()).collect()
    }

    /// Whether there is any such command, wherever.
    pub fn has_simple(&self) -> bool {
        self.scopes.values().flat_map(|scope| &scope.commands).any(|command| command.definition.is_simple())
    }

    /// Names of all commands that a user there sees, for a word of advice.
    pub fn names(&self, applications: &[Snowflake], guild: Option<Snowflake>) -> Vec<String> {
        let mut names: Vec<_> = applications
            .iter()
            .flat_map(|bot| {
                let of_guild = guild.map(|guild| self.list((*bot, Some(guild)))).unwrap_or_default();
                of_guild.iter().chain(self.list((*bot, None)))
            })
            .map(|command| command.definition.name.clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn scope(&mut self, scope: Scope) -> &mut Registered {
        let empty = || Registered { commands: Vec::new(), creates: Window::new(CREATES.0, CREATES.1) };
        self.scopes.entry(scope).or_insert_with(empty)
    }
}

impl Registered {
    fn create(&mut self, now: Duration) -> Result<(), NotTaken> {
        let Use { allowed, reset_after, .. } = self.creates.take(now);
        if allowed { Ok(()) } else { Err(NotTaken::TooManyToday(reset_after)) }
    }
}

impl Command {
    /// As REST answers it; dictionaries of translations only where they are asked for.
    pub fn object(&self, (application, guild): Scope, with_localizations: bool) -> Value {
        let mut object: Object = self.definition.members.clone();
        if !with_localizations {
            forget_translations(&mut object);
        }
        object.insert("id".into(), json!(self.id));
        object.insert("application_id".into(), json!(application));
        object.insert("version".into(), json!(self.version));
        if let Some(guild) = guild {
            object.insert("guild_id".into(), json!(guild));
            for global in ["contexts", "integration_types", "dm_permission"] {
                object.remove(global);
            }
        }
        Value::Object(object)
    }

    fn is(&self, definition: &Definition) -> bool {
        (self.definition.kind, &self.definition.name) == (definition.kind, &definition.name)
    }
}

fn check_number(kind: u8, number: usize) -> Result<(), NotTaken> {
    let most = MOST.iter().find(|(of, _)| *of == kind).map_or(0, |(_, most)| *most);
    if number > most { Err(NotTaken::TooMany(most)) } else { Ok(()) }
}

fn forget_translations(object: &mut Object) {
    for key in ["name_localizations", "description_localizations"] {
        object.remove(key);
    }
    for nested in ["options", "choices"] {
        let list = object.get_mut(nested).and_then(Value::as_array_mut);
        list.into_iter().flatten().filter_map(Value::as_object_mut).for_each(forget_translations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: Snowflake = Snowflake(1);
    const GLOBAL: Scope = (BOT, None);

    fn definition(kind: u8, name: &str) -> Definition {
        let description = if kind == CHAT_INPUT { "d" } else { "" };
        definition::read(&json!({ "type": kind, "name": name, "description": description })).unwrap()
    }

    fn mint() -> impl FnMut() -> Snowflake {
        let mut last = 100;
        move || {
            last += 1;
            Snowflake(last)
        }
    }

    #[test]
    fn a_name_is_there_once_per_kind_and_keeps_its_id() {
        let (mut commands, mut mint) = (Commands::default(), mint());
        let (first, is_new) =
            commands.upsert(GLOBAL, definition(1, "ping"), Duration::ZERO, &mut mint).unwrap();
        assert!(is_new);
        let (again, is_new) =
            commands.upsert(GLOBAL, definition(1, "ping"), Duration::ZERO, &mut mint).unwrap();
        assert!(!is_new && again.id == first.id && again.version != first.version);
        assert!(commands.upsert(GLOBAL, definition(2, "ping"), Duration::ZERO, &mut mint).unwrap().1);
        assert!(
            commands.upsert((BOT, Some(BOT)), definition(1, "ping"), Duration::ZERO, &mut mint).unwrap().1
        );
        assert_eq!(commands.list(GLOBAL).len(), 2);
    }

    #[test]
    fn a_scope_has_100_slash_commands_and_15_of_each_menu() {
        for (kind, most) in MOST {
            let (mut commands, mut mint) = (Commands::default(), mint());
            for number in 0..most {
                let definition = definition(kind, &format!("c{number}"));
                commands.upsert(GLOBAL, definition, Duration::ZERO, &mut mint).unwrap();
            }
            let refused = commands.upsert(GLOBAL, definition(kind, "more"), Duration::ZERO, &mut mint);
            assert_eq!(refused.unwrap_err(), NotTaken::TooMany(most));
            let all = (0..=most).map(|number| definition(kind, &format!("d{number}"))).collect();
            assert!(commands.replace(GLOBAL, all, Duration::ZERO, &mut mint).is_err());
        }
    }

    #[test]
    fn the_201st_new_command_of_a_day_is_refused_and_old_ones_may_still_change() {
        let (mut commands, mut mint) = (Commands::default(), mint());
        for number in 0..200 {
            let one = vec![definition(1, &format!("c{number}"))];
            commands.replace(GLOBAL, one, Duration::ZERO, &mut mint).unwrap();
        }
        let refused = commands.upsert(GLOBAL, definition(1, "new"), Duration::from_secs(60), &mut mint);
        assert_eq!(
            refused.unwrap_err(),
            NotTaken::TooManyToday(CREATES.1.saturating_sub(Duration::from_secs(60)))
        );
        assert!(commands.upsert(GLOBAL, definition(1, "c199"), Duration::ZERO, &mut mint).is_ok());
        assert!(commands.upsert(GLOBAL, definition(1, "new"), CREATES.1, &mut mint).is_ok());
    }

    #[test]
    fn a_bulk_overwrite_keeps_known_ids_and_forgets_the_rest() {
        let (mut commands, mut mint) = (Commands::default(), mint());
        let all = vec![definition(1, "a"), definition(1, "b")];
        let before: Vec<_> =
            commands.replace(GLOBAL, all, Duration::ZERO, &mut mint).unwrap().iter().map(|c| c.id).collect();
        let all = vec![definition(1, "c"), definition(1, "b")];
        let after: Vec<_> =
            commands.replace(GLOBAL, all, Duration::ZERO, &mut mint).unwrap().iter().map(|c| c.id).collect();
        assert_eq!(after[1], before[1]);
        assert!(!before.contains(&after[0]));
    }

    #[test]
    fn a_guilds_own_command_is_found_before_the_global_one_and_only_there() {
        let (mut commands, mut mint) = (Commands::default(), mint());
        let guild = Some(Snowflake(7));
        commands.upsert(GLOBAL, definition(1, "ping"), Duration::ZERO, &mut mint).unwrap();
        commands.upsert((BOT, guild), definition(1, "ping"), Duration::ZERO, &mut mint).unwrap();
        let scope = |guild| commands.find(&[BOT], guild, "ping").map(|(_, of, _)| of);
        assert_eq!(
            (scope(guild), scope(Some(Snowflake(8))), scope(None)),
            (Some(guild), Some(None), Some(None))
        );
        assert_eq!(commands.names(&[BOT], guild), ["ping"]);
    }

    #[test]
    fn a_command_cannot_take_anothers_name() {
        let (mut commands, mut mint) = (Commands::default(), mint());
        let (a, _) = commands.upsert(GLOBAL, definition(1, "a"), Duration::ZERO, &mut mint).unwrap();
        commands.upsert(GLOBAL, definition(1, "b"), Duration::ZERO, &mut mint).unwrap();
        let changed = commands.change(GLOBAL, a.id, definition(1, "b"), Snowflake(5));
        assert_eq!(changed.unwrap_err(), NotTaken::NameTaken);
        assert_eq!(commands.change(GLOBAL, a.id, definition(1, "c"), Snowflake(5)).unwrap().id, a.id);
        assert!(commands.remove(GLOBAL, a.id) && !commands.remove(GLOBAL, a.id));
    }
}
