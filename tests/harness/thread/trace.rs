//! What operators and pods log in a story, with the story's own time.
//!
//! Deliberately absent: levels other than those that `RUST_LOG` says, and colours.

use std::fmt;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Seconds of a paused clock; each story begins where its runtime did.
struct Seconds;

thread_local! {
    static BEGUN: std::cell::OnceCell<Instant> = const { std::cell::OnceCell::new() };
}

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        if Handle::try_current().is_err() {
            return write!(writer, "-");
        }
        let elapsed = BEGUN.with(|begun| begun.get_or_init(Instant::now).elapsed());
        write!(writer, "{:>9.3} s", elapsed.as_secs_f64())
    }
}

/// Begins to write to standard output.
pub fn begin() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("shard_operator=info,shard_bot=debug,shard_tests=info"));
    let writes = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Seconds).with_ansi(false);
    // Another one may have begun already.
    let _ = writes.try_init();
}
