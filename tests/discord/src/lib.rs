//! A Discord that bites: REST `/api/v10`, gateway v10, the rules of sharding, and a ledger of all that happened.
//!
//! From: Discord's documentation, never from what our own bot happens to do. For: tests (in-process, see [`Simulator`]; from
//! outside, see [`ControlClient`]), the demo (as a pod), and people who write bots (the binary `discord-sim`). Deliberately
//! absent: voice, threads, components, autocomplete, menus of users and messages, HTTP endpoints for interactions, ETF.
//!
//! # For people who write bots
//!
//! `cargo discord -- --guilds 5000 --shards 4` starts one on your laptop and prints how twilight, discord.py, py-cord, hikari,
//! discord.js, oceanic.js, discordgo and JDA are pointed at it; `--help` has every option. Then, with `curl` or the client:
//!
//! | call | does |
//! | --- | --- |
//! | `GET /` | the page: shards, budget, rules broken, live |
//! | `GET /ledger` | everything that happened; the filters are [`LedgerQuery`], the answer is [`Ledger`], its short form [`Verdict`] |
//! | `GET`, `POST /control/settings` | recommendation, buckets, budget, refused tokens, skew, and what only Discord could confirm: [`Settings`] |
//! | `POST /control/messages`, `GET /control/messages/{id}/replies` | a user types; what the bot answered: [`NewMessage`], [`ReplyWait`] |
//! | `POST /control/interactions`, `GET /control/interactions/{id}/replies` | a user uses a slash command: [`NewInteraction`] |
//! | `GET`, `POST`, `DELETE /control/generator` | messages, reactions and interactions at a rate or in a burst: [`Generate`] |
//! | `GET /control/guilds`, `POST /control/guilds/join`, `/leave`, `/outage` | guilds come, go and fail: [`JoinGuilds`], [`LeaveGuilds`], [`GuildOutage`] |
//! | `GET /control/channels?guild=`, `POST /control/channels/access` | which channels of a guild the bots may view; access given and taken: [`ChannelAccess`] |
//! | `POST /control/join-requests`, `/decide` | a person asks to be let into a guild; that is approved, rejected, withdrawn: [`NewJoinRequest`], [`DecideJoinRequest`] |
//! | `POST /control/connections/drop`, `/freeze`, `/heartbeat` | chosen connections are cut, told to reconnect, invalidated, closed, frozen, asked for a heartbeat: [`DropConnections`] |
//! | `GET`, `POST`, `DELETE /control/faults` | chosen REST routes are slow, refused, broken: [`NewFault`] |
//! | `POST /control/outage` | Discord is gone for a while: [`Outage`] |
//! | `GET`, `POST /control/time` | Discord's time passes faster, or is moved: [`MoveTime`] |
//! | `POST /control/tokens` | a token is refused, another is taken: [`ChangeToken`] |
//!
//! Bodies are JSON objects with the fields of these types in camelCase; what is wrong comes back as 400 and
//! `{"error": "field: found; remedy"}`. Control has no authentication: loopback or a test's own network only.
//!
//! # What is judged, and how
//!
//! Rules keep Discord's numbers and Discord's time, which `--time-factor` makes faster. A broken rule gets Discord's answer and
//! stands in the ledger; an IDENTIFY beyond the daily budget also sets `tokenResets`, which nobody may ever see above 0. Each
//! event that a user makes is followed: to which session it was sent at which sequence, and which bot answered it. An event that
//! asks for an answer (an interaction, or a message that begins with `!`) and gets none within ten seconds is lost, until an
//! answer comes after all; where every session that was to get it has ended, it was dropped with its session instead. A second
//! answer is a double, unless an enforced nonce named the first (`doubledMarked`); an answer after one to a newer event of the
//! same guild is reordered. The same world, guild for guild, and the same generated events come from the same seed. How real
//! libraries behave is in [`clients`]. The `Date` of REST's answers is Discord's time, as the rules see it.
//!
//! # What it takes
//!
//! What Discord's documentation allows, and what Discord takes from libraries that everybody runs. REST is reached under `/api/v10`,
//! `/api/v9`, the deprecated 6 to 8 and `/api` alone, all answered as 10; discontinued versions get 400. The gateway speaks `v=10`
//! and `v=9`; JSON also where `encoding` is missing. A body is JSON, a multipart form, or `application/x-www-form-urlencoded`, its JSON
//! in `payload_json` or its fields as they are. Numbers and booleans of a form or a command may be texts. IDENTIFY may carry
//! `capabilities`, whose one documented bit (1 << 15, obfuscated channels) changes nothing since it is mandatory. A heartbeat is
//! acknowledged after `--ack-ms` (0 to 1000 real milliseconds, 5 unless said), and no frame overtakes another meanwhile; `ackMs` in
//! the settings changes it. `closeAnswer` says whether a client's close is answered with its `own` code or with 1000 (`normal`).
//! READY's application has its flags twice, as `flags` and as the text `flags_new`.
//!
//! # Channels that the bots may not view
//!
//! As Discord has it since 2026-11-16. Every guild has `general` and a staff area: a category with a text and a voice channel. In
//! `--hidden-share` percent of the guilds (0 to 100, 12 unless said) the staff area is hidden from the bots: over the gateway its
//! channels are obfuscated (`___hidden___`, flag 1 << 17, one overwrite), `GET /guilds/{guild}/channels` leaves them out, any other
//! route to them answers 50001, and what is written there is delivered to nobody: the ledger counts it as `hidden`, not as
//! lost. Access given or taken is a CHANNEL_UPDATE, of the category too where any channel in it can be viewed again or none any more.
//! Interactions are not affected. Whether a hidden voice channel has a `bitrate` is not known: `hiddenVoiceBitrate` in the settings
//! (true unless said). Without it discord.py 2.7.1 raises KeyError and ends, hikari 2.7.0 drops the GUILD_CREATE with a KeyError in
//! its handler, and JDA 6.5.0 never sees the guild ready; py-cord 2.8.1, discord.js, oceanic.js 1.15.0 and discordgo 0.29.0 bear it
//! (more in [`clients`]). The generator talks in channels that the bots may view. Requests to join reach sessions with
//! GUILD_MODERATION, unless `--kick-members false`.
//!
//! # How fast it is
//!
//! `cargo bench -p discord-sim` measures it in a minute or two and prints every figure beside its target. On two cores of a
//! shared virtual machine, in events for one second of CPU time: over 200,000 to one session, 170,000 to 16 and 120,000 to 256
//! in JSON, 130,000 to 90,000 in zstd-stream. A session takes 13 KiB without compression; a compressor's context, which is its
//! connection's own, adds 75 KiB (zstd-stream) or 310 KiB (zlib-stream). 100,000 guilds with their 100 shards take 28 MiB in
//! all, 10,000 connections in such a world 255 MiB. The lock around the state is not the limit: waiting for it is below 1 %.
//!
//! # In which direction the files import
//!
//! `snowflake`, `members`, `clock`, `world`, `intents`, `rules`, `options`, `settings`, `session`, `chat`, `commands`,
//! `interactions`, `faults`, `generator`, `ledger`, `record`, then `discord` (the state behind one lock), then its edges
//! `gateway`, `rest`, `control`, then `simulator`, `client`, `arguments`, `welcome`.

mod accept;
pub mod arguments;
mod arrival;
mod chat;
mod client;
pub mod clients;
mod clock;
mod close_answer;
mod commands;
mod control;
mod descriptors;
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
mod paging;
mod record;
mod rest;
mod rules;
mod session;
mod settings;
mod simulator;
mod snowflake;
mod welcome;
mod world;

pub use client::{ClientError, ControlClient};
pub use control::ControlError;
pub use control::channels::{ChangedAccess, ChannelAccess, ChannelKind, ChannelState};
pub use control::connections::{
    AskHeartbeats, Asked, DropConnections, Dropped, FreezeConnections, Frozen, How,
};
pub use control::faults::{FaultFilter, FaultKind, FaultState, NewFault, Removed};
pub use control::guilds::{ChangedGuilds, GuildOutage, JoinGuilds, LeaveGuilds};
pub use control::interactions::{MadeInteraction, NewInteraction};
pub use control::join_requests::{
    DecideJoinRequest, DecidedJoinRequest, MadeJoinRequest, NewJoinRequest, Outcome,
};
pub use control::messages::{MadeMessage, NewMessage, Reply, ReplyWait};
pub use control::moments::{MoveTime, Outage, OutageBegun, TimeNow};
pub use control::tokens::{ChangeToken, ChangedToken};
pub use descriptors::raise_open_files;
pub use discord::{Delivery, Discord};
pub use faults::Scope;
pub use generator::{Generate, GeneratorState};
pub use ledger::{EventFilter, EventRecord, Ledger, LedgerQuery, Verdict};
pub use options::{FAKE_TOKEN, Options, Token};
pub use session::id::SessionId;
pub use settings::{
    CloseAnswerIs, IdentifyLeadsTo, InteractionsTo, RestState, ResumeBelowHeartbeat, ResumeWhileConnected,
    Settings, SettingsChange,
};
pub use simulator::{Simulator, StartError};
pub use snowflake::{ShardOf, Snowflake};
pub use welcome::welcome;
