//! The three libraries, and how a bot of each is started.
//!
//! From: what is installed. For: `bot.rs`, and every test, which runs with each of them. The bots themselves are in `bots/`.
//! Deliberately absent: what each library does differently (`tests/discord/src/clients.rs`).

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::Clients;

/// A library that nobody here wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    DiscordPy,
    Hikari,
    /// By its parts: @discordjs/core on @discordjs/ws and @discordjs/rest.
    DiscordJs,
}

impl Library {
    pub const ALL: [Self; 3] = [Self::DiscordPy, Self::Hikari, Self::DiscordJs];

    /// The command that runs its bot, with what it needs put into an empty folder.
    pub fn command(self, clients: &Clients, folder: &Path) -> Result<Command> {
        let bot = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/bots").join(self.script());
        let (program, script) = match self {
            Self::DiscordPy | Self::Hikari => (clients.python(), bot),
            Self::DiscordJs => {
                // Node looks for packages beside the script and above it, nowhere else.
                let beside = folder.join(self.script());
                fs::copy(&bot, &beside).with_context(|| format!("copy {}", bot.display()))?;
                let modules = folder.join("node_modules");
                symlink(clients.node_modules(), &modules)
                    .with_context(|| format!("link {}", modules.display()))?;
                (clients.node(), beside)
            }
        };
        let mut command = dying_with_us(&program);
        command.arg(script);
        Ok(command)
    }

    fn script(self) -> &'static str {
        match self {
            Self::DiscordPy => "discordpy_bot.py",
            Self::Hikari => "hikari_bot.py",
            Self::DiscordJs => "discordjs_bot.mjs",
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiscordPy => "discord_py",
            Self::Hikari => "hikari",
            Self::DiscordJs => "discord_js",
        })
    }
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
