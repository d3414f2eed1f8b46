//! Routes of application commands, global ones and those of a guild.
//!
//! From: requests whose token and limits are checked. For: the store of commands. A bot touches its own application only.
//! Source: Discord, `developers/interactions/application-commands.mdx` "Endpoints".
//! Deliberately absent: permissions of commands, for which Discord wants a user's token.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::Value;

use super::answer::{answer, error, invalid_form, no_content, not_taken, ok, too_large, unknown_guild};
use super::draft::{Body, read_object};
use super::form::{Unreadable, read_json};
use super::gate::Caller;
use super::query::{id, is_set};
use crate::commands::definition::{self, Definition};
use crate::commands::{NotTaken, Scope};
use crate::discord::Discord;
use crate::form_errors::FormErrors;
use crate::snowflake::Snowflake;

/// Routes of global commands: all, and one.
pub const GLOBAL: (&str, &str) =
    ("/applications/{application}/commands", "/applications/{application}/commands/{command}");
/// Routes of a guild's commands: all, and one.
pub const OF_GUILD: (&str, &str) = (
    "/applications/{application}/guilds/{guild}/commands",
    "/applications/{application}/guilds/{guild}/commands/{command}",
);
/// Commands that a list may have: 100 and twice 15.
const MOST: usize = 130;

type Names = Path<HashMap<String, String>>;
type Answered<T> = Result<T, Box<Response>>;

/// Methods of a scope's commands.
pub fn of_scope() -> MethodRouter<Arc<Discord>> {
    get(list).post(register).put(register_all)
}

/// Methods of one command.
pub fn of_command() -> MethodRouter<Arc<Discord>> {
    get(read).patch(change).delete(remove)
}

async fn list(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(names): Names,
    uri: Uri,
) -> Response {
    either(scope(&discord, bot, &names).map(|scope| {
        let commands = discord.commands(scope, is_set(&uri, "with_localizations"));
        ok(&Value::from(commands))
    }))
}

async fn register(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(names): Names,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let register = || {
        let scope = scope(&discord, bot, &names)?;
        let definition = wrong(definition::read(&Value::Object(read_object(&headers, body)?.payload)))?;
        let (command, is_new) = taken(&discord, discord.register(scope, definition))?;
        Ok(answer(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &command))
    };
    either(register())
}

async fn register_all(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(names): Names,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let register = || {
        let scope = scope(&discord, bot, &names)?;
        let definitions = definitions(&headers, body)?;
        let commands = taken(&discord, discord.register_all(scope, definitions))?;
        Ok(ok(&Value::from(commands)))
    };
    either(register())
}

async fn read(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(names): Names,
) -> Response {
    let read = || {
        let scope = scope(&discord, bot, &names)?;
        Ok(ok(&taken(&discord, discord.command(scope, named(&names, "command")))?))
    };
    either(read())
}

async fn change(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(names): Names,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let change = || {
        let (scope, command) = (scope(&discord, bot, &names)?, named(&names, "command"));
        let change = Value::Object(read_object(&headers, body)?.payload);
        let known = taken(&discord, discord.definition(scope, command))?;
        let definition = wrong(definition::read_change(&known, &change))?;
        Ok(ok(&taken(&discord, discord.redefine(scope, command, definition))?))
    };
    either(change())
}

async fn remove(
    State(discord): State<Arc<Discord>>,
    Extension(Caller(bot)): Extension<Caller>,
    Path(names): Names,
) -> Response {
    let remove = || {
        let scope = scope(&discord, bot, &names)?;
        taken(&discord, discord.unregister(scope, named(&names, "command")))?;
        Ok(no_content())
    };
    either(remove())
}

/// The scope that a path names, if it is the bot's.
fn scope(discord: &Discord, bot: Snowflake, names: &HashMap<String, String>) -> Answered<Scope> {
    if named(names, "application") != bot {
        let message = "You are not authorized to perform this action on this application";
        return Err(Box::new(error(StatusCode::FORBIDDEN, 20012, message)));
    }
    let guild = names.contains_key("guild").then(|| named(names, "guild"));
    if guild.is_some_and(|guild| !discord.world.has_guild(guild)) {
        return Err(Box::new(unknown_guild()));
    }
    Ok((bot, guild))
}

fn named(names: &HashMap<String, String>, name: &str) -> Snowflake {
    names.get(name).map_or(Snowflake(0), |text| id(text))
}

fn definitions(headers: &HeaderMap, body: Body) -> Answered<Vec<Definition>> {
    let body = body.map_err(|_| too_large())?;
    let value = read_json(headers, &body).map_err(Unreadable::answer)?;
    let Value::Array(values) = value else {
        let errors = FormErrors::of("", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        return Err(Box::new(invalid_form(&errors)));
    };
    if values.len() > MOST {
        let errors =
            FormErrors::of("", "BASE_TYPE_MAX_LENGTH", format!("Must be {MOST} or fewer in length."));
        return Err(Box::new(invalid_form(&errors)));
    }
    wrong(definition::read_all(&values))
}

fn wrong<T>(read: Result<T, FormErrors>) -> Answered<T> {
    read.map_err(|errors| Box::new(invalid_form(&errors)))
}

fn taken<T>(discord: &Discord, taken: Result<T, NotTaken>) -> Answered<T> {
    taken.map_err(|why| {
        let wait = match why {
            NotTaken::TooManyToday(wait) => discord.clock.real(wait).as_secs_f64(),
            _ => 0.0,
        };
        Box::new(not_taken(why, wait))
    })
}

fn either(answered: Answered<Response>) -> Response {
    answered.unwrap_or_else(|answer| *answer)
}
