//! A sharded Discord bot, as each pod of a `ShardedBot` runs it: ordinal -> shards -> events -> jobs -> replies.
//!
//! ```text
//!              ConfigMap (layouts) ──> role, gate address          report ──> operator
//!                                        │                           ▲
//!   ordinal ──> shard tasks ── ask ──> gate ── grant ──┐          status ──> /readyz /metrics
//!                  │  ▲                                │             ▲
//!   Discord ──> link ─┘<──────────── IDENTIFY ─────────┘             │
//!                  └──> inbox ──> dispatch ──> handler, command ──> jobs (rayon)
//!                                                   └──> reply ──> Discord (REST)
//! ```
//!
//! Data flows one way through bounded channels; CPU work never runs on the event loop's threads. In a pod there is
//! nothing to configure. Elsewhere the same binary runs with
//!
//! ```console
//! $ SHARD_TOTAL=1 DISCORD_TOKEN=... cargo run -p shard-bot
//! ```
//!
//! and, with `DISCORD_API=http://127.0.0.1:8090`, against another Discord than the real one. `RUST_LOG` chooses what
//! is logged.
//!
//! ```no_run
//! use shard_bot::{Bot, Command, CommandError, Context, Input, Intents, Reply};
//!
//! struct Ping;
//!
//! impl Command for Ping {
//!     fn name(&self) -> &str { "ping" }
//!     fn description(&self) -> &str { "answers" }
//!     async fn run(&self, _: Input, _: Context) -> Result<Reply, CommandError> {
//!         Ok(Reply::text("pong"))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), shard_bot::Error> {
//!     Bot::from_env()?
//!         .intents(Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT)
//!         .command(Ping)
//!         .on_event(|_event, _ctx| async move { Ok(()) })
//!         .run()
//!         .await
//! }
//! ```
//!
//! # What happens to events when a pod goes
//!
//! In a pod, sessions outlive the process. An orderly stop (SIGTERM, a drained node) begins nothing more, gives the sessions
//! away at once, so that the next pod resumes them and gets what was received and not begun, and then lets handlers and
//! jobs run until the deadline ([`Bot::shutdown_timeout`]). **What still runs at the deadline is not repeated.** After a crash the
//! restarted container resumes: what was begun and did not end is handled again, and [`Context::redelivered`] says so. When
//! Discord ends a session, or the whole node is lost, what it had not delivered is lost. A local run keeps nothing.
//!
//! Deliberately absent so far: hand-overs between layouts, slash commands.

// From the start of the process to its orderly end.
mod bot;
mod error;
mod run;
mod stop;

// The rooms; each imports only from those below it (`tests/layout`).
mod work;

mod shard;

mod identify;
mod session;

mod seen;

mod edges;

pub use shard_contract::report::ShardState;
pub use twilight_gateway::{Event, Intents};
pub use {twilight_http, twilight_model};

pub use self::{
    bot::Bot,
    edges::{config::ConfigError, discord::DiscordError, token::TokenError},
    error::Error,
    seen::status::ShardStatus,
    work::{
        command::{Command, CommandError, Input, Parameter, Reply},
        context::Context,
        dispatch::HandlerError,
        jobs::{JobError, Jobs},
    },
};
