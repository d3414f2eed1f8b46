//! A command that is tied to its caller: when it is dropped, or the caller ends in whatever way, all its processes end.
//!
//! A shell in a process group of its own reads a pipe of which only the caller holds the other end, and ends the group when the
//! kernel closes it; so a build that is stopped leaves no compiler running, and neither does Ctrl-C. Deliberately absent:
//! processes that leave the group, which compilers do not.

use std::io::{self, PipeWriter, pipe};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

/// The watcher is the group's only process without standard error, so that whoever reads that to its end is not held up.
const SCRIPT: &str = r#"exec 3<&0
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
"$@" </dev/null 3<&-
code=$?
kill -KILL $! 2>/dev/null
exit $code"#;

/// Where its output goes.
pub(super) struct Output {
    pub stdout: Stdio,
    pub stderr: Stdio,
}

/// One that runs.
pub(super) struct Tied {
    process: Child,
    pipe: Option<PipeWriter>,
}

impl Tied {
    /// Starts it with its arguments, folder and variables, and no input.
    pub fn start(command: &Command, output: Output) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "tied"]).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.stdin(reader).stdout(output.stdout).stderr(output.stderr).process_group(0);
        Ok(Self { process: shell.spawn()?, pipe: Some(writer) })
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The group ends by the pipe; one that has ended already is only forgotten.
        let _ = self.process.wait();
    }
}
