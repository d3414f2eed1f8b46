//! What the author says about the bot.
//!
//! `from_env` reads the configuration, the builder takes intents, commands and a handler, `run` lives until SIGTERM
//! or Ctrl-C. Deliberately absent: the order in which the parts begin and end ([`crate::run`]), and what they do.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use shard_machine::Machine;
use twilight_gateway::{Event, Intents};

use crate::{
    edges::config::Config,
    error::Error,
    run::{self, Setup},
    seen::telemetry,
    stop,
    work::{
        command::Command,
        context::Context,
        dispatch::{self, Handler, HandlerError, Handlers, MOST_BEGUN_EVER},
        jobs,
        registry::Registry,
    },
};

/// A bot that is being put together.
pub struct Bot(Setup);

impl Bot {
    /// Reads the environment, begins to log, and makes ready for TLS and for many connections. To be called first.
    pub fn from_env() -> Result<Self, Error> {
        telemetry::init();
        let open_files = shard_serve::raise_file_limit();
        tracing::debug!(open_files, "the most that may be open");
        // twilight and kube panic without it. Fails only when the author installed another, which is then meant.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self::on(Machine::this())
    }

    /// The same on a machine that a test gives, of which there may be many in one process. It neither logs nor makes ready for TLS.
    pub fn on(machine: Machine) -> Result<Self, Error> {
        Ok(Self(Setup {
            config: Config::of(&machine)?,
            machine,
            intents: Intents::GUILDS,
            handlers: Handlers {
                registry: Registry::default(),
                prefix: "!".to_owned(),
                on_event: None,
                of_a_channel: dispatch::OF_A_CHANNEL,
                most_begun: dispatch::MOST_BEGUN,
            },
            max_queued_jobs: jobs::DEFAULT_QUEUED,
            shutdown_timeout: stop::DEFAULT_WITHIN,
        }))
    }

    /// What Discord shall send. `GUILDS` is always added: guilds are counted by it.
    #[must_use]
    pub fn intents(mut self, intents: Intents) -> Self {
        self.0.intents = intents | Intents::GUILDS;
        self
    }

    /// What a message begins with to be a command; `!` when nothing is said.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.0.handlers.prefix = prefix.into();
        self
    }

    /// Adds a command. Needs the intents `GUILD_MESSAGES` or `DIRECT_MESSAGES`, and `MESSAGE_CONTENT` to read what
    /// was typed.
    #[must_use]
    pub fn command(mut self, command: impl Command) -> Self {
        self.0.handlers.registry.add(command);
        self
    }

    /// Handles every event that Discord sends; a second handler replaces the first. It runs beside the commands, and
    /// beside itself for the next event.
    #[must_use]
    pub fn on_event<H, F>(mut self, handler: H) -> Self
    where
        H: Fn(Event, Context) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |event, context| handler(event, context).boxed());
        self.0.handlers.on_event = Some(handler);
        self
    }

    /// How many messages, reactions and interactions of one channel may be handled at a time; 8 when nothing is said, at least 1. What
    /// comes beyond is not handled, and counted: a channel in which everybody types does not hold up the others.
    #[must_use]
    pub const fn at_a_time_in_a_channel(mut self, events: usize) -> Self {
        self.0.handlers.of_a_channel = if events == 0 { 1 } else { events };
        self
    }

    /// How often an event may be begun, each time by a process that dies before its handlers end; 2 when nothing is said, at least 1 (then
    /// it is never handled again), at most 8. Beyond, it is not handled, logged with its shard and sequence, and counted: an event that kills
    /// the process does not take all shards of the pod with it for ever.
    #[must_use]
    pub const fn begun_at_most(mut self, times: u8) -> Self {
        self.0.handlers.most_begun = match times {
            0 => 1,
            1..=MOST_BEGUN_EVER => times,
            _ => MOST_BEGUN_EVER,
        };
        self
    }

    /// How many CPU jobs may wait before further ones are refused; 64 when nothing is said.
    #[must_use]
    pub const fn max_queued_jobs(mut self, jobs: u32) -> Self {
        self.0.max_queued_jobs = jobs;
        self
    }

    /// How long handlers and jobs may go on after SIGTERM; 20 s when nothing is said. Must be less than the pod's
    /// `terminationGracePeriodSeconds`.
    #[must_use]
    pub const fn shutdown_timeout(mut self, within: Duration) -> Self {
        self.0.shutdown_timeout = within;
        self
    }

    /// Runs until SIGTERM or Ctrl-C, and then stops in an orderly way.
    pub async fn run(self) -> Result<(), Error> {
        run::run(self.0).await
    }
}
