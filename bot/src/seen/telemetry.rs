//! Logs: structured, to standard output; JSON lines where no person is looking, coloured text on a terminal.
//!
//! `RUST_LOG` chooses what is shown (`info` when it is not set; twilight's own chatter only from `warn`). A
//! subscriber that the author installed before is left alone. Deliberately absent: traces and metrics push;
//! Prometheus asks `/metrics`; and, whatever `RUST_LOG` says, what the API server answers. kube's client writes the whole text of an
//! answer that it cannot read, a Secret with sessions among them, at WARN and below.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// What is shown without `RUST_LOG`.
const DEFAULT: &str = "info,twilight_gateway=warn,twilight_http=warn,kube=warn";

/// Begins to log, unless the process already does.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let logs = tracing_subscriber::fmt::layer();
    let logs =
        if std::io::stdout().is_terminal() { logs.boxed() } else { logs.json().flatten_event(true).boxed() };
    let all = tracing_subscriber::registry().with(logs.with_filter(filter));
    // Only fails when there is a subscriber already: then that one is meant.
    drop(all.with(filter_fn(keeps_answers_to_itself)).try_init());
}

/// Whether an event carries no answer of the API server.
fn keeps_answers_to_itself(event: &Metadata<'_>) -> bool {
    *event.level() == Level::ERROR || !event.target().starts_with("kube_client::client")
}
