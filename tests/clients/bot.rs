//! A bot: a process of its own, what it says, and its end, whatever ends the test.
//!
//! From: a library's command and the simulator's address. For: `stage.rs`. What it says is kept, so that a test can wait for it
//! and a failure can show it. Deliberately absent: farewells; it is killed, as bots are.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use discord_sim::{FAKE_TOKEN, Simulator};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::install::python;
use crate::library::Library;
use crate::stage::PATIENCE;

/// What a developer's shell says to Python, Node.js, Java and Go is not meant for bots.
const OF_A_SHELL: [&str; 9] = [
    "PYTHONPATH",
    "PYTHONHOME",
    "NODE_OPTIONS",
    "NODE_PATH",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "GODEBUG",
];

/// What a bot is started with.
#[derive(Clone, Debug)]
pub struct Script {
    library: Library,
    variables: Vec<(&'static str, String)>,
    has_zstandard: bool,
}

impl Script {
    /// With as many shards as are recommended.
    pub fn of(library: Library) -> Self {
        Self { library, variables: Vec::new(), has_zstandard: false }
    }

    /// With these shards of a total, and no others.
    pub fn shards(self, ids: &str, total: u32) -> Self {
        self.variable("SHARD_IDS", ids).variable("SHARD_COUNT", &total.to_string())
    }

    /// With the package that lets discord.py ask for zstd-stream.
    pub fn with_zstandard(self) -> Self {
        Self { has_zstandard: true, ..self }
    }

    /// With an environment variable that its script knows.
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }
}

/// A running bot.
#[derive(Debug)]
pub struct Bot {
    library: Library,
    child: Child,
    /// Everything that it said so far.
    said: watch::Receiver<String>,
    // Until the process is gone.
    _folder: TempDir,
}

impl Bot {
    /// Starts it.
    pub fn start(script: &Script, simulator: &Simulator) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the bot")?;
        let mut command = script.library.command(folder.path())?;
        for name in OF_A_SHELL {
            command.env_remove(name);
        }
        if script.has_zstandard {
            command.env("PYTHONPATH", python::zstandard()?);
        }
        command
            .current_dir(folder.path())
            .env("DISCORD_BASE", format!("http://{}", simulator.addr()))
            .env("DISCORD_TOKEN", FAKE_TOKEN)
            .env("PYTHONUNBUFFERED", "1")
            .envs(script.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start a bot of {}", script.library))?;
        let (hear, said) = watch::channel(String::new());
        let hear = Arc::new(hear);
        listen(child.stdout.take().context("the bot's output")?, Arc::clone(&hear));
        listen(child.stderr.take().context("the bot's errors")?, hear);
        Ok(Self { library: script.library, child, said, _folder: folder })
    }

    /// Waits until it has said this.
    pub async fn says(&self, text: &str) -> Result<()> {
        let mut said = self.said.clone();
        let waited = tokio::time::timeout(PATIENCE, said.wait_for(|said| said.contains(text))).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("the bot ended before it said {text:?}"),
            Err(_) => bail!("waited {} s for the bot to say {text:?}", PATIENCE.as_secs()),
        }
    }

    /// The last that it said, indented for quoting.
    pub fn last_words(&self) -> String {
        let said = self.said.borrow();
        let lines: Vec<_> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(60)..].join("\n    ");
        format!("the bot of {} said last:\n    {last}", self.library)
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what comes, until the process closes it.
fn listen(stream: impl Read + Send + 'static, hear: Arc<watch::Sender<String>>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(line)) = lines.next() {
            hear.send_modify(|said| {
                said.push_str(&line);
                said.push('\n');
            });
        }
    });
}
