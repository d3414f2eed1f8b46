//! How the process is told to stop: by SIGTERM (Kubernetes) or Ctrl-C (a person), or by whoever holds the other end.
//!
//! Each signal comes once; a second one is another word. Deliberately absent: what a signal leads to.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Where signals come from.
#[derive(Clone, Debug)]
pub enum SignalSource {
    /// The system.
    System,
    /// Whoever counts this up: one signal each time.
    Channel(watch::Receiver<u32>),
}

/// Signals that are listened to.
#[derive(Debug)]
pub struct Signals(Listening);

#[derive(Debug)]
enum Listening {
    System { terminate: Signal, interrupt: Signal },
    Channel(watch::Receiver<u32>),
}

impl SignalSource {
    /// Begins to listen. Who is told by another's hand hears what was said before as well.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn listen(&self) -> io::Result<Signals> {
        let listening = match self {
            Self::System => Listening::System {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            Self::Channel(told) => Listening::Channel(told.clone()),
        };
        Ok(Signals(listening))
    }
}

impl Signals {
    /// Waits for the next signal and names it.
    pub async fn next(&mut self) -> &'static str {
        match &mut self.0 {
            Listening::System { terminate, interrupt } => tokio::select! {
                biased;
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            },
            Listening::Channel(told) => match told.changed().await {
                Ok(()) => "SIGTERM",
                // Nobody is left who could say it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn each_word_is_one_signal_and_silence_is_none() {
        let (say, told) = watch::channel(0);
        let mut signals = SignalSource::Channel(told).listen().unwrap();
        assert_eq!(signals.next().now_or_never(), None);
        for said in 1..3 {
            say.send_replace(said);
            assert_eq!(signals.next().now_or_never(), Some("SIGTERM"));
            assert_eq!(signals.next().now_or_never(), None);
        }
        drop(say);
        assert_eq!(signals.next().now_or_never(), None);
    }
}
