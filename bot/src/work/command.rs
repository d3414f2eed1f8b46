//! What a bot author writes: a command with a name, parameters and `run`; and what it may answer.
//!
//! One definition serves the prefix form (`!fib 30`) now and slash commands later: parameters are declared, so the
//! bot checks what users typed before the command sees it. A command gets an [`Input`] and returns a [`Reply`]; it
//! never sees a socket, and long work goes into a reply that is first one text and then another. Deliberately absent:
//! sending ([`crate::work::reply`]), finding the command in a message ([`crate::work::registry`]).

use std::{collections::BTreeMap, error::Error as StdError, fmt, ops::RangeInclusive};

use futures::future::BoxFuture;
use twilight_model::id::{
    Id,
    marker::{ChannelMarker, GuildMarker, MessageMarker, UserMarker},
};

use crate::work::{context::Context, jobs::JobError};

/// One command of the bot.
pub trait Command: Send + Sync + 'static {
    /// What users type after the prefix: lower case letters, digits, `-` and `_`, at most 32, as Discord wants it for
    /// slash commands.
    fn name(&self) -> &str;

    /// What it does, in at most 100 characters.
    fn description(&self) -> &str;

    /// What it takes, in the order in which users type it.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Does it.
    fn run(&self, input: Input, context: Context)
    -> impl Future<Output = Result<Reply, CommandError>> + Send;
}

/// One thing that a command takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// What a parameter can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer(RangeInclusive<i64>),
    /// The rest of what was typed.
    Text,
}

impl Parameter {
    /// A whole number within `range`.
    pub const fn integer(name: &'static str, description: &'static str, range: RangeInclusive<i64>) -> Self {
        Self { name, description, kind: Kind::Integer(range), required: true }
    }

    /// The rest of what was typed; so it can only be the last parameter.
    pub const fn text(name: &'static str, description: &'static str) -> Self {
        Self { name, description, kind: Kind::Text, required: true }
    }

    /// May be left out.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// What it does, for a list of commands.
    pub const fn description(&self) -> &'static str {
        self.description
    }
}

/// What a command was called with. Values are checked already.
#[derive(Clone, Debug)]
pub struct Input {
    pub(crate) values: BTreeMap<&'static str, Value>,
    /// Who called it.
    pub author: Id<UserMarker>,
    /// The message that called it: what is done once for it, however often it is handled, can be kept by this.
    pub message: Id<MessageMarker>,
    /// Where.
    pub channel: Id<ChannelMarker>,
    /// In which guild; none in a direct message.
    pub guild: Option<Id<GuildMarker>>,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
}

impl Input {
    /// The value of an integer parameter. An error when it was left out or is no integer parameter.
    pub fn integer(&self, name: &'static str) -> Result<i64, CommandError> {
        match self.values.get(name) {
            Some(Value::Integer(number)) => Ok(*number),
            _ => Err(CommandError::NoValue(name)),
        }
    }

    /// The value of a text parameter. An error when it was left out or is no text parameter.
    pub fn text(&self, name: &'static str) -> Result<&str, CommandError> {
        match self.values.get(name) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(CommandError::NoValue(name)),
        }
    }
}

/// What a command answers. Texts over Discord's 2,000 characters are cut.
pub enum Reply {
    /// This text.
    Text(String),
    /// First this text, and when the future is done its text instead.
    Later {
        /// What is said at once.
        first: String,
        /// What it is replaced by.
        then: BoxFuture<'static, Result<String, CommandError>>,
    },
}

impl Reply {
    /// This text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// First this text, and when `then` is done its text instead.
    pub fn later<F>(first: impl Into<String>, then: F) -> Self
    where
        F: Future<Output = Result<String, CommandError>> + Send + 'static,
    {
        Self::Later { first: first.into(), then: Box::pin(then) }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Later { first, .. } => {
                f.debug_struct("Later").field("first", first).finish_non_exhaustive()
            }
        }
    }
}

/// Why a command has no answer. The user is told a short text; the rest goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The user should read exactly this.
    #[error("{0}")]
    Message(String),
    /// A parameter was asked for that has no value.
    #[error("the parameter {0} has no value")]
    NoValue(&'static str),
    /// Its CPU job has no result.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Discord's REST API failed.
    #[error("a request to Discord failed")]
    Discord(#[from] twilight_http::Error),
    /// Anything else.
    #[error("the command failed")]
    Other(#[source] Box<dyn StdError + Send + Sync>),
}

impl CommandError {
    /// Anything else: logged, and answered with "something went wrong".
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// What the user is told.
    pub(crate) fn answer(&self) -> String {
        match self {
            Self::Message(text) => text.clone(),
            Self::Job(JobError::Full { .. }) => {
                "Too many jobs are waiting, try again in a moment.".to_owned()
            }
            _ => "Something went wrong; it has been noted.".to_owned(),
        }
    }

    /// Whether it is the bot's fault, and not the user's or a passing overload.
    pub(crate) const fn is_fault(&self) -> bool {
        !matches!(self, Self::Message(_) | Self::Job(JobError::Full { .. }))
    }
}
