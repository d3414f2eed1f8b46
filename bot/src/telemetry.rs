//! Logs: structured, to standard output; JSON lines where no person is looking, coloured text on a terminal.
//!
//! `RUST_LOG` chooses what is shown (`info` when it is not set; twilight's own chatter only from `warn`). A
//! subscriber that the author installed before is left alone. Deliberately absent: traces and metrics push;
//! Prometheus asks `/metrics`.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

/// What is shown without `RUST_LOG`.
const DEFAULT: &str = "info,twilight_gateway=warn,twilight_http=warn,kube=warn";

/// Begins to log, unless the process already does.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let installed = if std::io::stdout().is_terminal() {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    };
    // Only fails when there is a subscriber already: then that one is meant.
    drop(installed);
}
