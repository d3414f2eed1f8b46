//! Runs a command to its end and turns a failure into an error that quotes what it said.
//!
//! From the parts that call `ip`, `ctr`, `kubectl`, `buildah` and `sh`. Deliberately absent: time limits
//! (what is called here ends by itself) and the long-running daemons, which are `machine.rs`'s.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use tied::Tied;

mod tied;

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

/// Tells long commands that run beside something else to end, because that has failed.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Whoever runs a command with it ends that at once, with all its processes.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs it with no input and its output in a file, and tells again and again how long it has run. It ends with this process
/// at the latest, whatever ends that.
///
/// # Errors
/// When the file or the command cannot be used; how it ended is what is returned.
pub fn run_logged(
    command: &mut Command,
    log: &Path,
    tell: impl FnMut(Duration),
) -> Result<ExitStatus, Error> {
    run_logged_until(&Stop::default(), command, log, tell)
}

/// The same, until it is told to stop.
pub(crate) fn run_logged_until(
    stop: &Stop,
    command: &mut Command,
    log: &Path,
    tell: impl FnMut(Duration),
) -> Result<ExitStatus, Error> {
    let output = File::create(log).map_err(Error::io("create", log))?;
    let errors = output.try_clone().map_err(Error::io("share", log))?;
    tied(stop, command, tied::Output { stdout: output.into(), stderr: errors.into() }, tell)
}

/// Runs it with no input, its output where this process's is, until it is told to stop; it ends with this process at the
/// latest, whatever ends that.
///
/// # Errors
/// When it cannot be run, or was stopped; how it ended is what is returned.
pub fn run_shown(stop: &Stop, command: &mut Command) -> Result<ExitStatus, Error> {
    tied(stop, command, tied::Output { stdout: Stdio::inherit(), stderr: Stdio::inherit() }, |_| ())
}

fn tied(
    stop: &Stop,
    command: &Command,
    output: tied::Output,
    mut tell: impl FnMut(Duration),
) -> Result<ExitStatus, Error> {
    let program = command.get_program();
    let started = Instant::now();
    let mut running = Tied::start(command, output).map_err(Error::io("run", program))?;
    loop {
        if let Some(ended) = running.ended().map_err(Error::io("wait for", program))? {
            return Ok(ended);
        }
        if stop.is_raised() {
            return Err(Error::Stopped { what: as_typed(command) });
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
    fn a_command_that_is_stopped_ends_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let child = folder.path().join("child");
        // Its child holds a pipe open that only both of them have: the end of the pipe is the end of both.
        let (mut reader, writer) = std::io::pipe().unwrap();
        let script = "sleep 1000 & echo $! >\"$0\"; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&child);
        let stop = Stop::default();
        let output = tied::Output { stdout: writer.into(), stderr: Stdio::null() };
        let ended = tied(&stop, &command, output, |_| {
            if std::fs::read_to_string(&child).is_ok_and(|pid| pid.ends_with('\n')) {
                stop.raise();
            }
        });
        assert!(matches!(ended, Err(Error::Stopped { .. })), "{ended:?}");
        assert_eq!(std::io::Read::read_to_end(&mut reader, &mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn a_command_that_ends_by_itself_leaves_nothing_that_watches_it() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo done >&2; exit 7"]);
        let output = tied::Output { stdout: Stdio::null(), stderr: writer.into() };
        let ended = tied(&Stop::default(), &command, output, |_| ()).unwrap();
        assert_eq!(ended.code(), Some(7));
        let mut said = String::new();
        std::io::Read::read_to_string(&mut reader, &mut said).unwrap();
        assert_eq!(said, "done\n");
    }

    #[test]
    fn input_reaches_the_command() {
        assert_eq!(run_with_input(&mut Command::new("cat"), "hello").unwrap(), "hello");
    }
}
