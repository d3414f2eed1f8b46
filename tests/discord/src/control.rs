//! Control: what users and operators of Discord would do, asked for by tests and demos.
//!
//! From: typed requests, in-process or over HTTP (`control/http.rs`, where every call is listed). For: the state. Every request
//! is checked; what is wrong is said as field, found, remedy. There is no authentication: it is meant for loopback or a
//! test's own network. Deliberately absent: the effects; those are in `discord/`.

pub mod channels;
pub mod connections;
pub mod faults;
pub mod generator;
pub mod guilds;
pub mod http;
pub mod interactions;
pub mod join_requests;
pub mod messages;
pub mod moments;
pub mod page;
pub mod tokens;

use thiserror::Error;

use crate::discord::Discord;
use crate::settings::{Settings, SettingsChange};

/// Why a control request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// Field, found, remedy.
    #[error("{0}")]
    BadRequest(String),
    /// No such message, or not any more.
    #[error("{0}")]
    NotFound(String),
}

impl Discord {
    /// Changes settings; those in force afterwards.
    pub fn settle(&self, change: &SettingsChange) -> Result<Settings, ControlError> {
        self.change_settings(change).map_err(ControlError::BadRequest)
    }
}

pub(crate) fn bad(text: impl Into<String>) -> ControlError {
    ControlError::BadRequest(text.into())
}

/// A span in milliseconds that a request names, where it is one of these.
pub(crate) fn span(
    field: &str,
    found: u64,
    allowed: std::ops::RangeInclusive<u64>,
) -> Result<std::time::Duration, ControlError> {
    if allowed.contains(&found) {
        return Ok(std::time::Duration::from_millis(found));
    }
    Err(bad(format!("{field}: found {found}; use {} to {}", allowed.start(), allowed.end())))
}
