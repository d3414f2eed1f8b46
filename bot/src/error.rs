//! Why the bot cannot run: one variant per edge that `Bot::from_env` and `Bot::run` can fail at.
//!
//! For `main`, which returns it: each message says what was found and what helps. What goes wrong while the bot runs
//! is not here; that is waited for, and logged once per change.

use std::io;

use shard_contract::env;

use crate::edges::{config::ConfigError, discord::DiscordError, token::TokenError, trouble::chain};

/// Why the bot cannot run. Its `Debug` form reads like its `Display` form with all causes, because `main` returns it.
#[derive(thiserror::Error)]
pub enum Error {
    /// The environment does not say what is needed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Discord did not answer what a local run must know first.
    #[error(transparent)]
    Discord(#[from] DiscordError),
    /// A local run would need more IDENTIFYs than are left; using them up resets the token.
    #[error(
        "{} asks for {needed} IDENTIFYs and Discord allows {remaining} of {total} more before it resets the count in {hours:.1} hours: start later or with fewer shards",
        env::TOTAL
    )]
    Budget {
        /// How many shards would identify.
        needed: u32,
        /// How many still may.
        remaining: u32,
        /// How many may in 24 hours.
        total: u32,
        /// When the count begins anew.
        hours: f64,
    },
    /// Discord closed a shard of a local run with a code that forbids a new try.
    #[error("Discord closed shard {shard} for good with {code}: {remedy}")]
    Refused {
        /// Which shard.
        shard: u32,
        /// The close code.
        code: u16,
        /// What helps.
        remedy: &'static str,
    },
    /// The API server's address or certificates cannot be read in the pod.
    #[error("could not set up the Kubernetes client; the pod needs its service-account token mounted")]
    Kubernetes(#[source] kube::Error),
    /// The HTTP client for the operator cannot be made.
    #[error("could not set up the HTTP client")]
    Http(#[source] reqwest::Error),
    /// The job pool's threads cannot be made.
    #[error("could not start the job threads")]
    Jobs(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The health pages' port is taken, or signals cannot be waited for.
    #[error("could not {attempt}")]
    System {
        /// What was tried.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&chain(self))
    }
}
