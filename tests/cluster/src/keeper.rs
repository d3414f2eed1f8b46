//! The keeper of a cluster that lives as long as its caller: it notices the caller's end and takes the
//! cluster down. It also guards the start of one that is to stay, and is dismissed when it is up: a killed
//! `up` leaves nothing.
//!
//! A shell that reads a pipe of which only the caller holds the other end: however the caller ends (return,
//! panic, Ctrl-C, SIGKILL), the kernel closes it, and the keeper runs `removal.sh`. It has a session of its
//! own, so that what ends the caller does not reach it; and it is a script, so that no binary of ours has to
//! be found from wherever a test runs. Its sign of life is a lock on a file in the cluster's folder.
//! Deliberately absent: any other task.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, PipeWriter, Write as _, pipe};
use std::process::{Child, Command, Stdio};

use crate::error::Error;
use crate::place::Place;
use crate::removal;

/// Before the removal. Descriptor 9 pins the folder: should a new cluster of that name be there in the end,
/// it is not ours.
const WAIT: &str = r#"#!/bin/sh
trap '' HUP INT QUIT TERM PIPE
exec 8>"$FOLDER/keeper" 9<"$FOLDER" && flock -n 8 || exit 1
echo kept
exec >/dev/null
read -r word
[ "$word" = stay ] && exit 0
"#;

/// The caller's side. Dropped, it lets the keeper do its work and waits for it.
#[derive(Debug)]
pub(crate) struct Keeper {
    pipe: Option<PipeWriter>,
    process: Child,
}

impl Keeper {
    /// Starts one for a folder that exists.
    pub fn start(place: &Place) -> Result<Self, Error> {
        // Both ends are closed in every program that this process starts, but for the keeper's standard input.
        let (reader, writer) = pipe().map_err(Error::io("make", "a pipe"))?;
        let mut command = Command::new("setsid");
        removal::environment(place, &mut command);
        let script = place.folder().join("keeper.sh");
        let text = format!("{WAIT}{}", removal::SCRIPT);
        fs::write(&script, text).map_err(Error::io("write", &script))?;
        command.arg("sh").arg(script);
        command.current_dir("/").stdin(reader).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(Error::io("run", "setsid"))?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(Error::io("read from", "the keeper"))?;
        }
        if line.trim() == "kept" {
            return Ok(Self { pipe: Some(writer), process });
        }
        // It may have ended by itself.
        let _ = process.kill();
        let _ = process.wait();
        Err(Error::InUse { name: place.name().to_owned() })
    }

    /// Lets it go without taking the cluster down, which from now on outlives its caller.
    pub fn dismiss(mut self) -> Result<(), Error> {
        if let Some(pipe) = &mut self.pipe {
            pipe.write_all(b"stay\n").map_err(Error::io("write to", "the keeper"))?;
        }
        self.end()
    }

    /// Lets it take the cluster down; waits for it. Its complaints went to standard error.
    pub fn release(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.pipe.take().is_none() {
            return Ok(());
        }
        let status = self.process.wait().map_err(Error::io("wait for", "the keeper"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Command {
            what: "taking the cluster down".to_owned(),
            status: status.to_string(),
            output: "    (see standard error)".to_owned(),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // What it could not remove it has said, and the next `up` or `down` of that name tries again.
        let _ = self.end();
    }
}

/// Whether a keeper of that cluster is alive.
pub(crate) fn is_alive(place: &Place) -> bool {
    File::open(place.folder().join("keeper")).is_ok_and(|file| file.try_lock().is_err())
}
