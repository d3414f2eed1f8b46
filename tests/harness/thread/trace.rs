//! What operators and pods log in a story, with the story's own time.
//!
//! Deliberately absent: levels other than those that `RUST_LOG` says, and colours.

use std::cell::Cell;
use std::fmt;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Seconds of a paused clock, since the thread's story began.
struct Seconds;

thread_local! {
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A story begins in this thread, now.
pub(super) fn story_begins() {
    BEGUN.set(Some(Instant::now()));
}

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        match BEGUN.get().filter(|_| Handle::try_current().is_ok()) {
            Some(begun) => write!(writer, "{:>9.3} s", begun.elapsed().as_secs_f64()),
            None => write!(writer, "-"),
        }
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
