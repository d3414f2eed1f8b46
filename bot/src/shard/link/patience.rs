//! How long Discord may take to answer a RESUME or an IDENTIFY that went out.
//!
//! From what went out, and when Discord last dispatched something, to the moment when the connection is given up; pure, with
//! time as an argument, but for [`Wait`], which lets the connection in [`super`] wait. Heartbeats do not count: twilight itself ends a connection that
//! leaves them unanswered, and knows no other limit. Discord documents none; in an outage a gateway may stay open and answer
//! heartbeats without READY for a while, and clients are asked to stay connected. So both limits are far above what a
//! healthy Discord takes. Deliberately absent: what follows ([`crate::shard::reconnect`]).

use std::{pin::Pin, task::Context, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// After a RESUME so long without a dispatch. Sessions were seen to live for about 90 s without a connection (Discord's
/// issue tracker, discord-api-docs#1619), so a second and a third try still find it; five of them, which give the session up,
/// last longer than that.
const RESUME_SILENT: Duration = Duration::from_secs(30);
/// In all, also while the replay goes on: Discord keeps a session for "a few minutes", and no replay holds more. And so long
/// for READY: another IDENTIFY costs one of the day's, while an outage is not over sooner for it.
const IN_ALL: Duration = Duration::from_mins(3);

/// The wait for READY or RESUMED.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    sent: Instant,
    heard: Option<Instant>,
}

impl Patience {
    /// A RESUME goes out now.
    pub(super) const fn resume(now: Instant) -> Self {
        Self { sent: now, heard: Some(now) }
    }

    /// An IDENTIFY went out now.
    pub(super) const fn identify(now: Instant) -> Self {
        Self { sent: now, heard: None }
    }

    /// Something was dispatched: a replay goes on.
    pub(super) const fn heard(&mut self, now: Instant) {
        if let Some(heard) = &mut self.heard {
            *heard = now;
        }
    }

    /// When it is over.
    pub(super) fn ends(&self) -> Instant {
        let in_all = self.sent + IN_ALL;
        self.heard.map_or(in_all, |heard| in_all.min(heard + RESUME_SILENT))
    }
}

/// The same with its timer.
pub(super) struct Wait {
    patience: Patience,
    timer: Pin<Box<Sleep>>,
}

impl Wait {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, timer: Box::pin(sleep_until(patience.ends())) }
    }

    /// Something was dispatched.
    pub(super) fn heard(&mut self) {
        self.patience.heard(Instant::now());
    }

    /// Whether it is over; if not, the task is woken when it is.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let ends = self.patience.ends();
        if self.timer.deadline() != ends {
            self.timer.as_mut().reset(ends);
        }
        self.timer.as_mut().poll(context).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_resume_is_given_up_sooner_than_an_identify_and_a_replay_in_the_end_too() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut identify = Patience::identify(begin);
        identify.heard(at(20));
        assert_eq!(identify.ends(), at(180));
        let mut resume = Patience::resume(begin);
        assert_eq!(resume.ends(), at(30));
        resume.heard(at(20));
        assert_eq!(resume.ends(), at(50));
        resume.heard(at(170));
        assert_eq!(resume.ends(), at(180));
    }
}
