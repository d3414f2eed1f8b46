//! The kit of Go: a bot of discordgo, built from its source.
//!
//! From the module proxy, each module held to its hash in `go.sum`. For: `library.rs`. The bot is one static program, so nothing
//! of the machine is needed to run it. Deliberately absent: an installation of Go, which this repository needs anyway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context;

use super::{Kit, run};

/// The bot.
pub static GO: Kit = Kit {
    name: "go",
    told: "discordgo, building its bot: about a minute",
    pins: &[
        ("go.mod", include_str!("../go/go.mod")),
        ("go.sum", include_str!("../go/go.sum")),
        ("main.go", include_str!("../bots/discordgo_bot.go")),
    ],
    how: &[&BUILD],
    works: |folder| bot(folder).exists(),
    fill: |part| {
        let mut go = Command::new("go");
        // No other toolchain is fetched, which can hang offline.
        go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
        run("go.mod, from the module proxy, and the build", go.args(BUILD), part).context(
            "Go did not build the bot; is the module proxy reached, with this machine's settings of Go?",
        )
    },
    folder: OnceLock::new(),
};
const BUILD: [&str; 6] = ["build", "-trimpath", "-mod=readonly", "-o", BOT, "."];
const BOT: &str = "bot";

/// The bot, a program.
pub fn bot(made: &Path) -> PathBuf {
    made.join(BOT)
}
