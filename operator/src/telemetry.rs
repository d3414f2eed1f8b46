//! Logs: one JSON object per thing that happened on a pod's output, plain lines in a terminal.
//!
//! `RUST_LOG` chooses the level (default `info`). Deliberately absent: the token, at every level.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging; call it once.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
}
