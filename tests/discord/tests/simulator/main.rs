//! The simulator against Discord's rules, over real sockets on loopback.
//!
//! From: the library started in-process, one simulator a test. For: everyone who believes what the ledger says.
//! `client.rs` is a WebSocket client that can also misbehave, `raw.rs` one that need not even speak WebSocket;
//! `libraries.rs` has twilight as a client that nobody here wrote.
//! Deliberately absent: fixed sleeps. Every wait is for a condition, with a generous end.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's own functions fail like the test")]

mod answers;
mod client;
mod codes;
mod control;
mod delivery;
mod entry;
mod events;
mod faults;
mod freeze;
mod fuzz;
mod guilds;
mod hostile;
mod interactions;
mod join_requests;
mod leniency;
mod libraries;
mod moments;
mod obfuscation;
mod opcodes;
mod raw;
mod remote;
mod rest;
mod rest_commands;
mod rest_content;
mod rest_limits;
mod rest_reads;
mod sessions;
mod transport;
