//! What follows the end of a connection: how long to wait, and whether to RESUME.
//!
//! From how connections ended, and when, to the next step; pure, with time as an argument. The first new try after a
//! healthy connection comes at once; after that waits double from 0.5 s to 30 s. A session is given up when Discord
//! says so, and after five tries or more in a row to resume it that reached Discord and failed for 30 s, by no RESUMED or by a
//! close right after it: a Discord that cannot be reached says nothing about the session, nor does a gateway that is restarted, and giving it up costs an
//! IDENTIFY. Deliberately absent: chance (the caller spreads the wait).

use std::time::Duration;

use tokio::time::Instant;

use super::link::Ended;
use crate::edges::{backoff::Backoff, close_codes};

/// A connection that was online for this long forgets the failures before it.
const HEALTHY: Duration = Duration::from_secs(30);
/// The first wait, after a try at once has failed too.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// At least so many failed RESUMEs in a row give the session up,
const RESUME_TRIES: u32 = 5;
/// once they have failed for so long; Discord keeps a session for about a minute.
const RESUME_FOR: Duration = Duration::from_secs(30);

/// What the next step depends on.
#[derive(Debug, Default)]
pub(super) struct Reconnect {
    /// None: the next try comes at once.
    backoff: Option<Backoff>,
    /// Failed RESUMEs in a row, and when the first of them failed.
    resumes: u32,
    failed_first: Option<Instant>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Connect again.
    Again {
        /// After this wait.
        wait: Duration,
        /// With the session, if there is one.
        keep_session: bool,
    },
    /// Do not: Discord forbids it with this close code.
    Refused(u16),
}

impl Reconnect {
    /// Decides after a connection ended.
    pub(super) fn after(&mut self, ended: &Ended, now: Instant) -> Next {
        let mut keep_session = true;
        match *ended {
            Ended::Closed(code) if close_codes::is_final(code) => return Next::Refused(code),
            // Rebuilt for an IDENTIFY, which the gate paces, or by our own wish: no failure.
            Ended::SessionGone => {
                self.forget_resumes();
                return Next::Again { wait: Duration::ZERO, keep_session };
            }
            Ended::Stopped | Ended::TakenAway | Ended::OtherToken | Ended::TooLate => {
                return Next::Again { wait: Duration::ZERO, keep_session };
            }
            // Invalid sequence, session timed out: "start a new session".
            Ended::Closed(4007 | 4009) | Ended::Unreadable => keep_session = false,
            Ended::WasOnline(online) if online >= HEALTHY => {
                self.backoff = None;
                self.forget_resumes();
            }
            Ended::ResumeFailed | Ended::ClosedOnResume => keep_session = !self.resume_failed_too_often(now),
            _ => {}
        }
        if !keep_session {
            self.forget_resumes();
        }
        Next::Again { wait: self.wait(), keep_session }
    }

    fn wait(&mut self) -> Duration {
        if let Some(backoff) = &mut self.backoff {
            return backoff.exact();
        }
        self.backoff = Some(Backoff::new(FIRST_WAIT, LONGEST_WAIT));
        Duration::ZERO
    }

    fn resume_failed_too_often(&mut self, now: Instant) -> bool {
        self.resumes += 1;
        let first = *self.failed_first.get_or_insert(now);
        self.resumes >= RESUME_TRIES && now.saturating_duration_since(first) >= RESUME_FOR
    }

    fn forget_resumes(&mut self) {
        self.resumes = 0;
        self.failed_first = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn again(millis: u64, keep_session: bool) -> Next {
        Next::Again { wait: Duration::from_millis(millis), keep_session }
    }

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_healthy_connection_comes_back_at_once_and_a_flapping_one_ever_later() {
        let mut reconnect = Reconnect::default();
        let short = Ended::WasOnline(Duration::from_secs(1));
        for expected in [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(reconnect.after(&short, now()), again(expected, true));
        }
        assert_eq!(reconnect.after(&Ended::WasOnline(HEALTHY), now()), again(0, true));
        assert_eq!(reconnect.after(&short, now()), again(500, true));
    }

    #[test]
    fn failed_resumes_give_the_session_up_when_there_were_five_and_they_failed_for_half_a_minute() {
        let mut reconnect = Reconnect::default();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut keeps = |at: u32, ended: &Ended| {
            matches!(reconnect.after(ended, start + second * at), Next::Again { keep_session: true, .. })
        };
        let mut failed = |at| keeps(at, &Ended::ResumeFailed);
        assert!([0, 1, 2, 3, 4, 5, 29].into_iter().all(&mut failed), "a gateway that is restarted");
        assert!(!failed(30));
        assert!([40, 71, 72, 73].into_iter().all(&mut failed), "the next session, and too few tries");
        assert!(!failed(74));
        assert!(failed(80));
        keeps(120, &Ended::WasOnline(HEALTHY));
        assert!([121, 122, 123, 124, 150].into_iter().all(|at| keeps(at, &Ended::ResumeFailed)));
        assert!(!keeps(151, &Ended::ResumeFailed), "a healthy connection forgets those before it");
    }

    #[test]
    fn a_session_that_is_closed_right_after_each_resumed_is_given_up_as_one_that_cannot_be_resumed() {
        let mut reconnect = Reconnect::default();
        let start = Instant::now();
        let mut keeps = |at| {
            let next = reconnect.after(&Ended::ClosedOnResume, start + Duration::from_secs(at));
            matches!(next, Next::Again { keep_session: true, .. })
        };
        assert!([0, 1, 2, 4, 8, 16].into_iter().all(&mut keeps));
        assert!(!keeps(32));
    }

    #[test]
    fn after_an_outage_a_session_that_is_gone_does_not_wait_again() {
        let mut reconnect = Reconnect::default();
        for _ in 0..8 {
            reconnect.after(&Ended::NotConnected, now());
        }
        assert_eq!(reconnect.after(&Ended::SessionGone, now()), again(0, true));
        assert_eq!(
            reconnect.after(&Ended::NotOnline, now()),
            again(30_000, true),
            "but one that fails then does"
        );
    }

    #[test]
    fn an_unreachable_discord_never_costs_a_session() {
        let mut reconnect = Reconnect::default();
        for _ in 0..50 {
            assert!(matches!(
                reconnect.after(&Ended::NotConnected, now()),
                Next::Again { keep_session: true, .. }
            ));
        }
    }

    #[test]
    fn a_ready_that_cannot_be_read_is_asked_for_ever_later_and_never_resumed() {
        let mut reconnect = Reconnect::default();
        for expected in [0, 500, 1_000] {
            assert_eq!(reconnect.after(&Ended::Unreadable, now()), again(expected, false));
        }
    }

    #[test]
    fn close_codes_decide() {
        for code in [4004, 4010, 4011, 4012, 4013, 4014] {
            assert_eq!(Reconnect::default().after(&Ended::Closed(code), now()), Next::Refused(code));
        }
        for code in [4007, 4009] {
            assert_eq!(Reconnect::default().after(&Ended::Closed(code), now()), again(0, false));
        }
        for code in [1000, 1001, 1006, 4000, 4003, 4008] {
            assert_eq!(Reconnect::default().after(&Ended::Closed(code), now()), again(0, true));
        }
    }
}
