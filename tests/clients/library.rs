//! The seven libraries, and how a bot of each is started.
//!
//! From: what is installed. For: `bot.rs`, and every test, which runs with each of them. The bots themselves are in `bots/`.
//! Deliberately absent: what each library does differently (`tests/discord/src/clients.rs`).

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::{Kit, go, java, node, python};

/// A library that nobody here wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    DiscordPy,
    Pycord,
    Hikari,
    /// By its parts: @discordjs/core on @discordjs/ws and @discordjs/rest.
    DiscordJs,
    Oceanic,
    Discordgo,
    Jda,
}

impl Library {
    pub const ALL: [Self; 7] = [
        Self::DiscordPy,
        Self::Pycord,
        Self::Hikari,
        Self::DiscordJs,
        Self::Oceanic,
        Self::Discordgo,
        Self::Jda,
    ];

    /// What its bot is made of.
    pub fn kit(self) -> &'static Kit {
        match self {
            Self::DiscordPy | Self::Hikari => &python::PYTHON,
            Self::Pycord => &python::PYCORD,
            Self::DiscordJs | Self::Oceanic => &node::NODE,
            Self::Discordgo => &go::GO,
            Self::Jda => &java::JAVA,
        }
    }

    /// The command that runs its bot, with what it needs put into an empty folder.
    pub fn command(self, folder: &Path) -> Result<Command> {
        let made = self.kit().folder()?;
        let (program, arguments) = match self {
            Self::DiscordPy => (python::python(made), vec![script("discordpy_bot.py").into()]),
            Self::Pycord => (python::python(made), vec![script("pycord_bot.py").into()]),
            Self::Hikari => (python::python(made), vec![script("hikari_bot.py").into()]),
            Self::DiscordJs => (node::node(made), vec![beside_packages("discordjs_bot.mjs", made, folder)?]),
            Self::Oceanic => (node::node(made), vec![beside_packages("oceanic_bot.mjs", made, folder)?]),
            Self::Discordgo => (go::bot(made), Vec::new()),
            Self::Jda => (java::java(made), java::arguments(made)),
        };
        let mut command = dying_with_us(&program);
        command.args(arguments);
        Ok(command)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiscordPy => "discord_py",
            Self::Pycord => "py_cord",
            Self::Hikari => "hikari",
            Self::DiscordJs => "discord_js",
            Self::Oceanic => "oceanic_js",
            Self::Discordgo => "discordgo",
            Self::Jda => "jda",
        })
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/bots").join(name)
}

/// A copy of a script with the packages beside it: Node looks for them there and above, nowhere else.
fn beside_packages(name: &str, made: &Path, folder: &Path) -> Result<OsString> {
    let (bot, beside) = (script(name), folder.join(name));
    fs::copy(&bot, &beside).with_context(|| format!("copy {}", bot.display()))?;
    let modules = folder.join("node_modules");
    symlink(node::modules(made), &modules).with_context(|| format!("link {}", modules.display()))?;
    Ok(beside.into())
}

/// A program that the kernel ends with the thread that started it, where util-linux is there to ask for that; elsewhere a bot
/// outlives tests that are killed, and goes on looking for its simulator.
fn dying_with_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}
