//! Runs a command to its end and turns a failure into an error that quotes what it said.
//!
//! From the parts that call `ip`, `ctr`, `kubectl`, `buildah` and `sh`. Deliberately absent: time limits
//! (what is called here ends by itself) and the long-running daemons, which are `machine.rs`'s.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How many characters of a failed command's output an error quotes.
const QUOTED: usize = 4000;
/// How often a long command's time is told.
const PACE: Duration = Duration::from_millis(200);

/// A program's command line as meant. Behind an alias of cargo's that ends in `--`, another one is typed out of habit
/// (`cargo demo -- --help`): one in front does not count.
pub fn typed(line: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    line.enumerate().filter(|(place, word)| *place != 1 || word != "--").map(|(_, word)| word)
}

/// Runs it with no input; returns what it wrote to standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::io("run", command.get_program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(command, &output))
}

/// Runs it with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<String, Error> {
    use std::io::Write as _;
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("run", &program))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A command that ends before it has read everything tells why by its status.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(Error::io("run", &program))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(command, &output))
}

/// Runs it with no input and its output in a file, and tells again and again how long it has run.
///
/// # Errors
/// When the file or the command cannot be used; how it ended is what is returned.
pub fn run_logged(
    command: &mut Command,
    log: &Path,
    mut tell: impl FnMut(Duration),
) -> Result<ExitStatus, Error> {
    let output = File::create(log).map_err(Error::io("create", log))?;
    let errors = output.try_clone().map_err(Error::io("share", log))?;
    let program = command.get_program().to_owned();
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(Error::io("run", &program))?;
    loop {
        if let Some(ended) = child.try_wait().map_err(Error::io("wait for", &program))? {
            return Ok(ended);
        }
        tell(started.elapsed());
        // The pace of telling, not a time that anything depends on.
        thread::sleep(PACE);
    }
}

fn failure(command: &Command, output: &Output) -> Error {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    let said = said.trim_end();
    let start = said.char_indices().rev().nth(QUOTED - 1).map_or(0, |(at, _)| at);
    Error::Command {
        what: as_typed(command),
        status: output.status.to_string(),
        output: said[start..].to_owned(),
    }
}

/// The command's words, for a person; a script among them is cut after its first line.
fn as_typed(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().lines().next().unwrap_or_default().to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_run_and_what_it_said() {
        let error = run(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "sh -c echo broken >&2; exit 3 failed (exit status: 3):\nbroken");
    }

    #[test]
    fn a_long_command_is_told_of_and_its_output_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (log, told) = (folder.path().join("log"), folder.path().join("told"));
        // It goes on until it was told of.
        let script = "echo out; echo err >&2; until [ -e \"$0\" ]; do :; done; exit 3";
        let mut command = Command::new("sh");
        let ended = run_logged(command.args(["-c", script]).arg(&told), &log, |_| {
            File::create(&told).unwrap();
        });
        assert_eq!(ended.unwrap().code(), Some(3));
        assert_eq!(std::fs::read_to_string(log).unwrap(), "out\nerr\n");
    }

    #[test]
    fn input_reaches_the_command() {
        assert_eq!(run_with_input(&mut Command::new("cat"), "hello").unwrap(), "hello");
    }
}
