//! A Discord that bites: REST `/api/v10`, gateway v10, the rules of sharding, and a ledger of all that happened.
//!
//! From: Discord's documentation, never from what our own bot happens to do. For: tests (in-process, see [`Simulator`]), the
//! demo (as a pod), and people who write bots (the binary `discord-sim`). Files, in the direction of imports:
//! `snowflake`, `world`, `intents`, `rules`, `options`, `settings`, `session`, `chat`, `commands`, `interactions`, `faults`,
//! `ledger`, `record`, `discord` (the state behind one lock), then its edges `gateway`, `rest`, `control`, then `simulator`.
//! Deliberately absent: webhooks but those of interactions, components, voice, threads, ETF.

mod accept;
pub mod arguments;
mod chat;
mod client;
mod clock;
mod commands;
mod control;
mod discord;
mod faults;
mod form_errors;
mod gateway;
mod generator;
mod intents;
mod interactions;
pub mod ledger;
mod members;
mod options;
mod page;
mod record;
mod rest;
mod rules;
mod session;
mod settings;
mod simulator;
mod snowflake;
mod world;

pub use client::{ClientError, ControlClient};
pub use control::ControlError;
pub use control::connections::{
    AskHeartbeats, Asked, DropConnections, Dropped, FreezeConnections, Frozen, How,
};
pub use control::faults::{FaultFilter, FaultKind, FaultState, NewFault, Removed};
pub use control::guilds::{ChangedGuilds, GuildOutage, JoinGuilds, LeaveGuilds};
pub use control::interactions::{MadeInteraction, NewInteraction};
pub use control::messages::{MadeMessage, NewMessage, Reply, ReplyWait};
pub use control::moments::{MoveTime, Outage, OutageBegun, TimeNow};
pub use control::tokens::{ChangeToken, ChangedToken};
pub use discord::{Delivery, Discord};
pub use faults::Scope;
pub use generator::{Generate, GeneratorState};
pub use ledger::{EventFilter, Ledger, LedgerQuery, Verdict};
pub use options::{FAKE_TOKEN, Options, Token};
pub use session::id::SessionId;
pub use settings::{
    InteractionsTo, RestState, ResumeBelowHeartbeat, ResumeWhileConnected, Settings, SettingsChange,
};
pub use simulator::{Simulator, StartError};
pub use snowflake::{ShardOf, Snowflake};
