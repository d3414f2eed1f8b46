//! The bot's commands by name, and what a typed message asks of them.
//!
//! From `!fib 30` to the command and its checked input, or to the sentence that tells the user what was wrong: usage,
//! what was expected, what was found. Pure; for [`crate::work::dispatch`]. Deliberately absent: running commands, and
//! messages by bots (dispatch ignores them).

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;

use crate::work::{
    command::{Command, CommandError, Input, Kind, Parameter, Reply, Value},
    context::Context,
};

/// How much of what a user typed is repeated.
const REPEATED: usize = 40;

/// A command without its type.
pub(crate) trait AnyCommand: Send + Sync {
    fn name(&self) -> &str;
    fn run(
        self: Arc<Self>,
        input: Input,
        context: Context,
    ) -> BoxFuture<'static, Result<Reply, CommandError>>;
}

impl<C: Command> AnyCommand for C {
    fn name(&self) -> &str {
        Command::name(self)
    }

    fn run(
        self: Arc<Self>,
        input: Input,
        context: Context,
    ) -> BoxFuture<'static, Result<Reply, CommandError>> {
        Box::pin(async move { Command::run(&*self, input, context).await })
    }
}

/// All commands of the bot.
#[derive(Default)]
pub(crate) struct Registry {
    commands: BTreeMap<String, Entry>,
}

struct Entry {
    command: Arc<dyn AnyCommand>,
    parameters: Vec<Parameter>,
}

/// What a message asks for.
pub(crate) enum Asked {
    /// This command with these values.
    Command(Arc<dyn AnyCommand>, BTreeMap<&'static str, Value>),
    /// A command, but not in a way that it can be run: this is the answer.
    Wrong {
        /// The command's name.
        name: String,
        /// What the user is told.
        answer: String,
    },
}

impl Registry {
    /// Adds a command; one of the same name is replaced.
    pub(crate) fn add(&mut self, command: impl Command) {
        let (name, parameters) = (Command::name(&command).to_owned(), command.parameters());
        self.commands.insert(name, Entry { command: Arc::new(command), parameters });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Reads a message; none: it is not for us.
    pub(crate) fn read(&self, prefix: &str, message: &str) -> Option<Asked> {
        let typed = message.strip_prefix(prefix)?;
        let (name, rest) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
        let entry = self.commands.get(name)?;
        Some(match read_values(&entry.parameters, rest) {
            Ok(values) => Asked::Command(Arc::clone(&entry.command), values),
            Err(wrong) => Asked::Wrong {
                name: name.to_owned(),
                answer: format!("`{prefix}{}`: {wrong}", usage(name, &entry.parameters)),
            },
        })
    }
}

/// `fib n`, or `say text [times]`.
fn usage(name: &str, parameters: &[Parameter]) -> String {
    let parameters = parameters.iter().map(
        |Parameter { name, required, .. }| {
            if *required { format!(" {name}") } else { format!(" [{name}]") }
        },
    );
    std::iter::once(name.to_owned()).chain(parameters).collect()
}

fn read_values(parameters: &[Parameter], typed: &str) -> Result<BTreeMap<&'static str, Value>, String> {
    let (mut values, mut rest) = (BTreeMap::new(), typed.trim());
    for parameter in parameters {
        let (word, after) = match parameter.kind {
            Kind::Text => (rest, ""),
            Kind::Integer(_) => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        rest = after.trim_start();
        if word.is_empty() && !parameter.required {
            continue;
        }
        values.insert(parameter.name, read_value(parameter, word)?);
    }
    if rest.is_empty() {
        Ok(values)
    } else {
        Err(format!("nothing more is expected; found {}", repeat(rest)))
    }
}

fn read_value(Parameter { name, kind, .. }: &Parameter, word: &str) -> Result<Value, String> {
    match kind {
        Kind::Integer(range) => match word.parse() {
            Ok(number) if range.contains(&number) => Ok(Value::Integer(number)),
            _ => Err(format!(
                "{name} is a whole number from {} to {}; found {}",
                range.start(),
                range.end(),
                repeat(word)
            )),
        },
        Kind::Text if word.is_empty() => Err(format!("{name} is a text; found {}", repeat(word))),
        Kind::Text => Ok(Value::Text(word.to_owned())),
    }
}

/// Quotes what a user typed, so that it stays short and stays a quotation.
fn repeat(word: &str) -> String {
    if word.is_empty() {
        return "nothing".to_owned();
    }
    let mut quoted: String = word.chars().filter(|sign| *sign != '`').take(REPEATED).collect();
    if word.chars().count() > REPEATED {
        quoted.push('…');
    }
    format!("`{quoted}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fib;
    impl Command for Fib {
        fn name(&self) -> &'static str {
            "fib"
        }
        fn description(&self) -> &'static str {
            "computes"
        }
        fn parameters(&self) -> Vec<Parameter> {
            vec![Parameter::integer("n", "which", 0..=45), Parameter::text("note", "why").optional()]
        }
        async fn run(&self, _: Input, _: Context) -> Result<Reply, CommandError> {
            Ok(Reply::text("55"))
        }
    }

    fn read(message: &str) -> Option<Result<Vec<Value>, String>> {
        let mut registry = Registry::default();
        registry.add(Fib);
        Some(match registry.read("!", message)? {
            Asked::Command(command, values) => {
                assert_eq!(command.name(), "fib");
                Ok(values.into_values().collect())
            }
            Asked::Wrong { answer, .. } => Err(answer),
        })
    }

    #[test]
    fn messages_are_read_as_users_mean_them() {
        assert_eq!(read("!fib 30"), Some(Ok(vec![Value::Integer(30)])));
        assert_eq!(
            read("!fib   7  so there "),
            Some(Ok(vec![Value::Integer(7), Value::Text("so there".into())]))
        );
        assert_eq!(read("!fib\n3"), Some(Ok(vec![Value::Integer(3)])));
        for not_ours in ["fib 30", "!fibs 30", "! fib", "", "!", "?fib 1"] {
            assert_eq!(read(not_ours), None, "{not_ours:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_answered_with_usage_expectation_and_finding() {
        let cases = [
            ("!fib", "`!fib n [note]`: n is a whole number from 0 to 45; found nothing"),
            ("!fib 46", "`!fib n [note]`: n is a whole number from 0 to 45; found `46`"),
            ("!fib -1", "`!fib n [note]`: n is a whole number from 0 to 45; found `-1`"),
            ("!fib `x`", "`!fib n [note]`: n is a whole number from 0 to 45; found `x`"),
            (
                "!fib 99999999999999999999",
                "`!fib n [note]`: n is a whole number from 0 to 45; found `99999999999999999999`",
            ),
        ];
        for (typed, answer) in cases {
            assert_eq!(read(typed), Some(Err(answer.to_owned())), "{typed}");
        }
        let long = read(&format!("!fib {}", "x".repeat(500))).unwrap().unwrap_err();
        assert!(long.chars().count() < 120, "{long}");
    }
}
