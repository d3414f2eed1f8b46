//! What each machine runs and with which settings: pure text, written to files by `machine.rs`.
//!
//! A [`Daemon`] is a program with its flags, rendered as a small script, so that what runs can be read in the
//! cluster's folder and tried by hand. The flags themselves are in `config/`, one file per kind of machine.
//! Deliberately absent: starting, watching and order other than "waits for a file".

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(crate) mod control_plane;
pub(crate) mod dns;
pub(crate) mod node;

/// A program that a machine keeps running.
pub(crate) struct Daemon {
    /// Also the name of its log.
    pub name: &'static str,
    /// A file that must be there before it starts.
    pub waits_for: Option<PathBuf>,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Daemon {
    /// The script that becomes the program.
    pub fn script(&self) -> String {
        let mut script = "#!/bin/sh\n".to_owned();
        if let Some(file) = &self.waits_for {
            let _ =
                writeln!(script, "until [ -e {} ]; do sleep 0.05; done", quoted(&file.display().to_string()));
        }
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        let _ = writeln!(script, "exec {}", words.join(" \\\n  "));
        script
    }
}

/// A file of a machine's configuration.
pub(crate) struct File {
    pub path: PathBuf,
    pub content: String,
}

/// The word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `--name=value`, the value a path.
fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_waits_and_then_becomes_the_program() {
        let daemon = Daemon {
            name: "x",
            waits_for: Some("/a b/ready".into()),
            command: vec!["/bin/x".into(), "--why=it's".into()],
        };
        assert_eq!(
            daemon.script(),
            "#!/bin/sh\nuntil [ -e '/a b/ready' ]; do sleep 0.05; done\nexec /bin/x \\\n  '--why=it'\\''s'\n"
        );
    }
}
